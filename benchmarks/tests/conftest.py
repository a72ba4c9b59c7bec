"""The benchmark is run as a program, not installed: its folder is its path, and so is this one."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
