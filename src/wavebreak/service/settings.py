"""What a service is told when it starts: values, with their limits. Read no environment here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """What a stranger may ask for at most. Sizes in bytes, times in seconds.

    `body` is as sent, `unpacked` after decompression, `events` of one body; `queue_bytes` and
    `queue_events` are what waits for the log, `bodies` how many are held at once, `reader` the
    memory of a reading process (what is compressed within Arrow is not seen before). An answer to
    `decide` that took longer than `answer_s` is given as the policy's `on_failure` says.
    """

    body: int = 16 << 20
    unpacked: int = 64 << 20
    events: int = 100_000
    queue_bytes: int = 256 << 20
    queue_events: int = 1_000_000
    bodies: int = 2_000
    reader: int = 4 << 30
    behind_events: int = 1_000_000
    answer_s: float = 0.25
    retry_after_s: float = 1.0
    idempotency_s: float = 86_400.0


@dataclass(frozen=True)
class Settings:
    """Where a service keeps its things, where it listens, and how often it takes snapshots.

    `home` holds the snapshots and, without `database` (a `postgresql://` URL), the SQLite file.
    A snapshot is taken after `snapshot_s` seconds or `snapshot_events` events, whichever is first;
    `snapshots` of them are kept.
    """

    home: Path
    database: str = ""
    host: str = "127.0.0.1"
    port: int = 8480
    decoders: int = 1
    workers: int = 1
    enforce: bool = False
    accept_loss: bool = False
    snapshot_s: float = 300.0
    snapshot_events: int = 50_000_000
    snapshots: int = 2
    limits: Limits = field(default_factory=Limits)
