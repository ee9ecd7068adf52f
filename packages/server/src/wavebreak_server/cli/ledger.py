"""The ledger of a service, which the commands of `ledger` open by the options of `serve`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wavebreak.ledger import Signer
from wavebreak.ledger.audit import AuditResult
from wavebreak.ledger.key_changes import KeyChange
from wavebreak.ledger.verifier import Checkpoint, Key
from wavebreak_server.cli.service_home import connect
from wavebreak_server.config_sources import resolve
from wavebreak_server.storage import ledger_store, ownership, row_macs
from wavebreak_server.storage.database_audit import DatabaseAudit, audit_service


class ServiceLedger:
    """The ledger of a service; a `ledger.audit.LedgerSource`.

    Opening it binds the process to the service's database.

    Args:
        home: Directory of the service.
        url: URL of its database that was given; "" for that of the options.
        config: File of options that was named; None for the one in `home`, where there is one.
        write: Whether the ledger is to be changed.

    Raises:
        UsageError: There is no database, or an option is wrong.
    """

    def __init__(
        self, home: Path, url: str, config: Path | None = None, *, write: bool = False
    ) -> None:
        options = resolve(home, {"database": url or None}, os.environ, config)
        connect(options, home, reading=not write)
        keys = options.configuration.keys
        self.signing_key, self.deployment_key = keys.ledger_key, keys.key
        self._home = home
        self.key_file = home / ledger_store.LEDGER_KEY
        self.storage = ledger_store.LedgerRows(lambda: 0)
        self.openings = ledger_store.OpeningRows()

    def audit(
        self,
        keys: list[Key],
        kept: list[Checkpoint],
        roots: Sequence[Any],
        history: Sequence[KeyChange],
        deployment_key: bytes | None,
        show: Callable[[float, str], None],
    ) -> tuple[AuditResult, DatabaseAudit]:
        """Check the ledger, and that the tables are as they were sealed."""
        row_macs.bind(deployment_key)
        return audit_service(keys, kept, roots, show, history)

    def rotate(self, before: Signer, after: Signer, now_ms: int) -> None:
        """Have another key sign from now on; raises ServiceError while a server runs."""
        with ownership.owned(self._home):
            ledger_store.rotate_service_key(before, after, now_ms)
