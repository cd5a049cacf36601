"""Let the tests of the tools import them as the tools import each other: by file name."""

import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOOLS), str(TOOLS / "export_speech")]
