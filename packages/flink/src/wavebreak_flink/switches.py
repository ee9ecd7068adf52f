"""What decides in a job: its settings', or what a switch of the service's says (ADR 56)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from wavebreak.durable_files import replace_file
from wavebreak.engine import Engine
from wavebreak.engine.exchange import Exchange
from wavebreak.engine.snapshot import manifest_of
from wavebreak.engine.switch_records import SELECT, TABLE, SwitchRecord, decode_switch, write_files
from wavebreak.engine.versions import engine_versions
from wavebreak.errors import FileError, WavebreakError
from wavebreak.extras import LazyModule
from wavebreak_flink.settings import JobSettings

psycopg: Any = LazyModule("psycopg")

FILE = "deciding.json"
"""File of a job's directory: what decides now (`Noted`)."""
_AFTER = SELECT + "WHERE number > %s ORDER BY number"


class Deciding(NamedTuple):
    """What decides: an engine, and how many switches led to it."""

    engine: Engine
    switches: int = 0

    @property
    def about(self) -> dict[str, Any]:
        """What a mark says of it."""
        return manifest_of(self.engine) | {"switches": self.switches}


class Noted(msgspec.Struct, frozen=True):
    """What decides in a job: versions, the switches that led to it, and the position of the last.

    `position`: 0 where nothing was switched.
    """

    versions: str
    switches: int
    position: int


class Switches:
    """The switches of the service whose log a job reads; none where it does not publish for one."""

    def __init__(self, settings: JobSettings) -> None:
        self._settings = settings
        self._connection: Any = None

    def after(self, number: int) -> list[SwitchRecord]:
        """Return the switches after a number, in order.

        Raises:
            FileError: One is missing, was changed, or is of another key.
        """
        if not self._settings.publish:
            return []
        if self._connection is None:
            self._connection = psycopg.connect(self._settings.database, autocommit=True)
        rows = self._connection.execute(_AFTER, (number,)).fetchall()
        key = self._settings.publishing_key() if rows else b""
        found = [decode_switch(key, row) for row in rows]
        for expected, each in enumerate(found, number + 1):
            if each.number != expected:
                raise _missing(expected)
        return found

    def deciding(self, number: int, exchange: Exchange | None = None) -> Deciding:
        """Return what decides after so many switches: an engine without state.

        Args:
            number: How many.
            exchange: Of one group of shards (None: the engine holds all).

        Raises:
            FileError: The switch cannot be read, or leads to something else than in the service.
        """
        if number == 0:
            return Deciding(self._settings.engine(exchange))
        found = self.after(number - 1)
        if not found:
            raise _missing(number)
        return Deciding(self._engine(found[0], exchange), number)

    def note(self, deciding: Deciding) -> None:
        """Write down what decides, for whoever looks at the job."""
        number = deciding.switches
        versions = engine_versions(deciding.engine, self._settings.lateness_s)
        position = self.after(number - 1)[0].position if number else 0
        path = Path(self._settings.home) / FILE
        replace_file(path, msgspec.json.encode(Noted(versions, number, position)), mode=0o600)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _engine(self, record: SwitchRecord, exchange: Exchange | None) -> Engine:
        wanted = record.terms
        where = f"switch {record.number}, at position {record.position:,} of the log"
        try:
            with tempfile.TemporaryDirectory(prefix="wavebreak-switch-") as directory:
                policy, model, profile = write_files(wanted, Path(directory))
                engine = msgspec.structs.replace(
                    self._settings, policy=policy, model=model, enforce=wanted.enforce,
                    profile=profile or self._settings.profile,
                ).engine(exchange)  # fmt: skip
        except WavebreakError as error:
            raise FileError(f"{where}, does not load: {error.what}", fix=_SAME) from error
        versions = engine_versions(engine, self._settings.lateness_s)
        if versions != wanted.versions:
            raise FileError(
                f"{where}, leads to {wanted.versions} in the service, and to {versions} here",
                fix=_SAME,
            )
        return engine


_SAME = (
    "run the same version of Wavebreak in the job and in the service, with the same profile and "
    "lateness; the job goes on from its last checkpoint"
)


def _missing(number: int) -> FileError:
    return FileError(
        f"switch {number} of the log is not in the service's database",
        fix=f"give the database of the service; or restore the row of {TABLE} from a backup",
    )


def noted(home: Path) -> Noted | None:
    """Return what decides in a job; None before it has begun."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=Noted)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        return None
