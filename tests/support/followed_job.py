"""A service that follows a job, and the job's fan-out and groups as threads of a test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import msgspec
from django.db import connection

from support.external_servers import postgresql
from support.flink_jobs import over_rows
from support.service_harness import SECRET, running
from wavebreak.rules import load_policy
from wavebreak.schema import coverage
from wavebreak_flink.settings import JobSettings


def job_in(home: Path, groups: int = 2) -> JobSettings:
    """Settings of a job of a service of a test, in a new directory; not bound to a database."""
    home.mkdir()
    (home / "key").write_text(SECRET.hex(), "utf-8")
    (home / "key").chmod(0o600)
    coverage.save(coverage.declared(coverage.known_names()), home / "profile.json")
    return JobSettings(
        home.name, str(home), str(home / "profile.json"), model="none", key=str(home / "key"),
        topic="kafka://nowhere:9092/log", publish=True, groups=groups, mark_every=1, patience_s=60,
    )  # fmt: skip


def over(job: JobSettings) -> JobSettings:
    """Let a job read the database that is bound."""
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


def service(home: Path, job: JobSettings, **more: Any) -> Any:
    """The service: with an engine, or with the job's name where `flink_job` is given."""
    profile = coverage.load(Path(job.profile))
    return running(home, policy=load_policy(), profile=profile, **more)
