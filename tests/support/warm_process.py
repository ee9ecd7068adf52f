"""Commands of Wavebreak in processes of their own, forked from one that has imported everything.

Imports and the loading of machine code are most of the processor time of a start. The process that
is forked does nothing else: it reads no file of a service, and its only threads belong to BLAS and
Arrow, which support forks. The fork server of the decoders is forked from it as well.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from multiprocessing import forkserver, util
from pathlib import Path
from typing import IO, Any, NoReturn

PRELOADED = ("pydantic.fields", "pydantic.functional_validators", "wavebreak.cli",
             "wavebreak.cli.app", "wavebreak_server.cli.serve", "wavebreak_server.app",
             "wavebreak_server.pipeline.decoder_pool", "wavebreak_server.pipeline.decoder_preload",
             "wavebreak_cases.pages.hooks", "wavebreak_business.pages.hooks")  # fmt: skip
_MOST = 1 << 20
_ASKING = threading.Lock()


class WarmProcess:
    """A process that was forked; what tests ask of one that `subprocess` has started."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; its exit status, as `subprocess` gives it."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("wavebreak", timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(int(os.read(self._status, 32)))
            os.close(self._status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def run(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `wavebreak` with arguments to its end; return its status and its texts."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        status = start(arguments, environment, out, errors).wait()
        texts = []
        for file in (out, errors):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(["wavebreak", *arguments], status, *texts)


def start(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    out: IO[bytes],
    errors: IO[bytes] | None = None,
) -> WarmProcess:
    """Run `wavebreak` with arguments; its output goes to a file, and errors to their own if any."""
    request = {"arguments": arguments, "environment": dict(environment), "cwd": os.getcwd()}
    with open(os.devnull, "rb") as nothing:
        return start_with(request, nothing.fileno(), out.fileno(), (errors or out).fileno())


def start_with(request: Mapping[str, Any], *standard: int) -> WarmProcess:
    """Run `wavebreak` as a request says, with these as its standard files."""
    sent = json.dumps(request).encode()
    assert len(sent) < _MOST
    status, told = os.pipe()
    try:
        with _ASKING:
            control = _warm()
            socket.send_fds(control, [sent], [*standard, told])
            pid = control.recv(32)
        assert pid, "the process that is forked has ended; its error is above"
        return WarmProcess(int(pid), status)
    finally:
        os.close(told)


@cache
def _warm() -> socket.socket:
    """Start the process that is forked; it ends with this one."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST)
    # As text: the processes that it starts would run a file again.
    program = Path(__file__).read_text(encoding="utf-8")
    command = [sys.executable, "-c", program, str(its.fileno())]
    process = subprocess.Popen(command, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL)
    its.close()

    def end() -> None:
        ours.close()
        process.wait(60)

    atexit.register(end)
    return ours


def _next_request(control: socket.socket) -> list[str]:
    """Fork a process for each request, and return in it what it was asked to run.

    Nothing in the process that is forked, once the other end is closed.
    """
    for name in PRELOADED:
        importlib.import_module(name)
    importlib.import_module("wavebreak.engine").warm()
    # The collector would write to all pages that the processes share.
    gc.freeze()
    # A process in between waits for each; nobody waits for that one.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        sent, files, _flags, _address = socket.recv_fds(control, _MOST, 4)
        if not sent:
            return []
        if os.fork() == 0:
            return _begin(json.loads(sent), control, *files)
        for file in files:
            os.close(file)


def _begin(request: dict[str, Any], control: socket.socket, *files: int) -> list[str]:
    """Fork once more, and wait for that process; return in it."""
    *standard, told = files
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if pid := os.fork():
        control.send(str(pid).encode())
        control.close()
        for file in standard:
            os.close(file)
        os.write(told, str(os.waitpid(pid, 0)[1]).encode())
        os._exit(0)
    os.close(told)
    control.close()
    os.chdir(request["cwd"])
    for number, file in enumerate(standard):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    if "serve" in request["arguments"][:1]:
        _start_fork_server()
    return list(request["arguments"])


def _start_fork_server() -> None:
    """Start the fork server of this process as a fork, which has imported what it preloads.

    Must be called while this process has a single thread.
    """
    module: Any = util
    spawn = module.spawnv_passfds

    def fork(path: bytes, arguments: list[str], files: list[int]) -> int:
        if "forkserver" not in arguments[-1]:
            return int(spawn(path, arguments, files))
        pid = os.fork()
        if pid == 0:
            _run_fork_server(arguments[-1], {0, 1, 2, *files})
        return pid

    module.spawnv_passfds = fork
    try:
        forkserver.ensure_running()
    finally:
        module.spawnv_passfds = spawn


def _run_fork_server(program: str, files: set[int]) -> None:
    """Run the program of a fork server with these open files, and end the process."""
    try:
        for number in {int(name) for name in os.listdir("/proc/self/fd")} - files:
            with contextlib.suppress(OSError):
                os.close(number)
        # As a server has by the time at which it starts this one.
        os.umask(0o077)
        # The process that forks this one holds the lock.
        server: Any = forkserver._forkserver
        server._lock = threading.Lock()
        exec(program, {})
    except SystemExit:
        os._exit(0)
    finally:
        os._exit(1)


def _end(main: Callable[[], object]) -> NoReturn:
    """Run a command, and end as Python does, but for taking every object apart.

    That would copy all pages which the processes share.
    """
    status: object = 1
    threads: Any = threading
    try:
        main()
        status = 0
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    if isinstance(status, str):
        print(status, file=sys.stderr)
    threads._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__" and (words := _next_request(socket.socket(fileno=int(sys.argv[1])))):
    sys.argv[1:] = words
    _end(importlib.import_module("wavebreak.cli").main)
