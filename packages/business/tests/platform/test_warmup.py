"""After the warm-up no function of the rules is left to compile or to load."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from wavebreak_business.platform import state

_SCRIPT = """
import sys
from wavebreak_business.platform import kernel
from wavebreak_business.platform.warmup import warm
warm()
print(*(name for name in sys.argv[1:] if not getattr(kernel, name).signatures))
"""


def test_every_function_that_is_called_from_python_is_warm() -> None:
    source = Path(state.__file__).read_text("utf-8")
    names = sorted(set(re.findall(r"\bkernel\.([a-z_]+)\(", source)))
    assert {"process", "merge_words", "bars_of"} <= set(names)
    command = [sys.executable, "-c", _SCRIPT, *names]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=500, check=True)
    assert shown.stdout == "\n"
