#!/bin/sh
# Brings Redis, on which presence and limits are tested beside Valkey, from the system's
# packages: unpacked into the folder $1, not installed, so that no service starts.
# Where that cannot be, it says so and ends well; the tests then say that they are skipped.
set -eu

folder=$1
packages="redis-server redis-tools liblzf1 libjemalloc2 liblua5.1-0 lua-bitop lua-cjson"

[ -e "$folder/.complete" ] && exit
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "The tests on Redis are skipped: the packages are Debian's and Ubuntu's." >&2
    exit
fi

rm -rf "$folder"
mkdir -p "$folder/packages"
cd "$folder/packages"
echo "fetching Redis for the tests" >&2
# shellcheck disable=SC2086  several words
fetch() { apt-get download -qq -o APT::Sandbox::User=root $packages >fetch.log 2>&1; }
# Package lists may be missing or old; only root may renew them.
if ! fetch && ! { [ "$(id -u)" = 0 ] && apt-get update -qq >update.log 2>&1 && fetch; }; then
    tail -n 3 fetch.log >&2
    echo "The tests on Redis are skipped: apt-get could not fetch them." >&2
    exit
fi
for package in ./*.deb; do
    dpkg-deb --extract "$package" ..
done
cd ..
rm -r packages
touch .complete
