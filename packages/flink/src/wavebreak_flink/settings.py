"""Settings of a job: what it reads, what decides, and where it keeps what it needs to go on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from wavebreak import model, rules
from wavebreak.durable_files import replace_file
from wavebreak.engine import Engine
from wavebreak.engine.exchange import Exchange
from wavebreak.engine.published import publishing_key
from wavebreak.engine.state_ceiling import StateCeiling, parse_ceiling
from wavebreak.errors import FileError
from wavebreak.features.layout import SHARDS
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.privacy.secret_key import load_key
from wavebreak.schema import coverage

Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 30)]
FILE = "job.json"
RESULTS, REFUSED = "results", "refused"
"""Directories of a job's: its rows, and the events that were refused, each with its reason."""


class JobSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of a job; paths are the same on every machine of the cluster.

    Attributes:
        name: Of the job; rows of its exchange are under it.
        generation: Random, drawn at the submission: what an earlier job of this name wrote is not
            accepted.
        home: Its directory, which every TaskManager sees: settings, marks, results.
        profile: The file with the stream's field coverage ("": every event and field, as of a
            service without one).
        policy: A local policy's directory ("": the shipped policy).
        model: A model's directory ("" or "none": no model).
        key: The file with the key of pseudonyms ("": as `wavebreak run` finds it).
        ip_database: The file by which addresses become networks ("": none).
        enforce: Whether decisions drop the events that they refuse.
        lateness_s: Seconds that an event may be older than the newest one before it.
        groups: Groups of shards: the job's parallelism.
        topic: The topic of Kafka with the bodies of a service's log ("": the log is in files).
        database: The service's database, with the rows of that log: a PostgreSQL URL.
        publish: Whether the service of that database answers from what the job decides.
        exchange: Where groups exchange rows: a PostgreSQL URL ("": files in `home`).
        mark_every: Blocks of the log between two marks, and at least an event for each account.
        marks_kept: Newest marks that are kept.
        patience_s: Seconds after which a group that waits for another one gives up, and Flink a
            checkpoint: the job then goes on from the last one.
        accounts: Accounts for which address space is reserved.
        max_memory: Memory that each Python process of the job may use, as 4GiB ("": three quarters
            of what its machine has, or the smallest limit of its control groups).
    """

    name: str
    home: str
    profile: str
    policy: str = ""
    model: str = ""
    key: str = ""
    ip_database: str = ""
    enforce: bool = False
    lateness_s: Annotated[int, msgspec.Meta(ge=0)] = 60
    groups: Annotated[int, msgspec.Meta(ge=1, le=SHARDS)] = 1
    topic: str = ""
    database: str = ""
    publish: bool = False
    exchange: str = ""
    mark_every: Count = 64
    marks_kept: Count = 24
    patience_s: Count = 600
    accounts: Count = 1 << 20
    max_memory: str = ""
    generation: str = ""

    def engine(self, exchange: Exchange | None = None) -> Engine:
        """Return the engine of these settings; with an exchange, that of one group of shards."""
        return Engine(
            rules.load_policy(Path(self.policy) if self.policy else None),
            coverage.load(Path(self.profile)) if self.profile else None,
            enforce=self.enforce,
            lateness_s=self.lateness_s,
            accounts=self.accounts,
            model=model.load_selected(self.model or None),
            exchange=exchange,
        )

    def ceiling(self) -> StateCeiling:
        """Return how many bytes the state of a process of the job may have; marks are copies.

        Raises:
            UsageError: `max_memory` is no size.
            StateSizeError: So little leaves no room for a state.
        """
        return parse_ceiling(self.max_memory, copies=True)

    def edge(self) -> Pseudonymizer:
        """Return the pseudonymizer of the events."""
        database = Path(self.ip_database) if self.ip_database else None
        return Pseudonymizer(self.secret(), database)

    def secret(self) -> bytes:
        """Return the deployment's key."""
        return load_key(Path(self.key) if self.key else None)

    def publishing_key(self) -> bytes:
        """Return the key of what the job publishes; it is the service's as well."""
        return publishing_key(load_key(Path(self.key) if self.key else None, create=False))

    def save(self) -> Path:
        """Write the settings into the job's directory; return the file."""
        path = Path(self.home) / FILE
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, msgspec.json.format(msgspec.json.encode(self)) + b"\n", mode=0o600)
        return path


def load(path: Path) -> JobSettings:
    """Read settings.

    Raises:
        FileError: They cannot be read, or name something that there is not.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=JobSettings)
    except OSError as error:
        raise FileError(
            f"{path} cannot be read: {error.strerror}", fix="submit the job first"
        ) from None
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise FileError(f"{path}: {error}", fix="submit the job again") from None
