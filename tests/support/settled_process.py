"""Runs console commands, one after another, under a clock, salts and a machine's name of its own.

    python settled_process.py '[["case", "open", ...], ...]'

The commands read those three by `time.time_ns`, `secrets.token_bytes` and `socket.gethostname`:
they are replaced here, before the console script is read. All commands run in this one process,
which spares each its start; a line with `END` follows what each printed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import runpy
import secrets
import socket
import sys
import time
from pathlib import Path

NOW_S = 1_800_000_000
END = "-- end of a command --"
DRAWN = itertools.count(1)


def token_bytes(nbytes: int | None = None) -> bytes:
    """Bytes that are the same in each run of the same commands."""
    return hashlib.shake_256(b"%d" % next(DRAWN)).digest(32 if nbytes is None else nbytes)


def main() -> None:
    """Run the commands; end with the first status that is not 0."""
    secrets.token_bytes = token_bytes
    time.time_ns = lambda: NOW_S * 10**9
    socket.gethostname = lambda: "host.example"
    script = str(Path(sys.executable).with_name("wavebreak"))
    for command in json.loads(sys.argv[1]):
        sys.argv = [script, *command]
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as ended:
            if ended.code:
                raise
        print(END, flush=True)


if __name__ == "__main__":
    main()
