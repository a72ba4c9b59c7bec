"""The load tests are run as programs, not installed: their folder is their path."""

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So begins what a shell starts in the background, and hands it on to the programs under test.
    signal.signal(signal.SIGINT, signal.default_int_handler)
