#!/bin/sh
# python.sh PYTHON...: the path of the Python to make the environment with: the first of these that
# is new enough and not much slower than another. One that was built without profiles of its use, as
# pyenv's are unless told otherwise, takes up to 1.55 times as long for the same code.
set -eu

# Microseconds of the best of some short runs of what a node does all day, and whose they are.
clock='
import ensurepip, sys, time, venv
if sys.version_info < (3, 11):
    sys.exit(1)
class Feed:
    def __init__(self):
        self.head, self.names = 0, {}
    def take(self, name):
        self.head += 1
        self.names[name] = self.head
def run():
    began, feed = time.perf_counter(), Feed()
    for number in range(20000):
        feed.take(str(number & 1023))
    return time.perf_counter() - began
print(round(min(run() for _ in range(9)) * 1e6), sys.executable)
'

found=$(for python in "$@"; do
    words=$("$python" -I -c "$clock" 2>/dev/null) && echo "$words"
done) || :
if [ -z "$found" ]; then
    echo "STORM needs Python 3.11 or newer with its venv module (on Debian: python3-venv)." >&2
    echo "None of these is that: $*. Say where it is: make PYTHON=/path/to/python" >&2
    exit 1
fi
# Within a seventh of the fastest, the order decides: as much as measuring can be off.
echo "$found" | awk '
    { took[NR] = $1; sub(/^[0-9]+ /, ""); path[NR] = $0 }
    NR == 1 || took[NR] < best { best = took[NR] }
    END { for (n = 1; n <= NR; n++) if (took[n] <= 1.15 * best) { print path[n]; exit } }'
