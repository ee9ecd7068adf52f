"""Audit of a ledger or a proof bundle: the verifier's checks, and what was changed where one fails.

The verifier shows that a log differs from what was sealed; the stored tree shows which entry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

from cryptography.x509 import Certificate

from wavebreak.errors import EvidenceError
from wavebreak.ledger import key_changes, verifier
from wavebreak.ledger.checkpoints import check_time_stamp, fingerprint
from wavebreak.ledger.entries import parse_entry
from wavebreak.ledger.errors import convert_verifier_errors, ledger_error
from wavebreak.ledger.merkle_tree import leaf_index
from wavebreak.ledger.storage import KEY_HISTORY, DirectoryStorage, read_key_history

STAMPS = "stamps"
EXPLAINABLE = ("log_cut", "root_wrong", "entries_unsealed", "log_forked", "log_behind")
"""Errors of the verifier that the stored tree can explain further."""


class AuditResult(NamedTuple):
    """The last checkpoint, and a sentence for each thing that was checked or could not be.

    `revoked`: the last checkpoint's key is revoked, and no witness saw it before.
    """

    last: verifier.Checkpoint
    checked: list[str]
    unchecked: list[str]
    revoked: bool = False


def audit_directory(
    place: Path,
    keys: list[verifier.Key],
    remembered: list[verifier.Checkpoint],
    roots: Sequence[Certificate] = (),
    history: Sequence[key_changes.KeyChange] = (),
) -> AuditResult:
    """Check a ledger or proof bundle in a directory.

    Args:
        place: The directory.
        keys: Verifier keys of the log and of witnesses.
        remembered: Checkpoints of the log that the reader kept from before.
        roots: Certificates of time-stamping authorities; with any, all of `stamps/` is checked.
        history: The log's key history, beside the one in the directory: keys to which they lead
            from `keys` are taken too.

    Returns:
        The last checkpoint, and what was and was not checked.

    Raises:
        EvidenceError: A check failed; its `name` is the error of the verifier.
    """
    log = (place / "entries.jsonl").exists()
    try:
        with convert_verifier_errors():
            stored_history = (
                read_key_history(place / KEY_HISTORY) if (place / KEY_HISTORY).exists() else []
            )
            known_keys = key_changes.known_keys(keys, [*history, *stored_history])
            notes = verifier.verify(place, [known_key.key for known_key in known_keys], remembered)
    except EvidenceError as doubt:
        if log and doubt.name in EXPLAINABLE:
            _explain(place)
        raise
    except OSError as e:
        raise ledger_error("file_missing", f"{e.filename} cannot be read: {e.strerror}") from None
    if log:
        count = _entries(place)
    else:
        proofs = verifier.read_lines(place / "proofs.jsonl")
        count = len([parse_entry(json.loads(line)["entry"]) for line in proofs])
    last = notes[-1]
    results = [
        f"{count:,} entries, each in its one form, of a kind that is known, and as it was sealed",
        f"{len(notes):,} checkpoint(s) of {last.origin}, the last over {last.size:,} entries",
        *_signature_lines(last, known_keys),
        *(f"the log continues the {old.size:,} entries that you remember" for old in remembered),
    ]
    if log:
        results.append("the stored tree and index are those of the entries")
    if roots:
        results += [_stamped(path, notes, roots) for path in sorted((place / STAMPS).glob("*.tsr"))]
    unchecked = _unchecked(place, keys, remembered, bool(roots))
    doubts = key_changes.revoked_doubt(last, known_keys)
    return AuditResult(last, results, [*doubts, *unchecked], bool(doubts))


def _signature_lines(
    last: verifier.Checkpoint, known_keys: Sequence[key_changes.KnownKey]
) -> Iterator[str]:
    """Say which key signed the last checkpoint, and which witnesses saw it when."""
    log_key = verifier.check_signed(
        last, [known_key.key for known_key in known_keys if known_key.key.kind == verifier.LOG]
    )
    yield f"signed by {log_key.name} ({fingerprint(log_key)})"
    for known_key in known_keys:
        if known_key.key.kind == verifier.WITNESS:
            time_s = verifier.check_signature(last, known_key.key)
            yield f"signed by {known_key.key.name}, at {time_s} s after 1970"


def _stamped(path: Path, notes: list[verifier.Checkpoint], roots: Sequence[Certificate]) -> str:
    """Check a time stamp, `N.tsr`, over the checkpoint beside it, `N.txt`."""
    note = path.with_suffix(".txt").read_bytes()
    with convert_verifier_errors():
        checkpoint = verifier.read_checkpoint(note)
    if checkpoint.text not in {stored.text for stored in notes}:
        raise ledger_error(
            "stamp_other_checkpoint", f"{path.name} is over no checkpoint that is here"
        )
    time = check_time_stamp(note, path.read_bytes(), roots)
    return (
        f"{checkpoint.size:,} entries were there at {time:%Y-%m-%d %H:%M:%S} UTC, says an authority"
    )


def _unchecked(
    place: Path, keys: list[verifier.Key], remembered: list[verifier.Checkpoint], stamped: bool
) -> list[str]:
    gaps = []
    if not remembered:
        gaps.append(
            "that no later part was cut off, checkpoints and all: remember one, and give it"
        )
    if all(key.kind == verifier.LOG for key in keys):
        gaps.append("that all see the same log: no witness's key was given")
    if (place / STAMPS).is_dir() and not stamped:
        gaps.append("time stamps: give the authority's certificates")
    return gaps


def _entries(place: Path) -> int:
    """Read a ledger's entries by their kinds; compare the stored tree and index with them."""
    peaks: list[bytes] = []
    size = end = 0
    with (place / "nodes").open("rb") as nodes, (place / "ends").open("rb") as ends:
        for line in verifier.read_lines(place / "entries.jsonl"):
            parse_entry(json.loads(line))
            expected = b"".join(
                verifier.add_leaf(peaks, size, verifier.hash_node(verifier.LEAF, line))
            )
            if nodes.read(len(expected)) != expected:
                raise ledger_error("nodes_wrong", f"the stored tree differs at entry {size}")
            end += len(line) + 1
            if ends.read(8) != end.to_bytes(8):
                raise ledger_error("ends_wrong", f"the index does not say where entry {size} ends")
            size += 1
        if nodes.read(1) or ends.read(1):
            raise ledger_error("index_too_long", f"there is more in the index than {size} entries")
    return size


def _explain(place: Path) -> None:
    """Raise the change to a log as an error, where its stored tree shows it."""
    files = DirectoryStorage(place)
    try:
        stored = files.size()
        change = _first_change(verifier.read_lines(place / "entries.jsonl"), files.node, stored)
    finally:
        files.close()
    if change:
        raise ledger_error(*change)


def _first_change(
    lines: Iterator[bytes], node: Callable[[int], bytes], stored: int
) -> tuple[str, str] | None:
    """Compare entries with the leaves of the stored tree, up to the first that differs."""
    leaves = (verifier.hash_node(verifier.LEAF, line) for line in lines)

    def was(position: int) -> bytes:
        return node(leaf_index(position)) if 0 <= position < stored else b""

    for position, (digest, following) in enumerate(pairwise(chain(leaves, [b"end"]))):
        if digest == was(position):
            continue
        if digest == was(position + 1) and following != was(position):
            return "entry_dropped", f"entry {position} is gone"
        if digest == was(position - 1):
            return "entry_repeated", f"entry {position - 1} occurs twice"
        if (following == was(position) and digest != was(position + 1)) or position >= stored:
            return "entry_inserted", f"the entry at {position} is new"
        if any(digest == was(k) for k in range(position + 1, stored)):
            return "entries_reordered", f"entry {position} has changed places"
        return "entry_edited", f"entry {position} is not as it was sealed"
    return None
