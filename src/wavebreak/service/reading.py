"""Bodies read in a process of their own: reading holds Python's lock, and who decides waits for it.

What a body can do to its reader (a library that aborts on damaged columns) it does to that process
alone, which is then begun anew. It ends with the one that began it: its pipe has no other end then.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from socket import socketpair

from wavebreak.edge import Edge
from wavebreak.errors import EventError, ServiceError
from wavebreak.formats import lines
from wavebreak.service import log
from wavebreak.service.bodies import Body, Decoded, Decoder, joined
from wavebreak.service.settings import Limits
from wavebreak.service.waiting import place

_DEADLY = EventError("the body cannot be read", fix="write it again")


class Reader:
    """Reads bodies over the edge as a `Decoder` does, and packs them for the log. For one thread.

    A body over which the process dies twice is refused; the others are read.
    """

    def __init__(self, edge: Edge, limits: Limits) -> None:
        self._edge, self._limits = edge, limits
        self._begin()

    def _begin(self) -> None:
        here, there = socketpair()
        with there:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, by number
                [sys.executable, "-m", __name__, str(there.fileno())], pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        self._pipe = Connection(here.detach())
        self._pipe.send((self._edge, self._limits))

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.wait()

    def decode(self, bodies: Sequence[Body]) -> Decoded:
        """Read bodies, together; raises ServiceError where reading failed for a fault of ours."""
        made = self._read(bodies)
        if made is not None:
            return made
        alone = [self._read([body]) or _nothing() for body in bodies]
        events = joined([one.log for one in alone])
        reads = tuple(read for one in alone for read in one.reads)
        return Decoded(events, reads, bytes(log.packed(events)))

    def _read(self, bodies: Sequence[Body]) -> Decoded | None:
        """What the process made of them; None where it died over them, and is another one now."""
        try:
            self._pipe.send(bodies)
            made = self._pipe.recv()
        except (EOFError, OSError):
            self.close()
            self._begin()
            return None
        if isinstance(made, ServiceError):
            raise made
        laid, blob, reads = made
        return Decoded(log.opened(laid), reads, blob)


def _nothing() -> Decoded:
    return Decoded(joined([]), (_DEADLY,))


def answered(decoder: Decoder, bodies: Sequence[Body]) -> object:
    """Give what the process answers: the events laid out and packed, and what each body came to."""
    try:
        made = decoder.decode(bodies, narrow=True)
        laid = log.laid(made.log)
    except MemoryError:
        # To die of it has the bodies read one by one.
        raise
    except Exception as error:
        return ServiceError(f"reading failed: {place(error)}")
    return bytes(laid), bytes(log.compressed(laid)), made.reads


def _bound(memory: int) -> None:
    """Let this process take so much at most, or less where less is allowed already."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY or soft > memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, hard))


def main() -> None:
    """Read what comes through the pipe whose number is the first argument, until it ends."""
    for ends in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ends, signal.SIG_IGN)
    pipe = Connection(int(sys.argv[1]))
    with suppress(EOFError, OSError):
        edge, limits = pipe.recv()
        _bound(limits.reader)
        decoder = Decoder(edge, limits)
        lines.warm()
        while True:
            pipe.send(answered(decoder, pipe.recv()))


if __name__ == "__main__":
    main()
