"""The ledger: appends entries, signs checkpoints and proves entries, over a given storage.

Proofs are given as the files of a proof bundle, which the verifier alone checks.

Witnesses (C2SP tlog-witness) cosign checkpoints. A witness stores the last checkpoint of each log
that it signed, and signs a later one only with a proof that it continues that one. Witnesses are
run by others, with existing software. A request is `POST URL/add-checkpoint`: the size that the
witness signed last, the consistency proof from that size, an empty line, the checkpoint. A witness
that signed another size answers 409 with that size, so the client stores nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from wavebreak.ledger import merkle_tree, verifier
from wavebreak.ledger.checkpoints import (
    MAX_RESPONSE,
    Signer,
    encode_verifier_key,
    sign_checkpoint,
)
from wavebreak.ledger.entries import Entry, KeyEntry, Openings, make_entry, read_entry
from wavebreak.ledger.errors import convert_verifier_errors, ledger_error


class Storage(Protocol):
    """Storage of a ledger, append-only and durable."""

    def size(self) -> int:
        """How many entries there are."""
        ...

    def append(self, lines: Sequence[bytes], nodes: bytes) -> None:
        """Keep entries, and the tree's nodes that they add (32 bytes each): all, or none."""
        ...

    def line(self, position: int) -> bytes:
        """One entry."""
        ...

    def node(self, index: int) -> bytes:
        """One node of the tree, by number in post-order."""
        ...

    def keep(self, note: bytes) -> None:
        """Keep a signed checkpoint, after all earlier ones."""
        ...

    def latest(self) -> bytes | None:
        """The checkpoint kept last."""
        ...


class MemoryStorage:
    """Storage in memory, for tests and short-lived ledgers."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.nodes = bytearray()
        self.notes: list[bytes] = []

    def size(self) -> int:
        """How many entries there are."""
        return len(self.lines)

    def append(self, lines: Sequence[bytes], nodes: bytes) -> None:
        """Keep entries and nodes."""
        self.lines += lines
        self.nodes += nodes

    def line(self, position: int) -> bytes:
        """One entry."""
        return self.lines[position]

    def node(self, index: int) -> bytes:
        """One node."""
        return bytes(self.nodes[32 * index : 32 * index + 32])

    def keep(self, note: bytes) -> None:
        """Keep a checkpoint."""
        self.notes.append(note)

    def latest(self) -> bytes | None:
        """The checkpoint kept last."""
        return self.notes[-1] if self.notes else None


class Ledger:
    """An append-only log over a storage, sealed by one signer; the origin is the signer's name.

    Opening it checks that its last checkpoint is the signer's, and that the tree still has that
    root; raises EvidenceError where not. One ledger at a time may write to a storage.

    >>> from wavebreak.ledger.checkpoints import new_signer
    >>> ledger = Ledger(MemoryStorage(), new_signer("example.org/log"))
    >>> ledger.seal([b'{"at":0,"body":{},"commits":{},"kind":"step","v":1}'])
    range(0, 1)
    >>> ledger.sealed.size
    1
    """

    def __init__(self, storage: Storage, signer: Signer) -> None:
        self.storage, self.signer = storage, signer
        self.size = storage.size()
        self._peaks = merkle_tree.peaks(storage.node, self.size)
        self._last = check_last_checkpoint(storage, signer)

    @property
    def sealed(self) -> verifier.Checkpoint:
        """The last checkpoint; raises EvidenceError where there is none yet."""
        if self._last is None:
            raise ledger_error(
                "checkpoint_missing", "the ledger has no checkpoint", "seal something first"
            )
        return self._last

    @property
    def note(self) -> bytes:
        """The last checkpoint as a signed note."""
        return self.storage.latest() or b""

    def append(self, entries: Iterable[Entry | bytes]) -> range:
        """Append entries; their positions. They are durable, and sealed by the next checkpoint."""
        lines = [_line(entry) for entry in entries]
        peaks, nodes, size = self._peaks.copy(), [], self.size
        for line in lines:
            nodes += verifier.add_leaf(peaks, size, verifier.hash_node(verifier.LEAF, line))
            size += 1
        self.storage.append(lines, b"".join(nodes))
        before, self.size, self._peaks = self.size, size, peaks
        return range(before, size)

    def checkpoint(self) -> bytes:
        """Seal appended entries: a new signed note, or the last one if no entry is new."""
        if self._last is None or self._last.size < self.size:
            note = sign_checkpoint(self.signer, self.size, verifier.root_hash(self._peaks))
            self.storage.keep(note)
            self._last = verifier.read_checkpoint(note)
            return note
        return self.note

    def seal(self, entries: Iterable[Entry | bytes]) -> range:
        """Append and seal."""
        positions = self.append(entries)
        self.checkpoint()
        return positions

    def witnessed(self, note: bytes) -> None:
        """Store the last checkpoint with the signatures that witnesses added."""
        with convert_verifier_errors():
            checkpoint = verifier.read_checkpoint(note)
            verifier.check_signature(checkpoint, self.signer.key)
        if checkpoint.text != self.sealed.text:
            raise ledger_error(
                "checkpoint_other", "the witness signed another checkpoint than the last"
            )
        if note != self.note:
            self.storage.keep(note)
        self._last = checkpoint

    def entry(self, position: int) -> Entry:
        """Read an entry."""
        return read_entry(self.storage.line(position))

    def prove(self, position: int) -> list[bytes]:
        """Give the hashes that prove an entry to be under the last checkpoint."""
        size = self.sealed.size
        if not 0 <= position < size:
            raise ledger_error("proof_position", f"entry {position} is not among the {size} sealed")
        return merkle_tree.inclusion_proof(self.storage.node, position, size)

    def consistency(self, old: int) -> list[bytes]:
        """Give the hashes that prove the last checkpoint to continue an older of `old` entries."""
        if not 0 <= old <= self.sealed.size:
            raise ledger_error(
                "rolled_back", f"{old} entries are more than the {self.sealed.size} sealed"
            )
        return merkle_tree.consistency_proof(self.storage.node, old, self.sealed.size)


def _line(entry: Entry | bytes) -> bytes:
    if isinstance(entry, Entry):
        return entry.line()
    with convert_verifier_errors():
        verifier.check_entry(entry)
    return entry


def check_last_checkpoint(storage: Storage, signer: Signer) -> verifier.Checkpoint | None:
    """Check a storage's last checkpoint against a signer and the stored tree."""
    note = storage.latest()
    if note is None:
        return None
    with convert_verifier_errors():
        last = verifier.read_checkpoint(note)
        verifier.check_signature(last, signer.key)
    if last.size > storage.size():
        raise ledger_error("log_cut", f"{storage.size()} entries are left, not {last.size}")
    if verifier.root_hash(merkle_tree.peaks(storage.node, last.size)) != last.root:
        raise ledger_error(
            "root_wrong", "the stored tree has another root than the last checkpoint"
        )
    return last


def rotate_key(storage: Storage, old: Signer, new: Signer, *, why: str, at_ms: int) -> None:
    """Change the key that signs a ledger's checkpoints, and seal the change.

    The last checkpoint of the earlier key is followed by one of the later key over the same
    entries. Raises EvidenceError if the ledger differs from the earlier key's checkpoint.

    Args:
        storage: The ledger's storage, without another writer.
        old: The key so far.
        new: The next key, of the same name.
        why: RETIRED or REVOKED.
        at_ms: Now.
    """
    ledger = Ledger(storage, old)
    body = KeyEntry(encode_verifier_key(new.key), why)
    entry, _ = make_entry("key", body, {}, at=at_ms, salts=bytes)
    ledger.seal([entry])
    storage.keep(sign_checkpoint(new, ledger.size, ledger.sealed.root))
    Ledger(storage, new)


def proof_bundle(
    ledger: Ledger,
    positions: Iterable[int],
    openings: Mapping[int, Openings] | None = None,
    *,
    since: int | None = None,
) -> dict[str, bytes]:
    """Return the files of a proof bundle by name, under the ledger's last checkpoint.

    Args:
        ledger: The ledger.
        positions: Positions of the entries.
        openings: The openings that the reader may see, by position.
        since: The size of a checkpoint that the reader has: adds the consistency proof from it.
    """
    lines = [
        encode_proof(ledger, position, (openings or {}).get(position, {}))
        for position in sorted(set(positions))
    ]
    files = {
        "checkpoints.jsonl": _json_line(ledger.note.decode()),
        "key.pub": f"{encode_verifier_key(ledger.signer.key)}\n".encode(),
        "proofs.jsonl": b"".join(map(_json_line, lines)),
    }
    if since is not None:
        hashes = encode_hashes(ledger.consistency(since))
        files["consistency.json"] = verifier.canonical(hashes).encode()
    return files


def encode_proof(ledger: Ledger, position: int, openings: Openings) -> dict[str, Any]:
    """Return one entry with a proof, as a value: a line of `proofs.jsonl`."""
    line = ledger.storage.line(position)
    with convert_verifier_errors():
        return {
            "entry": verifier.read_json(line, "entry"),
            "leaf": encode_hashes([verifier.hash_node(verifier.LEAF, line)])[0],
            "openings": {field: [salt.hex(), value] for field, (salt, value) in openings.items()},
            "path": encode_hashes(ledger.prove(position)),
            "position": position,
        }


def encode_hashes(hashes: Iterable[bytes]) -> list[str]:
    """Encode hashes in base64, as in `proofs.jsonl`."""
    return [base64.b64encode(digest).decode() for digest in hashes]


def _json_line(value: Any) -> bytes:
    return verifier.canonical(value).encode() + b"\n"


WITNESS_ENDPOINT = "add-checkpoint"
"""Last part of a witness's URL."""
SendCheckpoint = Callable[[bytes], tuple[int, bytes]]
"""Sends a request to a witness; returns the status and the body of the response."""


def cosign(ledger: Ledger, witness: verifier.Key, send: SendCheckpoint) -> bytes:
    """Return the last checkpoint of a ledger with the signature of a witness.

    A checkpoint that this witness signed already is returned unchanged.

    Raises EvidenceError: `witness_key` if the key is not a witness's, `witness_refused` if the
    witness did not sign, `witness_wrong` if the response is not its signature.
    """
    if witness.kind != verifier.WITNESS:
        raise ledger_error("witness_key", f"{witness.name} is the key of a log, not of a witness")
    checkpoint = ledger.note
    if _is_signed_by(checkpoint, witness):
        return checkpoint
    status, response = send(_encode_request(ledger, 0))
    if status == 409 and response.strip().isdigit() and len(response) < 20:
        signed_size = int(response)
        if signed_size > ledger.sealed.size:
            raise ledger_error(
                "witness_refused",
                f"{witness.name} signed {signed_size:,} entries of this log before",
            )
        status, response = send(_encode_request(ledger, signed_size))
    if status != 200:
        raise ledger_error("witness_refused", f"{witness.name} did not sign (status {status})")
    note = checkpoint + response
    if len(response) > MAX_RESPONSE or not _is_signed_by(note, witness):
        raise ledger_error("witness_wrong", f"what {witness.name} answered is not its signature")
    return note


def _is_signed_by(note: bytes, witness: verifier.Key) -> bool:
    try:
        verifier.check_signature(verifier.read_checkpoint(note), witness)
    except verifier.VerifierError:
        return False
    return True


def _encode_request(ledger: Ledger, signed_size: int) -> bytes:
    hashes = encode_hashes(ledger.consistency(signed_size)) if signed_size else []
    return "\n".join([f"old {signed_size}", *hashes, "", ""]).encode() + ledger.note
