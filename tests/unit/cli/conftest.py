"""The makers of certificates stand with the tests of the handshake."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
