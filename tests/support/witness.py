"""A witness of logs for tests: signs a checkpoint that continues the one it signed last."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer

from support.webhook_receiver import Answer, listening
from wavebreak.ledger import Signer, new_signer
from wavebreak.ledger.verifier import (
    WITNESS,
    Checkpoint,
    Key,
    VerifierError,
    check_consistency,
    check_signature,
    read_checkpoint,
)


def add_cosignature(note: bytes, witness: Signer, time_s: int) -> bytes:
    """Add a witness's signature to a checkpoint (C2SP cosignature/v1)."""
    message = f"cosignature/v1\ntime {time_s}\n{read_checkpoint(note).text}".encode()
    signature = witness.key.id + time_s.to_bytes(8) + witness.sign(message)
    return note + f"— {witness.name} {base64.b64encode(signature).decode()}\n".encode()


class FakeWitness:
    """Answers requests of C2SP tlog-witness for one log; `last` is the checkpoint signed last."""

    def __init__(self, log: Key, time_s: int = 1_700_000_000) -> None:
        self.log, self.time_s = log, time_s
        self.signer = new_signer("witness.example", WITNESS, secret=bytes(range(1, 33)))
        self.last: Checkpoint | None = None

    def respond(self, request: bytes) -> tuple[int, bytes]:
        """Return the status and the body of the response."""
        head, _, note = request.partition(b"\n\n")
        old, *hashes = head.decode("ascii").split("\n")
        checkpoint, signed_size = read_checkpoint(note), self.last.size if self.last else 0
        if checkpoint.origin != self.log.name:
            return 404, b""
        try:
            check_signature(checkpoint, self.log)
        except VerifierError:
            return 403, b""
        if old != f"old {signed_size}":
            return 409, f"{signed_size}\n".encode()
        if self.last:
            try:
                proof = [base64.b64decode(line, validate=True) for line in hashes]
                check_consistency(self.last, checkpoint, proof)
            except VerifierError:
                return 422, b""
        self.last = checkpoint
        return 200, add_cosignature(note, self.signer, self.time_s).removeprefix(note)


@contextmanager
def listening_witness(witness: FakeWitness) -> Iterator[str]:
    """Run a witness on this machine, under any prefix; yields its address."""

    class Handler(Answer):
        def answer(self) -> None:
            status, body = 404, b""
            if self.path.endswith("/add-checkpoint"):
                status, body = witness.respond(self.body())
            self.whole(body, status=status)

    with listening(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}"
