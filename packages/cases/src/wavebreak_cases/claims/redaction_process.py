"""Pages drawn and redacted copies made in a process of its own, for a service that draws none.

The file of an exhibit is a stranger's, and what draws it is written in C. So the process has limits
of time and memory, none of the service's environment, and no network where the system allows that.
What it does is `wavebreak_cases.claims.redaction`, as the command does it.

    python -m wavebreak_cases.claims.redaction_process     # reads a request, writes an answer
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wavebreak.errors import ClaimError, WavebreakError
from wavebreak.extras import LazyModule
from wavebreak_cases.claims import ocr
from wavebreak_cases.claims.config import RedactionLimits, load_limits
from wavebreak_cases.claims.exhibits import Actor

if TYPE_CHECKING:
    from wavebreak_cases.claims import redaction
    from wavebreak_cases.claims.redaction import Marks, RedactedCopy
else:  # the service's own process draws nothing
    redaction = LazyModule("wavebreak_cases.claims.redaction")

_BY_COMMAND = "redact it by the command “case redact”, which has no such limits"
_KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME")


class _Draw(msgspec.Struct, frozen=True, tag="draw"):
    directory: str
    page: int


class _Redact(msgspec.Struct, frozen=True, tag="redact"):
    source: str
    target: str
    marks: bytes
    actor: Actor
    at: str


class _Request(msgspec.Struct, frozen=True):
    limits: RedactionLimits
    work: _Draw | _Redact


class _Failed(msgspec.Struct, frozen=True, tag="failed"):
    what: str
    fix: str
    code: str = ""


class _Done(msgspec.Struct, frozen=True, tag="done"):
    content: bytes


def draw_page(directory: Path, number: int) -> bytes:
    """Return a page of an exhibit as a PNG picture; raises ClaimError.

    Args:
        directory: The exhibit.
        number: The page, from 1.
    """
    return _ask(_Draw(str(directory), number))


def redact_exhibit(source: Path, target: Path, marks: Marks, actor: Actor, at: str) -> RedactedCopy:
    """Make a redacted copy of an exhibit; as `wavebreak_cases.claims.redaction.redact_exhibit`.

    Raises:
        ClaimError: As there; or it needs more than the limits of a process.
    """
    packed = msgspec.msgpack.encode(marks)
    made = _ask(_Redact(str(source), str(target), packed, actor, at))
    return msgspec.msgpack.decode(made, type=redaction.RedactedCopy)


@cache
def _places(most: int) -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(most)


def _ask(work: _Draw | _Redact) -> bytes:
    limits = load_limits().redaction
    places = _places(limits.at_once)
    if not places.acquire(timeout=2 * limits.seconds):
        raise ClaimError("too many pages are drawn at once", fix="try again in a minute")
    try:
        done = subprocess.run(  # noqa: S603 - this program itself, and no value of a request
            [*ocr.network_barrier(), sys.executable, "-m", __name__],
            input=msgspec.msgpack.encode(_Request(limits, work)),
            capture_output=True,
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
            timeout=2 * limits.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ClaimError("it did not end within its time", fix=_BY_COMMAND) from None
    finally:
        places.release()
    try:
        answer = msgspec.msgpack.decode(done.stdout, type=_Done | _Failed)
    except msgspec.MsgspecError:
        raise ClaimError(
            f"it could not be drawn within its limits (exit code {done.returncode})",
            fix=_BY_COMMAND,
        ) from None
    if isinstance(answer, _Failed):
        raise ClaimError(answer.what, fix=answer.fix, code=answer.code)
    return answer.content


def _limit(limits: RedactionLimits) -> None:
    memory, seconds = 1024 * limits.memory_kb, limits.seconds
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # the system allows less already
            resource.setrlimit(what, (most, most))


def _answer(work: _Draw | _Redact) -> bytes:
    if isinstance(work, _Draw):
        return redaction.draw_page(Path(work.directory), work.page)
    marks = msgspec.msgpack.decode(work.marks, type=redaction.Marks)
    source, target = Path(work.source), Path(work.target)
    made = redaction.redact_exhibit(source, target, marks, work.actor, work.at)
    return msgspec.msgpack.encode(made)


def main() -> None:
    """Answer the one request of standard input, within limits."""
    request = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=_Request)
    _limit(request.limits)
    answer: _Done | _Failed
    try:
        answer = _Done(_answer(request.work))
    except WavebreakError as error:
        answer = _Failed(error.what, error.fix, error.code)
    except MemoryError:
        answer = _Failed("it needs more memory than one exhibit may", _BY_COMMAND)
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer))


if __name__ == "__main__":
    main()
