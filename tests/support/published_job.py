"""A job over a service's log, in threads, for a service without an engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, takewhile
from pathlib import Path

import msgspec
from django.db import connection

from support.external_servers import postgresql
from support.flink_jobs import over_rows
from support.service_harness import SECRET
from wavebreak.schema import coverage
from wavebreak_flink.settings import JobSettings


def job_in(home: Path) -> JobSettings:
    """Return settings of a job of two groups; its database is not known yet."""
    home.mkdir()
    (home / "key").write_text(SECRET.hex(), "utf-8")
    (home / "key").chmod(0o600)
    coverage.save(coverage.declared(coverage.known_names()), home / "profile.json")
    return JobSettings(
        home.name, str(home), str(home / "profile.json"), model="none", key=str(home / "key"),
        topic="kafka://nowhere:9092/log", publish=True, groups=2, mark_every=1, patience_s=20,
    )  # fmt: skip


def over(job: JobSettings) -> JobSettings:
    """Return a job's settings over the bound database."""
    url = f"{postgresql().url}/{connection.settings_dict['NAME']}"
    return msgspec.structs.replace(job, database=url)


@contextmanager
def at_work(job: JobSettings) -> Iterator[None]:
    """The job takes the log as it grows, in threads, until the block ends."""
    stopping = threading.Event()
    worker = threading.Thread(
        target=lambda: over_rows(job, takewhile(lambda _: not stopping.is_set(), count()))
    )
    worker.start()
    try:
        yield
    finally:
        stopping.set()
        worker.join()
