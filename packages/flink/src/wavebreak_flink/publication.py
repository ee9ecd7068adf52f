"""What a group of a job publishes for the service whose log it reads: its part of each block.

A part is written before Flink's checkpoint passes, and follows from the log: written again after a
restart it is the same bytes, unless the service has taken and deleted it meanwhile.
"""

from __future__ import annotations

from typing import Any

from wavebreak.engine import Engine
from wavebreak.engine.exchange import ExchangeConflictError
from wavebreak.engine.owner_answers import ANSWERS, Asked, question_mac
from wavebreak.engine.published import TABLE, Block, BlockName, encode_block
from wavebreak.engine.versions import engine_versions
from wavebreak.extras import LazyModule
from wavebreak_flink.messages import Message
from wavebreak_flink.settings import JobSettings

psycopg: Any = LazyModule("psycopg")

_INSERT = f"INSERT INTO {TABLE} VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"  # noqa: S608
_SELECT = f"SELECT content FROM {TABLE} WHERE job = %s AND first = %s AND groups = %s AND part = %s"  # noqa: S608
_ANSWER = f"INSERT INTO {ANSWERS} VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"  # noqa: S608


class Publication:
    """A group's parts in the table of the service's database.

    Args:
        engine: The group's engine, whose versions the parts name: see `decided_by`.
    """

    def __init__(self, settings: JobSettings, group: int, engine: Engine) -> None:
        self._settings, self._group = settings, group
        self.decided_by(engine)
        self._key = settings.publishing_key()
        self._connection = psycopg.connect(settings.database, autocommit=True)

    def decided_by(self, engine: Engine) -> None:
        """Name the versions of another engine from now on."""
        self._versions = engine_versions(engine, self._settings.lateness_s)

    def write(self, message: Message, rows: list[str]) -> None:
        """Write the part of a message's block.

        Raises:
            ExchangeConflictError: It is there with other content.
        """
        name = BlockName(
            self._settings.name, message.first, self._settings.groups, self._group, message.reached
        )
        block = Block(self._versions, message.time, rows, message.named)
        row = encode_block(self._key, name, block)
        if self._connection.execute(_INSERT, row).rowcount:
            return
        known = self._connection.execute(_SELECT, row[:4]).fetchone()
        if known is not None and bytes(known[0]) != row[5]:
            raise ExchangeConflictError(f"what was decided on position {name.first} differs")

    def answer(self, asked: Asked, parts: list[int], content: bytes) -> None:
        """Write this group's answer to a question that several groups may answer."""
        place = (asked.id, self._settings.name, parts.index(self._group), len(parts))
        mac = question_mac(self._key, "found", *place, content)
        self._connection.execute(_ANSWER, (*place, content, mac))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
