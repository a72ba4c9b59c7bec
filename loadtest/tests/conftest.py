"""The load tests are run as programs, not installed: their folder is their path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
