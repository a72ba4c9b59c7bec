"""Where things are in the repository."""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
REPORTS = REPOSITORY / "docs" / "load-tests"
PYTHON = Path(sys.executable)
"""The Python of the project's environment: it runs the gateway too."""
K6_SCRIPT = REPOSITORY / "loadtest" / "k6" / "smoke.js"
