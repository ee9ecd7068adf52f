"""Switches of policy, model, mode or profile where a job on Flink decides over the log.

A row says what decides from a position on (`wavebreak.engine.switch_records`). It is written while
the log stands still there, and settled once the service runs by it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from django.db import connection, transaction

from wavebreak.engine import Engine, switch_records
from wavebreak.engine.published import TABLE as PUBLISHED
from wavebreak.engine.versions import stream_version
from wavebreak.model.storage import files_of
from wavebreak.schema.coverage import Profile, as_text
from wavebreak_server.pipeline.live_policy import policy_files
from wavebreak_server.storage.row_macs import bound_key

if TYPE_CHECKING:
    from wavebreak.model import Model

_NEWEST = switch_records.SELECT + "ORDER BY number DESC LIMIT 1"
_INSERT = f"INSERT INTO {switch_records.TABLE} VALUES (%s, %s, %s, %s, %s)"  # noqa: S608
_SETTLE = f"UPDATE {switch_records.TABLE} SET settled = %s WHERE NOT settled"  # noqa: S608
_DELETE = f"DELETE FROM {switch_records.TABLE} WHERE NOT settled"  # noqa: S608


def switch_terms(
    engine: Engine, versions: str, directory: Path | None, profile: Profile | None
) -> switch_records.SwitchTerms:
    """Return what a job needs to decide as an engine.

    Args:
        engine: Without state.
        versions: Its versions.
        directory: Of its local policy (None: the shipped policy).
        profile: What the declared sources carry (None: none is declared).
    """
    model = files_of(cast("Model", engine.model)) if engine.model else {}
    policy = policy_files(directory) if directory else {}
    return switch_records.SwitchTerms(
        versions, engine.enforce, directory.name if directory else "", "own" if model else "none",
        as_text(profile) if profile else "", switch_records.in_files(policy, model),
    )  # fmt: skip


def newest() -> switch_records.SwitchRecord | None:
    """Return the newest switch; None where there is none.

    Raises:
        FileError: It was not written under this deployment's key.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST)
        row = cursor.fetchone()
    return switch_records.decode_switch(_key(), row) if row else None


def record(position: int, terms: switch_records.SwitchTerms) -> None:
    """Write a switch at a position; it is not settled yet."""
    before = newest()
    row = switch_records.encode_switch(_key(), before.number + 1 if before else 1, position, terms)
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, row)


def settle() -> None:
    """Let the job follow a switch, also while no event comes after it."""
    with connection.cursor() as cursor:
        cursor.execute(_SETTLE, (True,))


def take_back() -> None:
    """Remove a switch that is not settled, and that no event came after."""
    with connection.cursor() as cursor:
        cursor.execute(_DELETE)


def reconcile(end: int, versions: str) -> None:
    """Make the table; decide on a switch during which a service ended.

    Args:
        end: The end of the log.
        versions: By which this service starts.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(switch_records.CREATE)
        last = newest()
        if last is None or last.settled:
            return
        if last.position == end and last.terms.versions != versions:
            take_back()
        else:
            settle()


def former_mode(former: str, versions: str, engine: Engine, lateness_s: int) -> bool | None:
    """Return whether outcomes were enforced by former versions, from which a start switches.

    None where they are those of the start, or none, or differ in what no switch changes: features,
    lateness, or what the stream carries.
    """
    if former in ("", versions) or former.split()[2] != versions.split()[2]:
        return None
    stream = former.rpartition(" ")[2]
    modes = (engine.enforce, not engine.enforce)
    same = (mode for mode in modes if stream_version(engine, lateness_s, enforce=mode) == stream)
    return next(same, None)


def _key() -> bytes:
    return bound_key(PUBLISHED) or b""
