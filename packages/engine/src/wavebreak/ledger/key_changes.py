"""What a key history says: which keys a trusted key leads to, and what a revoked one is worth.

A statement is a signed note over five lines: a heading, the earlier verifier key, the later one,
`retired` or `revoked`, and the time from which that holds (ms). The later key signs it; of a key
that is only retired, the earlier one too. So whoever trusts one of the keys learns of the others:
the later key vouches for those before it, and a retired key for the one after it. A revoked key
vouches for nothing, and what it signed counts only where a witness saw it before that time.

Needs nothing but `verifier.py`: the verifier in a bundle has both.
"""

import base64
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from wavebreak.ledger.verifier import (
    LOG,
    MAX_NOTE,
    WITNESS,
    Checkpoint,
    Key,
    VerifierError,
    check_signature,
    check_signed,
    fingerprint,
    read_json,
    read_key,
    signature_holds,
)

RETIRED, REVOKED = "retired", "revoked"
MAX_CHANGES = 1_000
"""How many statements a file may have."""
HEADING = "wavebreak key change v1"
_NOTE = re.compile(
    rf"({HEADING}\n(\S+)\n(\S+)\n({RETIRED}|{REVOKED})\n(0|[1-9][0-9]{{0,15}})\n)"
    r"\n((?:— \S+ \S+\n)+)"
)


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


def read_changes(raw: bytes) -> list[KeyChange]:
    """Read statements, each a line of JSON in any order; raises VerifierError."""
    lines = raw.splitlines()
    if len(lines) > MAX_CHANGES:
        raise VerifierError("key_history_long", f"over {MAX_CHANGES:,} statements")
    return [read_change(str(read_json(line, "key_history")).encode()) for line in lines]


def read_change(note: bytes) -> KeyChange:
    """Read a signed statement; raises VerifierError where it is malformed or not signed so."""
    content = note.decode(errors="replace")
    found = _NOTE.fullmatch(content) if len(note) <= MAX_NOTE else None
    if found is None or content.encode() != note:
        raise VerifierError("key_change", "a statement of the key history is malformed")
    before, after = read_key(found[2]), read_key(found[3])
    change = KeyChange(before, after, found[4], int(found[5]))
    if before.kind != LOG or after.kind != LOG or before.name != after.name or before == after:
        raise VerifierError("key_change", "a statement is not of two keys of one log")
    for key in (after, before) if change.why == RETIRED else (after,):
        _check_change_signed(found[1].encode(), found[6], key)
    return change


def _check_change_signed(text: bytes, signatures: str, key: Key) -> None:
    """Check that a key signed; raises VerifierError."""
    prefix = f"— {key.name} "
    for line in signatures.splitlines():
        if line.startswith(prefix):
            encoded = line.removeprefix(prefix)
            made = base64.b64decode(encoded, validate=True)
            # One signature has one form.
            if base64.b64encode(made).decode() != encoded:
                break
            if made[:4] != key.id:
                continue
            if signature_holds(key.public, text, made[4:]):
                return
            break
    raise VerifierError(
        "key_change_signature", f"a statement is not signed by the key {key.id.hex()}"
    )


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
