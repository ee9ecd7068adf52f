"""Install the homeserver that the end-to-end tests drive, in an environment of its own.

    python integrations/synapse/install_synapse.py

It lies below the user's cache directory (`WAVEBREAK_INTEGRATIONS`, else
`~/.cache/wavebreak-integrations`). Where it cannot be installed, this says why and fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CACHE = Path(
    os.environ.get("WAVEBREAK_INTEGRATIONS")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wavebreak-integrations"
)
HOME = CACHE / "synapse"
PYTHON = HOME / "bin" / "python"
REQUIREMENTS = Path(__file__).parent / "requirements-e2e.txt"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = (done.stderr or done.stdout).strip().splitlines()[-3:]
        sys.exit(
            f"{' '.join(command[1:4])} failed: {' / '.join(tail)}\n"
            "Fix: let pip reach a package index, or set WAVEBREAK_INTEGRATIONS to where Synapse is"
        )


def is_installed() -> bool:
    """Return whether the environment has what the requirements name."""
    mark = HOME / "requirements-e2e.txt"
    return mark.exists() and mark.read_text() == REQUIREMENTS.read_text()


def main() -> None:
    """Make the environment, unless it is there."""
    if is_installed():
        print(f"Synapse is there: {HOME}")
        return
    print(f"Installing Synapse into {HOME} (once; a minute or two)")
    HOME.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", "--clear", str(HOME)])
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "-r", str(REQUIREMENTS)])
    (HOME / "requirements-e2e.txt").write_text(REQUIREMENTS.read_text())
    print("Done. Next: pytest integrations/synapse/tests")


if __name__ == "__main__":
    main()
