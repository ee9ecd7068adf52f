"""SQLite's write-ahead log, carried into the database beside the commits rather than in one.

Left to itself SQLite carries it over within the commit that finds it long: whoever waits for that
commit waits for tens of megabytes to be on disk.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from django.db import Error, connection

EVERY_S = 2.0
"""From one carrying over to the next."""


class Checkpoints:
    """A thread that carries over most of the log; the one writer the rest, so that it begins anew.

    SQLite begins its log anew only where all of it is carried over when a transaction begins: what
    is written while the thread works is left to `finish`. Another database than SQLite looks after
    itself.
    """

    def __init__(self) -> None:
        self._carried, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="wavebreak-checkpoint", daemon=True)

    def start(self) -> None:
        """Begin, where there is a log to carry over."""
        if connection.vendor == "sqlite":
            self._thread.start()

    def finish(self) -> None:
        """Carry over what was written meanwhile; called by the writer, between transactions."""
        if self._carried.is_set():
            self._carried.clear()
            _carry()

    def stop(self) -> None:
        """End; the last connection that is closed carries over the rest."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._stopping.wait(EVERY_S):
            # Twice: the first takes long, and what is written meanwhile is most of what is left.
            _carry()
            _carry()
            self._carried.set()
        connection.close()


def _carry() -> None:
    # A disk that is full, or a database that is away, is the next commit's to tell of.
    with suppress(Error), connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
