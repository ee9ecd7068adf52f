"""A program `wavebreak` for shells, whose commands run in processes forked from a warm one.

It is a few lines of Python that load nothing of the package: they hand their words, environment and
standard files to the process of the tests, pass on a signal that ends them, and end as the command.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from support import warm_process

PROGRAM = """#!{python} -IS
import json, os, signal, socket, sys
asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
asked.connect({address!r})
request = {{"arguments": sys.argv[1:], "environment": dict(os.environ), "cwd": os.getcwd()}}
sent = json.dumps(request).encode()
asked.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, {most})
socket.send_fds(asked, [sent], [0, 1, 2])
pid = int(asked.recv(32))
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _frame: os.kill(pid, number))
status = int(asked.recv(32))
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""
MOST = 1 << 20


@contextlib.contextmanager
def programs() -> Iterator[Path]:
    """A directory with the program; commands that it runs end before the block does."""
    # The address of a socket may be 107 bytes long.
    directory = Path(tempfile.mkdtemp(prefix="wb-"))
    asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        address = str(directory / ".asked")
        asked.bind(address)
        asked.listen(16)
        text = PROGRAM.format(python=sys.executable, address=address, most=MOST)
        program = directory / "wavebreak"
        program.write_text(text, "utf-8")
        program.chmod(0o700)
        taking = threading.Thread(target=_take, args=[asked])
        taking.start()
        yield directory
    finally:
        # Ends `accept`, which closing would leave waiting.
        asked.shutdown(socket.SHUT_RDWR)
        taking.join()
        asked.close()
        shutil.rmtree(directory)


def _take(asked: socket.socket) -> None:
    running = []
    with contextlib.suppress(OSError):
        while True:
            one, _address = asked.accept()
            running.append(threading.Thread(target=_run, args=[one]))
            running[-1].start()
    for thread in running:
        thread.join()


def _run(one: socket.socket) -> None:
    """Run what one program asks for, and tell it the process and how it ended."""
    with one:
        sent, files, _flags, _address = socket.recv_fds(one, MOST, 3)
        try:
            process = warm_process.start_with(json.loads(sent), *files)
        finally:
            for file in files:
                os.close(file)
        one.send(str(process.pid).encode())
        one.send(str(process.wait()).encode())
