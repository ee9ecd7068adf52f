"""Witnesses over HTTP (C2SP tlog-witness): asking one to sign a checkpoint, and being one.

A witness remembers the last checkpoint of each log that it signed, and signs the next one only
where a proof shows that it continues that one. What it signs, its holder cannot have rewritten.

A request is `POST <log>/add-checkpoint`: the size that the witness signed last, the consistency
proof from there, an empty line, the checkpoint. Where the witness remembers another size it
answers 409 with that size, so that who asks need not remember anything.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from wavebreak.durable_files import replacing
from wavebreak.ledger import verifier
from wavebreak.ledger.checkpoints import MAX_RESPONSE, Signer, add_cosignature
from wavebreak.ledger.errors import ledger_error
from wavebreak.ledger.ledger import Ledger
from wavebreak.ledger.proofs import encode_hashes

ADD = "add-checkpoint"
"""The last part of the address that a witness answers at."""
Ask = Callable[[bytes], tuple[int, bytes]]
"""Sends a request to a witness; returns the status and the body of its answer."""
MAX_REQUEST = 1 << 16
_LOG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def ask_witness(ledger: Ledger, witness: verifier.Key, ask: Ask) -> None:
    """Have a witness sign the last checkpoint of a ledger, and keep the signature with it.

    A checkpoint that this witness signed already is left as it is.

    Raises EvidenceError: `witness_key` where the key is none of a witness, `witness_refused` where
    it did not sign, `witness_wrong` where what it answered is not its signature.
    """
    if witness.kind != verifier.WITNESS:
        raise ledger_error("witness_key", f"{witness.name} is the key of a log, not of a witness")
    if _signed_by(ledger.note, witness):
        return
    status, answer = ask(_encode_request(ledger, 0))
    if status == 409 and answer.strip().isdigit() and len(answer) < 20:
        since = int(answer)
        if since > ledger.sealed.size:
            raise ledger_error(
                "witness_refused", f"{witness.name} signed {since:,} entries of this log before"
            )
        status, answer = ask(_encode_request(ledger, since))
    if status != 200:
        raise ledger_error("witness_refused", f"{witness.name} did not sign (status {status})")
    note = ledger.note + answer
    if len(answer) > MAX_RESPONSE or not _signed_by(note, witness):
        raise ledger_error("witness_wrong", f"what {witness.name} answered is not its signature")
    ledger.witnessed(note)


def _signed_by(note: bytes, witness: verifier.Key) -> bool:
    try:
        verifier.check_signature(verifier.read_checkpoint(note), witness)
    except verifier.VerifierError:
        return False
    return True


def _encode_request(ledger: Ledger, since: int) -> bytes:
    hashes = encode_hashes(ledger.consistency(since)) if since else []
    return "\n".join([f"old {since}", *hashes, "", ""]).encode() + ledger.note


class Witness:
    """Who signs checkpoints of logs whose keys it knows, and remembers the last one of each.

    Args:
        directory: Where it remembers, a file for each log.
        clock: The time, in seconds.
    """

    def __init__(
        self, directory: Path, signer: Signer, logs: list[verifier.Key], clock: Callable[[], int]
    ) -> None:
        self.directory, self.signer, self.logs, self.clock = directory, signer, logs, clock
        self._lock = threading.Lock()

    def answer(self, log: str, request: bytes) -> tuple[int, bytes]:
        """Answer a request for a log, by its name in the address: status and body."""
        if not _LOG.fullmatch(log):
            return 404, b""
        try:
            since, proof, note = _read_request(request)
            checkpoint = verifier.read_checkpoint(note)
        except (verifier.VerifierError, ValueError, binascii.Error):
            return 400, b""
        known = [
            key for key in self.logs if key.name == checkpoint.origin and key.kind == verifier.LOG
        ]
        if not known:
            return 404, b""
        if not any(_signed_by(note, key) for key in known):
            return 403, b""
        with self._lock:
            return self._sign(self.directory / f"{log}.txt", checkpoint, note, since, proof)

    def _sign(
        self,
        kept: Path,
        checkpoint: verifier.Checkpoint,
        note: bytes,
        since: int,
        proof: list[bytes],
    ) -> tuple[int, bytes]:
        """Sign a checkpoint of a log that is known, where it continues the one that is kept."""
        if kept.exists():
            last = verifier.read_checkpoint(kept.read_bytes())
            if since != last.size:
                return 409, f"{last.size}\n".encode()
            try:
                verifier.check_consistency(last, checkpoint, proof)
            except verifier.VerifierError:
                return 422, b""
        elif since:
            return 409, b"0\n"
        with replacing(kept) as fresh:
            fresh.write(note)
        return 200, add_cosignature(note, self.signer, self.clock())[len(note) :]


def witness_server(witness: Witness, host: str, port: int) -> ThreadingHTTPServer:
    """Return an HTTP server, not yet running, by which a witness answers."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self) -> None:
            log, _, last = self.path.strip("/").rpartition("/")
            length = self.headers.get("content-length", "")
            if last != ADD or not length.isdigit():
                status, body = 404, b""
            elif len(length) > 6 or int(length) > MAX_REQUEST:
                status, body = 413, b""
            else:
                status, body = witness.answer(log, self.rfile.read(int(length)))
            self.send_response(status)
            kind = "text/x.tlog.size" if status == 409 else "text/plain; charset=utf-8"
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: who asks is nobody's to keep."""

    return ThreadingHTTPServer((host, port), Handler)


def _read_request(request: bytes) -> tuple[int, list[bytes], bytes]:
    """Read a request; raises ValueError where it is none."""
    if len(request) > MAX_REQUEST:
        raise ValueError("too long")
    head, separator, note = request.partition(b"\n\n")
    first, *lines = head.decode("ascii").split("\n")
    word, _, since = first.partition(" ")
    if word != "old" or not since.isdigit() or len(since) > 19 or not separator or len(lines) > 63:
        raise ValueError("no request")
    return int(since), [base64.b64decode(line, validate=True) for line in lines], note
