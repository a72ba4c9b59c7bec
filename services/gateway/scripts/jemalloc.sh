#!/bin/sh
# Installs jemalloc, which nodes have their memory from where a machine has it, for its tests.
# Where that cannot be, it says so and ends well; the tests then say that they are skipped.
set -eu

there() { PATH="$PATH:/sbin" ldconfig -p 2>/dev/null | grep -q 'libjemalloc\.so'; }

there && exit
[ "$(uname)" = Linux ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing jemalloc for the tests" >&2
    install() { apt-get install -qq -y libjemalloc2; }
    { install || { apt-get update -qq && install; }; } >/dev/null 2>&1 && there && exit
fi
echo "The tests of jemalloc are skipped: it is not on this machine (Debian: libjemalloc2)." >&2
