"""Makes the pair of engines of tests/exchanges importable from here."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
