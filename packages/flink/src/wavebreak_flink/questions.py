"""Questions of a service to the groups of a job (`wavebreak.engine.owner_answers`).

The fan-out looks for them between blocks, and while the log has nothing new, and sends each once.
The service deletes them, whether they were answered or it waited long enough.
"""

from __future__ import annotations

import hmac
import time
from collections import deque
from typing import Any

import msgspec

from wavebreak.engine.owner_answers import MOST_ACCOUNTS, QUESTIONS, Asked, Asking, question_mac
from wavebreak.engine.queries import QUERIES
from wavebreak.errors import WavebreakError
from wavebreak.extras import LazyModule
from wavebreak.features.facts import Fanout
from wavebreak_flink.settings import JobSettings

psycopg: Any = LazyModule("psycopg")

AT_ONCE = 64
"""Questions that go with one message."""
PLACES = 1 << 50
"""The first place of questions that groups answer together: beyond any epoch. The rest is the time
in milliseconds, so that what a killed job left is known by its age."""
REMEMBERED = 4_096
"""Questions that were sent and are not sent again."""
HURRY_S = 2.0
"""How long the log is not waited for, while a question is open: what a process of Python has said
goes on with a bundle, which ends when it is full."""
_SELECT = (
    "SELECT id, CASE WHEN id <> ALL(%(sent)s) THEN content END AS fresh, mac "  # noqa: S608
    f"FROM {QUESTIONS} WHERE job = %(job)s ORDER BY id = ANY(%(sent)s) LIMIT {AT_ONCE}"
)
"""What was sent has no content here: it may be large, and is looked for while it is open."""


class Questions:
    """The open questions to a job."""

    def __init__(self, settings: JobSettings) -> None:
        self._job, self._key = settings.name, settings.publishing_key()
        self._connection = psycopg.connect(settings.database, autocommit=True)
        self._sent: deque[str] = deque(maxlen=REMEMBERED)
        self._waiting = list[tuple[str, Asking]]()
        self._place, self._hurried_until = 0, 0.0

    def come(self) -> bool:
        """Look for questions; return whether some wait to be sent, or have just been sent.

        A service deletes a question that is answered.
        """
        known = {"sent": list(self._sent), "job": self._job}
        rows = self._connection.execute(_SELECT, known).fetchall()
        for name, content, mac in rows:
            if content is None:
                continue
            self._sent.append(name)
            self._hurried_until = time.monotonic() + HURRY_S
            made = question_mac(self._key, "asked", name, self._job, bytes(content))
            if not hmac.compare_digest(made, bytes(mac)):
                continue
            asking = msgspec.msgpack.decode(bytes(content), type=Asking)
            # One of another version is answered by nobody.
            if asking.query in QUERIES and len(asking.accounts) <= MOST_ACCOUNTS:
                self._waiting.append((name, asking))
        return bool(rows) and time.monotonic() < self._hurried_until

    def asked(self, fanout: Fanout) -> list[Asked]:
        """Return what waits, with the slots of its names; what cannot be read is passed over."""
        self.come()
        found = list[Asked]()
        for name, asking in self._waiting:
            self._place = max(self._place + 1, PLACES + time.time_ns() // 1_000_000)
            try:
                found.append(Asked.of(name, asking, fanout, self._place))
            except WavebreakError:
                continue
        self._waiting = []
        return found

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
