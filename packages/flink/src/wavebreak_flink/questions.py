"""Questions of a service to the group that holds an account (`wavebreak.engine.owner_answers`).

The fan-out looks for them between blocks, and while the log has nothing new, and sends each once.
The service deletes them, whether they were answered or it waited long enough.
"""

from __future__ import annotations

import hmac
from collections import deque
from typing import Any

from wavebreak.engine.owner_answers import QUESTIONS, Asked, question_mac
from wavebreak.errors import WavebreakError
from wavebreak.extras import LazyModule
from wavebreak.features.dry_run import question_of
from wavebreak.features.facts import Fanout
from wavebreak.io.log_rows import unpack_row
from wavebreak_flink.settings import JobSettings

psycopg: Any = LazyModule("psycopg")

AT_ONCE = 64
"""Questions that go with one message."""
REMEMBERED = 4_096
"""Questions that were sent and are not sent again."""
_SELECT = (
    f"SELECT id, content, mac FROM {QUESTIONS} WHERE job = %s AND answer IS NULL "  # noqa: S608
    f"AND id <> ALL(%s) LIMIT {AT_ONCE}"
)


class Questions:
    """The open questions to a job.

    Args:
        settings: Of the job.

    """

    def __init__(self, settings: JobSettings) -> None:
        self._job, self._key = settings.name, settings.publishing_key()
        self._connection = psycopg.connect(settings.database, autocommit=True)
        self._sent: deque[str] = deque(maxlen=REMEMBERED)
        self._waiting = list[tuple[str, bytes]]()

    def come(self) -> bool:
        """Look for questions; return whether some wait that were not sent."""
        rows = self._connection.execute(_SELECT, (self._job, list(self._sent))).fetchall()
        for name, content, mac in rows:
            self._sent.append(name)
            made = question_mac(self._key, "asked", name, self._job, bytes(content))
            if hmac.compare_digest(made, bytes(mac)):
                self._waiting.append((name, bytes(content)))
        return bool(self._waiting)

    def asked(self, fanout: Fanout) -> list[Asked]:
        """Return what waits, with the slots of its names; what cannot be read is passed over."""
        self.come()
        found = list[Asked]()
        for name, content in self._waiting:
            try:
                found.append(Asked.of(name, question_of(fanout, unpack_row(content))))
            except WavebreakError:
                continue
        self._waiting = []
        return found

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
