#!/bin/sh
# Prints where a Chromium for the browser tests is, and nothing when Playwright has one of its own.
set -eu

if [ -n "${CHROMIUM:-}" ]; then
    [ -x "$CHROMIUM" ] || { echo "CHROMIUM is $CHROMIUM, which is no program." >&2; exit 1; }
    echo "$CHROMIUM"
    exit
fi

find_one() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if command -v "$name"; then
            return 0
        fi
    done
    return 1
}

find_one && exit
cd "$(dirname "$0")/.."
# The system's own brings the libraries that it needs; Playwright's does not.
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "no Chromium here: apt-get installs one" >&2
    { apt-get update -qq && apt-get install -qq -y chromium; } >&2 &&
        find_one && exit
fi
echo "no Chromium here: Playwright fetches one" >&2
npx --no-install playwright install chromium >&2 && exit
echo "The browser tests need Chromium. Install it, or say where it is: CHROMIUM=/path make e2e" >&2
exit 1
