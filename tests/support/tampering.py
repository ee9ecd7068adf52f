"""A sealed ledger and a parcel of it, to tamper with: what is changed, and the name it is found by.

A case is (what is done, the error's name, how). `how` changes files, keys or remembered checkpoints
of a `Scene`; `LEDGER` cases are checked on the ledger, `PARCEL` cases on the parcel.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.x509 import Certificate

from support.ledger_fixtures import SIGNER, a_decision
from support.rfc3161_authority import Authority
from support.witness import add_cosignature
from wavebreak.ledger import (
    DirectoryStorage,
    Ledger,
    LedgerRecorder,
    OpeningFile,
    Signer,
    new_signer,
    proof_bundle,
)
from wavebreak.ledger.checkpoints import request_time_stamp, sign_checkpoint
from wavebreak.ledger.errors import convert_verifier_errors
from wavebreak.ledger.verifier import WITNESS, Checkpoint, Key, canonical, read_checkpoint, read_key

STRANGER = new_signer(SIGNER.name, secret=bytes(32))
OTHER = new_signer("example.org/other", secret=bytes(32))
WATCHER = new_signer("witness.example", WITNESS, bytes(32))
CLOCK = Authority(datetime(2026, 5, 1, 12, 30, tzinfo=UTC))
Lines = list[bytes]


@dataclass
class Scene:
    """A copy of all, and what the reader holds: keys, and a checkpoint of 5 entries."""

    log: Path
    parcel: Path
    keys: list[Key]
    kept: list[Checkpoint]
    roots: list[Certificate] = field(default_factory=list)


Change = Callable[[Scene], None]


def salts(count: int) -> bytes:
    """Salts that are alike in each test, and unlike in each field."""
    return bytes(k % 251 for k in range(count))


def build(place: Path) -> Scene:
    """Nine decisions and three receipts in three checkpoints, the last one witnessed; a parcel."""
    files = DirectoryStorage(place / "log", write=True)
    ledger, store = Ledger(files, SIGNER), OpeningFile(":memory:")
    made = [a_decision(f"account-{k}", k / 10) for k in range(9)]
    recorder = LedgerRecorder(ledger, store, clock=iter((1, 2, 3)).__next__, salts=salts)
    recorder.decisions(made[:5])
    kept = ledger.sealed
    recorder.decisions(made[5:])
    recorder.receipts(range(3), made[:3])
    ledger.witnessed(add_cosignature(ledger.note, WATCHER, 1_700_000_000))
    (place / "parcel").mkdir()
    opened = {at: store.of(at) for at in (1, 6)}
    for name, told in proof_bundle(ledger, [1, 6, 10, 11], opened, since=5).items():
        (place / "parcel" / name).write_bytes(told)
    files.close()
    (place / "log" / "stamps").mkdir()
    answer = request_time_stamp(ledger.note, CLOCK.answer, [CLOCK.certificate])
    (place / "log" / "stamps" / "12.txt").write_bytes(ledger.note)
    (place / "log" / "stamps" / "12.tsr").write_bytes(answer)
    keys = [SIGNER.key, WATCHER.key]
    return Scene(place / "log", place / "parcel", keys, [kept], [CLOCK.certificate])


def entries(change: Callable[[Lines], Lines | None]) -> Change:
    """Change the ledger's entries, as a list of lines in place or a new one."""
    return _lines(lambda scene: scene.log / "entries.jsonl", change)


def proofs(change: Callable[[Lines], Lines | None]) -> Change:
    """Change the lines of the parcel's proofs."""
    return _lines(lambda scene: scene.parcel / "proofs.jsonl", change)


def _lines(where: Callable[[Scene], Path], change: Callable[[Lines], Lines | None]) -> Change:
    def how(scene: Scene) -> None:
        lines = where(scene).read_bytes().splitlines()
        changed = change(lines)
        lines = lines if changed is None else changed
        where(scene).write_bytes(b"".join(line + b"\n" for line in lines))

    return how


def at(position: int, old: bytes, new: bytes) -> Callable[[Lines], None]:
    """Replace bytes in one line."""

    def change(lines: Lines) -> None:
        assert old in lines[position], (old, lines[position])
        lines[position] = lines[position].replace(old, new, 1)

    return change


def proof(position: int, change: Callable[[dict[str, Any]], None]) -> Change:
    """Change one proof as the object that it is."""

    def rewrite(lines: Lines) -> None:
        told = json.loads(lines[position])
        change(told)
        lines[position] = canonical(told).encode()

    return proofs(rewrite)


def noted(change: Callable[[str], str]) -> Change:
    """Change the text of the ledger's last checkpoint, which stays a JSON string."""

    def how(lines: Lines) -> None:
        told = json.loads(lines[-1])
        changed = change(told)
        assert changed != told
        lines[-1] = canonical(changed).encode()

    return notes(how)


def note(old: str, new: str) -> Change:
    """Replace text in the ledger's last checkpoint."""
    return noted(lambda told: told.replace(old, new, 1))


def rooted(change: Callable[[str], str]) -> Change:
    """Change the root, as base64, of the last checkpoint."""

    def how(told: str) -> str:
        origin, size, root, *more = told.split("\n")
        return "\n".join([origin, size, change(root), *more])

    return noted(how)


def signature(index: int, change: Callable[[bytes], bytes | None]) -> Change:
    """Change a signature (0: the log's, 1: the witness's), key id first; None takes it away."""

    def how(told: str) -> str:
        text, _, block = told.rpartition("\n\n")
        lines = block.splitlines(keepends=True)
        head, _, made = lines[index].rpartition(" ")
        changed = change(base64.b64decode(made))
        lines[index] = f"{head} {b64(changed)}\n" if changed is not None else ""
        return f"{text}\n\n{''.join(lines)}"

    return noted(how)


def b64(told: bytes) -> str:
    """Base64, as text."""
    return base64.b64encode(told).decode()


def notes(change: Callable[[Lines], Lines | None]) -> Change:
    """Change the lines of the ledger's checkpoints."""
    return _lines(lambda scene: scene.log / "checkpoints.jsonl", change)


def signed(size: int, root: bytes | None = None, signer: Signer = SIGNER) -> Change:
    """Put a checkpoint of this size, signed and witnessed, in place of the last."""

    def how(told: str) -> str:
        made = sign_checkpoint(signer, size, root or read_checkpoint(told.encode()).root)
        return add_cosignature(made, WATCHER, 1).decode()

    return noted(how)


def raw(name: str, change: Callable[[bytes], bytes], of: str = "log") -> Change:
    """Change the bytes of a file."""

    def how(scene: Scene) -> None:
        path = getattr(scene, of) / name
        path.write_bytes(change(path.read_bytes()))

    return how


def flipped(told: bytes, index: int = 0) -> bytes:
    """One bit is turned."""
    return told[:index] + bytes([told[index] ^ 1]) + told[index + 1 :]


def resealed(*lines: bytes) -> Change:
    """The log's own operator seals more entries, whatever they say."""

    def how(scene: Scene) -> None:
        files = DirectoryStorage(scene.log, write=True)
        ledger = Ledger(files, SIGNER)
        ledger.seal(lines)
        ledger.witnessed(add_cosignature(ledger.note, WATCHER, 5))
        files.close()

    return how


def rewritten(signer: Any, first: int, size: int) -> Change:
    """A history of its own from entry `first` on, whole in itself."""

    def how(scene: Scene) -> None:
        old = (scene.log / "entries.jsonl").read_bytes().splitlines()[:size]
        for name in ("entries.jsonl", "nodes", "ends", "checkpoints.jsonl"):
            (scene.log / name).unlink()
        files = DirectoryStorage(scene.log, write=True)
        ledger = Ledger(files, signer)
        ledger.seal(old[:first])
        ledger.seal([line.replace(b'"at":', b'"at":9') for line in old[first:]])
        ledger.witnessed(add_cosignature(ledger.note, WATCHER, 5))
        files.close()

    return how


def held(**change: Any) -> Change:
    """The reader holds another checkpoint."""

    def how(scene: Scene) -> None:
        scene.kept = [scene.kept[0]._replace(**change)]

    return how


def keyed(*keys: Key | str) -> Change:
    """The reader holds other keys."""

    def how(scene: Scene) -> None:
        with convert_verifier_errors():
            scene.keys = [read_key(key) if isinstance(key, str) else key for key in keys]

    return how


def borrowed(field: str) -> Change:
    """Of two proofs, the first one takes a field of the second; paths change places."""

    def rewrite(lines: Lines) -> None:
        one, two = json.loads(lines[0]), json.loads(lines[1])
        one[field], two[field] = two[field], one[field]
        lines[:2] = [canonical(one).encode(), canonical(two).encode()]

    return proofs(rewrite)


def under(of: Callable[[Scene], bytes]) -> Change:
    """The parcel stands under another checkpoint, and nothing is remembered."""

    def how(scene: Scene) -> None:
        line = canonical(of(scene).decode()).encode() + b"\n"
        (scene.parcel / "checkpoints.jsonl").write_bytes(line)
        scene.kept = []

    return how


def second(scene: Scene) -> bytes:
    """The checkpoint before the last, witnessed too."""
    line = (scene.log / "checkpoints.jsonl").read_bytes().splitlines()[1]
    return add_cosignature(str(json.loads(line)).encode(), WATCHER, 2)
