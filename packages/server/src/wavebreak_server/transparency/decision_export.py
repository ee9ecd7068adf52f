"""Export of all decisions of a ledger as CSV, streamed: no limit of rows, constant memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from wavebreak.csv_files import CsvWriter
from wavebreak.durable_files import replacing
from wavebreak.errors import FileError
from wavebreak.ledger.entries import DecisionEntry, Entry, VersionEntry
from wavebreak_server.transparency import history

COLUMNS = (
    "position", "sealed_at", "decided_at", "mode", "stage", "outcome", "action", "until", "basis",
    "score", "rules", "reasons", "new_chats_1d", "policy", "model", "features",
)  # fmt: skip
_KINDS = frozenset(("decision", "policy"))


def export_decisions(
    place: Path,
    checkpoint: history.Checkpoint,
    out: Path,
    *,
    accounts: history.Accounts | None = None,
    progress: history.Progress | None = None,
) -> int:
    """Write the decisions under a checkpoint as CSV (RFC 4180, UTF-8).

    The file takes its name once it is complete and the entries were found to be as sealed.

    Args:
        place: The ledger's directory.
        checkpoint: The checkpoint.
        out: The file.
        accounts: Gives accounts, for a column `account`, empty where erased; by default there is
            no such column.
        progress: Takes how far it is.

    Raises:
        EvidenceError: The entries are not those that were sealed.
        FileError: The file cannot be written.
    """
    entries = history.sealed_entries(place, checkpoint, progress=progress, kinds=_KINDS)
    count = 0
    try:
        with replacing(out, mode=0o600, synced=False) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            writer = CsvWriter(text)
            writer.write(COLUMNS + (("account",) if accounts else ()))
            for row in _rows(entries, accounts):
                writer.write(row)
                count += 1
            text.detach()
    except OSError as e:
        raise FileError(
            f"{out} cannot be written: {e.strerror}", fix="give a file in a writable directory"
        ) from None
    return count


def _rows(
    entries: Iterator[tuple[int, Entry]], accounts: history.Accounts | None
) -> Iterator[tuple[object, ...]]:
    mode = "enforce"
    for position, entry in entries:
        body = entry.body
        if isinstance(body, VersionEntry):
            mode = body.mode
        if not isinstance(body, DecisionEntry):
            continue
        reasons = ";".join(
            f"{each.feature}={'' if each.value is None else each.value}" for each in body.reasons
        )
        row = (
            position, _time(entry.at), _time(body.ts), mode, body.stage, body.outcome, body.action,
            _time(body.until), body.basis, body.score, ";".join(body.rules), reasons,
            body.new_chats_1d, body.policy, body.model, body.features,
        )  # fmt: skip
        yield (*row, accounts.of(position, entry) or "") if accounts else row


def _time(ms: int | None) -> str:
    """Return an instant as RFC 3339.

    >>> _time(1_772_373_730_000), _time(None)
    ('2026-03-01T14:02:10.000Z', '')
    """
    if ms is None:
        return ""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"
