"""Makes the module, the client and the tests' own support importable."""

from __future__ import annotations

import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parents[1]
for place in (PACKAGE / "src", ROOT / "clients" / "python" / "src", PACKAGE / "tests"):
    sys.path.insert(0, str(place))
