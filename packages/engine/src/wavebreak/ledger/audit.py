"""Audit of a ledger or a proof bundle: the verifier's checks, and the first change if one fails.

The verifier shows that a log differs from what was sealed; the stored tree shows which entry.

Ledgers lie in a directory of their own or in the database of a service. The server distribution
opens the latter by the entry point `service` of the group `wavebreak.ledger_sources`, so that no
database is needed to verify a ledger or a proof bundle.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

from cryptography.x509 import Certificate

from wavebreak.errors import EvidenceError
from wavebreak.extras import SERVER, load_plugin
from wavebreak.ledger import key_changes, verifier
from wavebreak.ledger.checkpoints import Signer, check_time_stamp, fingerprint
from wavebreak.ledger.entries import Openings, parse_entry
from wavebreak.ledger.errors import convert_verifier_errors, ledger_error
from wavebreak.ledger.ledger import Storage
from wavebreak.ledger.merkle_tree import leaf_index
from wavebreak.ledger.storage import KEY_HISTORY, LEDGER, DirectoryStorage, read_key_history

STAMPS = "stamps"
EXPLAINABLE = ("log_cut", "root_wrong", "entries_unsealed", "log_forked", "log_behind")
"""Errors of the verifier that the stored tree can explain further."""


class AuditResult(NamedTuple):
    """The last checkpoint, and a sentence for each thing that was checked or could not be.

    `revoked`: the last checkpoint's key is revoked, and no witness signed before that time.
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
        The last checkpoint, and the performed and missing checks.

    Raises:
        EvidenceError: A check failed; `name` is the error of the verifier.
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
    """Yield the signing key of the last checkpoint, and the times of witnesses' signatures."""
    log_key = verifier.check_signed(
        last, [known_key.key for known_key in known_keys if known_key.key.kind == verifier.LOG]
    )
    yield f"signed by {log_key.name} ({fingerprint(log_key)})"
    for known_key in known_keys:
        if known_key.key.kind == verifier.WITNESS:
            time_s = verifier.check_signature(last, known_key.key)
            yield f"signed by {known_key.key.name}, at {time_s} s after 1970"


def _stamped(path: Path, notes: list[verifier.Checkpoint], roots: Sequence[Certificate]) -> str:
    """Check a time stamp, `N.tsr`, over the checkpoint `N.txt`."""
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
    """Read a ledger's entries by kind, and compare the stored tree and index with the entries."""
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
    """Raise the first change to a log, if the stored tree shows one."""
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


GROUP = "wavebreak.ledger_sources"
SERVICE_DATABASE = "wavebreak.sqlite3"
"""File of a service's directory that holds its database, where that is SQLite."""
SERVICE_OPTIONS = "wavebreak.toml"
"""File of a service's directory that holds its options, such as where its database is."""


class Finding(NamedTuple):
    """A difference from the sealed state: the name of the check, and a sentence."""

    name: str
    what: str


class TablesAudit(Protocol):
    """Result of the comparison of a database's tables with the ledger.

    Attributes:
        findings: The first differences.
        count: How many findings there are.
        checked: A sentence for each thing that was compared and holds.
        unchecked: A sentence for each thing that could not be compared.
    """

    findings: list[Finding]
    count: int
    checked: list[str]
    unchecked: list[str]


class StoredOpenings(Protocol):
    """Openings of commitments, to be read."""

    def of(self, position: int) -> Openings:
        """Return the openings of an entry; empty if there are none or they were erased."""
        ...

    def positions(self, field: str, value: str) -> Sequence[int]:
        """Return the positions of entries with this value in a field, `account` or `id`."""
        ...


class LedgerSource(Protocol):
    """The ledger of a service, open."""

    @property
    def key_file(self) -> Path:
        """The file with the public key of checkpoints."""
        ...

    @property
    def storage(self) -> Storage:
        """The entries and checkpoints."""
        ...

    @property
    def openings(self) -> StoredOpenings:
        """The openings of commitments."""
        ...

    @property
    def signing_key(self) -> Path | None:
        """The key file for checkpoints, from the service's options."""
        ...

    @property
    def deployment_key(self) -> Path | None:
        """The key file for MACs of rows, from the service's options."""
        ...

    def audit(
        self,
        keys: list[verifier.Key],
        kept: list[verifier.Checkpoint],
        roots: Sequence[Certificate],
        history: Sequence[key_changes.KeyChange],
        deployment_key: bytes | None,
        show: Callable[[float, str], None],
    ) -> tuple[AuditResult, TablesAudit]:
        """Check the ledger, and that the tables are as they were sealed.

        Args:
            keys: Verifier keys of the log and of witnesses.
            kept: Checkpoints of the log that the reader kept from before.
            roots: Certificates of time-stamping authorities.
            history: The log's key history.
            deployment_key: The key of the MACs of rows, if the reader has the key.
            show: Called with the share that is done and a short text.

        Raises:
            EvidenceError: A check of the ledger itself failed.
        """
        ...

    def rotate(self, before: Signer, after: Signer, now_ms: int) -> None:
        """Have another key sign from now on; raises ServiceError while a server runs."""
        ...


def is_service(place: Path) -> bool:
    """Return whether a directory is a service's: with a database or options."""
    if (place / SERVICE_DATABASE).exists():
        return True
    return (place / SERVICE_OPTIONS).exists() and not _is_ledger(place)


def _is_ledger(place: Path) -> bool:
    """Return whether a directory is a ledger, a proof bundle, or a case with a ledger."""
    return any((directory / "checkpoints.jsonl").exists() for directory in (place, place / LEDGER))


def open_source(
    place: Path, url: str, config: Path | None = None, *, write: bool = False
) -> LedgerSource | None:
    """Open the ledger of a service; None where the place is a ledger's own directory.

    Args:
        place: A directory.
        url: URL of the service's database; "" for the one that its options name, or else the one
            in the directory.
        config: File of the service's options; None for the one in the directory. A directory with
            checkpoints is a ledger, whatever file the environment names.
        write: Whether the ledger is opened for writing.

    Raises:
        MissingExtraError: The directory is a service's, and the server distribution is missing.
    """
    has_options = config is not None and not _is_ledger(place)
    if not url and not has_options and not is_service(place):
        return None
    open_ledger = load_plugin(GROUP, "service", SERVER, "what reads the ledger of a service")
    source: LedgerSource = open_ledger(place, url, config, write=write)
    return source
