"""`python -m wavebreak`: the command line, where the command itself is not on the PATH."""

from __future__ import annotations

from wavebreak.cli import main

if __name__ == "__main__":
    main()
