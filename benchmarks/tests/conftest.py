"""The benchmark is run as a program, not installed: its folder is its path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
