"""Which keys a log had before, and until when each is to be trusted: a file of signed statements.

A statement is a signed note over five lines: a heading, the earlier verifier key, the later one,
`retired` or `revoked`, and the time from which that holds (ms). The later key signs it; of a key
that is only retired, the earlier one too. So whoever trusts one of the keys learns of the others:
the later key vouches for those before it, and a retired key for the one after it. A revoked key
vouches for nothing, and what it signed counts only where a witness saw it before that time.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from wavebreak.errors import FileError
from wavebreak.ledger.checkpoints import (
    Signer,
    encode_verifier_key,
    fingerprint,
    sign_checkpoint,
    sign_note,
)
from wavebreak.ledger.detached_signatures import signature_holds
from wavebreak.ledger.entries import KeyEntry, make_entry
from wavebreak.ledger.errors import convert_verifier_errors, ledger_error
from wavebreak.ledger.ledger import Ledger, Storage
from wavebreak.ledger.verifier import (
    LOG,
    MAX_NOTE,
    WITNESS,
    Checkpoint,
    Key,
    check_signature,
    check_signed,
    read_json,
    read_key,
)

HISTORY = "key-history.jsonl"
"""The file's name, in a ledger's or a service's directory and where it is published."""
RETIRED, REVOKED = "retired", "revoked"
MAX_CHANGES = 1_000
"""How many statements a file may have."""
_HEADING = "wavebreak key change v1"
_NOTE = re.compile(
    rf"({_HEADING}\n(\S+)\n(\S+)\n({RETIRED}|{REVOKED})\n(0|[1-9][0-9]{{0,15}})\n)"
    r"\n((?:— \S+ \S+\n)+)"
)
_FIX = "ask the log's owner for the key history as it was published"


class KeyChange(NamedTuple):
    """A log's key gave way to another: `why` RETIRED or REVOKED, from the time `at` (ms) on."""

    before: Key
    after: Key
    why: str
    at: int


class KnownKey(NamedTuple):
    """A key that is trusted: since when it is retired or revoked (ms; None: it is not)."""

    key: Key
    retired: int | None = None
    revoked: int | None = None


def encode_change(change: KeyChange, signers: Sequence[Signer]) -> bytes:
    """Write and sign a statement; the signers are the later key, and of a retired one the earlier.

    Raises EvidenceError for keys of different logs, or where a signature is missing.
    """
    keys = (encode_verifier_key(change.before), encode_verifier_key(change.after))
    text = "\n".join((_HEADING, *keys, change.why, str(change.at), ""))
    note = sign_note(signers, text)
    if _read_change(note) != change:
        raise ledger_error("key_change", "a statement is of other keys than were given")
    return note


def read_history(path: Path) -> list[KeyChange]:
    """Read a file of statements, each a line of JSON; the order of lines does not matter.

    Raises:
        FileError: The file cannot be read.
        EvidenceError: A statement is not well formed, or not signed by the keys that must sign it.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise FileError(
            f"the key history {path} cannot be read: {error.strerror}", fix="name a file"
        ) from None
    if len(lines) > MAX_CHANGES:
        raise ledger_error("key_history_long", f"over {MAX_CHANGES:,} statements", _FIX)
    with convert_verifier_errors(_FIX):
        return [_read_change(str(read_json(line, "key_history")).encode()) for line in lines]


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


def _read_change(note: bytes) -> KeyChange:
    content = note.decode(errors="replace")
    found = _NOTE.fullmatch(content) if len(note) <= MAX_NOTE else None
    if found is None or content.encode() != note:
        raise ledger_error("key_change", "a statement of the key history is malformed", _FIX)
    with convert_verifier_errors(_FIX):
        before, after = read_key(found[2]), read_key(found[3])
    change = KeyChange(before, after, found[4], int(found[5]))
    if before.kind != LOG or after.kind != LOG or before.name != after.name or before == after:
        raise ledger_error("key_change", "a statement is not of two keys of one log", _FIX)
    for key in (after, before) if change.why == RETIRED else (after,):
        _check_signed(found[1].encode(), found[6], key)
    return change


def _check_signed(text: bytes, signatures: str, key: Key) -> None:
    """Check that a key signed; raises EvidenceError."""
    prefix = f"— {key.name} "
    for line in signatures.splitlines():
        if line.startswith(prefix):
            encoded = line.removeprefix(prefix)
            with convert_verifier_errors(_FIX):
                made = base64.b64decode(encoded, validate=True)
            # One signature has one form.
            if base64.b64encode(made).decode() != encoded:
                break
            if made[:4] != key.id:
                continue
            if signature_holds(key, text, made[4:]):
                return
            break
    raise ledger_error(
        "key_change_signature", f"a statement is not signed by the key {key.id.hex()}", _FIX
    )


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


def known_keys(given: Iterable[Key], changes: Sequence[KeyChange] = ()) -> list[KnownKey]:
    """Return the keys to trust: those given, and those of a log's history to which they lead.

    >>> from wavebreak.ledger.checkpoints import new_signer
    >>> old, new = (new_signer("example.org/log", secret=bytes([n]) * 32).key for n in (1, 2))
    >>> moved = KeyChange(old, new, RETIRED, 1_000)
    >>> [(known.key == old, known.retired) for known in known_keys([new], [moved])]
    [(False, None), (True, 1000)]
    """
    trusted = list(dict.fromkeys(given))
    revoked = dict[Key, int]()
    # What later keys say of earlier ones comes first: a revoked key must not vouch meanwhile.
    while _look_back(changes, trusted, revoked) or _look_ahead(changes, trusted, revoked):
        pass
    retired = {change.before: change.at for change in changes if change.why == RETIRED}
    return [KnownKey(key, retired.get(key), revoked.get(key)) for key in trusted]


def _look_back(changes: Sequence[KeyChange], trusted: list[Key], revoked: dict[Key, int]) -> bool:
    """Add what trusted keys say of those before them; whether that was news."""
    was = len(trusted), dict(revoked)
    for change in changes:
        if change.after in trusted and change.after not in revoked:
            if change.why == REVOKED:
                revoked[change.before] = min(revoked.get(change.before, change.at), change.at)
            if change.before not in trusted:
                trusted.append(change.before)
    return was != (len(trusted), revoked)


def _look_ahead(changes: Sequence[KeyChange], trusted: list[Key], revoked: dict[Key, int]) -> bool:
    """Add one key for which a retired key vouches; whether there was one."""
    for change in changes:
        vouched = change.why == RETIRED and change.before in trusted
        if vouched and change.before not in revoked and change.after not in trusted:
            trusted.append(change.after)
            return True
    return False


def revoked_doubt(note: Checkpoint, known: Sequence[KnownKey]) -> list[str]:
    """Say that a checkpoint's key is revoked, unless a witness signed it before that time.

    Returns:
        A sentence, or nothing. The signatures were checked before.
    """
    own = check_signed(note, [each.key for each in known if each.key.kind == LOG])
    revoked = next(each.revoked for each in known if each.key == own)
    seen = [check_signature(note, each.key) for each in known if each.key.kind == WITNESS]
    if revoked is None or any(1000 * at < revoked for at in seen):
        return []
    since = f"{datetime.fromtimestamp(revoked / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return [
        f"when it was made: its key ({fingerprint(own)}) is revoked from {since} on, and no "
        "witness's signature from before that time was given: whoever had the key may have made it"
    ]
