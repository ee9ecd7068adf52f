"""The file of a log's key history, its statements (see `key_changes`), and the change of a key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from wavebreak.errors import FileError
from wavebreak.ledger.checkpoints import Signer, encode_verifier_key, sign_checkpoint, sign_note
from wavebreak.ledger.entries import KeyEntry, make_entry
from wavebreak.ledger.errors import convert_verifier_errors, ledger_error
from wavebreak.ledger.key_changes import HEADING, read_change, read_changes
from wavebreak.ledger.key_changes import RETIRED as RETIRED
from wavebreak.ledger.key_changes import REVOKED as REVOKED
from wavebreak.ledger.key_changes import KeyChange as KeyChange
from wavebreak.ledger.key_changes import KnownKey as KnownKey
from wavebreak.ledger.key_changes import known_keys as known_keys
from wavebreak.ledger.key_changes import revoked_doubt as revoked_doubt
from wavebreak.ledger.ledger import Ledger, Storage

HISTORY = "key-history.jsonl"
"""The file's name, in a ledger's or a service's directory and where it is published."""
_FIX = "ask the log's owner for the key history as it was published"


def encode_change(change: KeyChange, signers: Sequence[Signer]) -> bytes:
    """Write and sign a statement; the signers are the later key, and of a retired one the earlier.

    Raises EvidenceError for keys of different logs, or where a signature is missing.
    """
    keys = (encode_verifier_key(change.before), encode_verifier_key(change.after))
    text = "\n".join((HEADING, *keys, change.why, str(change.at), ""))
    note = sign_note(signers, text)
    with convert_verifier_errors(_FIX):
        made = read_change(note)
    if made != change:
        raise ledger_error("key_change", "a statement is of other keys than were given")
    return note


def read_history(path: Path) -> list[KeyChange]:
    """Read a file of statements, each a line of JSON; the order of lines does not matter.

    Raises:
        FileError: The file cannot be read.
        EvidenceError: A statement is not well formed, or not signed by the keys that must sign it.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FileError(
            f"the key history {path} cannot be read: {error.strerror}", fix="name a file"
        ) from None
    with convert_verifier_errors(_FIX):
        return read_changes(raw)


def add_to_history(path: Path, note: bytes) -> None:
    """Append a signed statement to a file, once; raises FileError where it cannot be written."""
    line = json.dumps(note.decode(), ensure_ascii=False).encode() + b"\n"
    try:
        if not path.exists() or line not in path.read_bytes().splitlines(keepends=True):
            with path.open("ab") as file:
                file.write(line)
    except OSError as error:
        raise FileError(
            f"the key history {path} cannot be written: {error.strerror}", fix="name a file"
        ) from None


def rotate(storage: Storage, old: Signer, new: Signer, *, why: str, at: int) -> None:
    """Have a ledger's later checkpoints signed by another key, and seal that it is so.

    The last checkpoint of the earlier key is followed by one of the later key over the same
    entries. Raises EvidenceError where the ledger is not as the earlier key signed it.

    Args:
        storage: The ledger's storage, to which nobody else writes.
        old: The key that signed it so far.
        new: The key that signs it from now on, of the same name.
        why: RETIRED or REVOKED.
        at: Now (ms).
    """
    ledger = Ledger(storage, old)
    body = KeyEntry(encode_verifier_key(new.key), why)
    entry, _ = make_entry("key", body, {}, at=at, salts=bytes)
    ledger.seal([entry])
    storage.keep(sign_checkpoint(new, ledger.size, ledger.sealed.root))
    Ledger(storage, new)
