"""Ledgers that lie in the database of a service, and not in a directory of their own.

This package reads directories. The distribution that serves opens the ledger of a service, and
names what opens it by the entry point `service` of the group `wavebreak.ledger_sources`: so no
database is needed to verify what somebody was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from cryptography.x509 import Certificate

from wavebreak.extras import SERVER, load_plugin
from wavebreak.ledger.audit import AuditResult
from wavebreak.ledger.checkpoints import Signer
from wavebreak.ledger.entries import Openings
from wavebreak.ledger.key_changes import KeyChange
from wavebreak.ledger.ledger import Storage
from wavebreak.ledger.storage import LEDGER
from wavebreak.ledger.verifier import Checkpoint, Key

GROUP = "wavebreak.ledger_sources"
SERVICE_DATABASE = "wavebreak.sqlite3"
"""File of a service's directory that holds its database, where that is SQLite."""
SERVICE_OPTIONS = "wavebreak.toml"
"""File of a service's directory that holds its options, such as where its database is."""


class Finding(NamedTuple):
    """What differs from what was sealed: the name of the check, and a sentence."""

    name: str
    what: str


class TablesAudit(Protocol):
    """What the comparison of a database's tables with their ledger showed.

    Attributes:
        findings: What differs, the first of them.
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
        """The file with the public key of its checkpoints."""
        ...

    @property
    def storage(self) -> Storage:
        """Its entries and checkpoints."""
        ...

    @property
    def openings(self) -> StoredOpenings:
        """The openings of its commitments."""
        ...

    @property
    def signing_key(self) -> Path | None:
        """The key file that signs its checkpoints, as the service's options name it."""
        ...

    @property
    def deployment_key(self) -> Path | None:
        """The key file of the MACs of rows, as the service's options name it."""
        ...

    def audit(
        self,
        keys: list[Key],
        kept: list[Checkpoint],
        roots: Sequence[Certificate],
        history: Sequence[KeyChange],
        deployment_key: bytes | None,
        show: Callable[[float, str], None],
    ) -> tuple[AuditResult, TablesAudit]:
        """Check the ledger, and that the tables are as they were sealed.

        Args:
            keys: Verifier keys of the log and of witnesses.
            kept: Checkpoints of the log that the reader kept from before.
            roots: Certificates of time-stamping authorities.
            history: The log's key history.
            deployment_key: The key of the MACs of rows, where the reader has it.
            show: Called with the share that is done and a short text.

        Raises:
            EvidenceError: A check of the ledger itself failed.
        """
        ...

    def rotate(self, before: Signer, after: Signer, now_ms: int) -> None:
        """Have another key sign from now on; raises ServiceError while a server runs."""
        ...


def is_service(place: Path) -> bool:
    """Return whether a directory is that of a service, which has its database or options in it."""
    if (place / SERVICE_DATABASE).exists():
        return True
    return (place / SERVICE_OPTIONS).exists() and not _is_ledger(place)


def _is_ledger(place: Path) -> bool:
    """Return whether a directory is a ledger, a proof bundle, or a case with its ledger."""
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
        write: Whether it is opened to be changed.

    Raises:
        MissingExtraError: It is a service's, and what reads one is not installed.
    """
    has_options = config is not None and not _is_ledger(place)
    if not url and not has_options and not is_service(place):
        return None
    open_ledger = load_plugin(GROUP, "service", SERVER, "what reads the ledger of a service")
    source: LedgerSource = open_ledger(place, url, config, write=write)
    return source
