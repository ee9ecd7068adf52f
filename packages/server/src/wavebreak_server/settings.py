"""Settings and limits of a service, as values; nothing here reads the environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from wavebreak.durations import DAY_S
from wavebreak.engine.state_ceiling import StateCeiling


@dataclass(frozen=True)
class Limits:
    """Limits of requests and queues. Sizes in bytes, times in seconds.

    Attributes:
        body: A request body as sent.
        unpacked: A request body after decompression.
        events: Events of one body.
        queue_bytes: Bodies that wait for the log, together.
        queue_events: Events that wait for the log.
        bodies: Bodies that wait for the log.
        reader: Memory of a decoder process (compression within Arrow is only seen there).
        decode_s: Until the body that a decoder process works on is rejected.
        job_s: How long a person waits for what a job on Flink knows of accounts.
        owner_s: After this time, an attempt is answered by what a job on Flink has published.
        max_age_s: How old an answer may be that is taken from what a job on Flink publishes.
        behind_events: Events in the log that the engine may lag behind.
        stall_s: While one transaction lasts longer, requests are refused, and the service is not
            ready.
        answer_s: After this time, `decide` answers as the policy's `on_failure` says.
        retry_after_s: For Retry-After when a request is refused.
        idempotency_s: How long responses are kept for an Idempotency-Key.
        refusals: Rejected events that a response lists; it counts the others.
        key_events: Events per second of one API key, over ten seconds.
        key_bytes: Decompressed bytes per second of one API key, over ten seconds.
        header_bytes: The head of a request: its first line and headers.
        header_s: Until the head of a request is complete.
        body_s: From then until its body is.
        keep_alive_s: How long a connection may wait for its next request.
        connections: Connections at once (fewer if the system allows fewer open files).
        peer_connections: Connections of one address, or one /64 of IPv6, at once (0: no limit).
    """

    body: int = 16 << 20
    unpacked: int = 64 << 20
    events: int = 100_000
    queue_bytes: int = 256 << 20
    queue_events: int = 1_000_000
    bodies: int = 2_000
    reader: int = 4 << 30
    decode_s: float = 30.0
    owner_s: float = 1.0
    job_s: float = 10.0
    max_age_s: float = 60.0
    behind_events: int = 1_000_000
    stall_s: float = 3.0
    answer_s: float = 0.25
    retry_after_s: float = 1.0
    idempotency_s: float = float(DAY_S)
    refusals: int = 100
    key_events: float = 1_000_000.0
    key_bytes: float = float(256 << 20)
    header_bytes: int = 16 << 10
    header_s: float = 10.0
    body_s: float = 30.0
    keep_alive_s: int = 30
    connections: int = 1_000
    peer_connections: int = 250


@dataclass(frozen=True)
class Settings:
    """Settings of a service.

    Attributes:
        home: Directory of the snapshots and, without `database`, of the SQLite file.
        database: A `postgresql://` URL (empty: SQLite).
        log: A `kafka://` URL of the topic with the log's bodies (empty: the database has them).
        host: Address to listen on.
        port: Port to listen on.
        decoders: Decoder processes.
        workers: Worker threads of the engine.
        enforce: Whether the engine enforces its decisions.
        accept_loss: Whether damaged rows of the log are skipped.
        allow_identifiers: Whether ids may look like phone numbers, e-mail addresses, URLs or text.
        snapshot_s: Seconds between snapshots.
        snapshot_events: Events between snapshots.
        snapshots: How many snapshots are kept.
        ceiling: How many bytes the state of accounts may have (None: no ceiling).
        flink_job: The job on Flink from whose decisions the service answers (empty: its own engine
            decides).
        new_names_per_hour: Names of accounts, networks, devices and clients that an API key may
            bring for the first time in an hour.
    """

    home: Path
    database: str = ""
    log: str = ""
    host: str = "127.0.0.1"
    port: int = 8480
    decoders: int = 1
    workers: int = 1
    enforce: bool = False
    accept_loss: bool = False
    allow_identifiers: bool = False
    snapshot_s: float = 300.0
    snapshot_events: int = 50_000_000
    snapshots: int = 2
    ceiling: StateCeiling | None = None
    flink_job: str = ""
    new_names_per_hour: int = 10_000_000
    limits: Limits = field(default_factory=Limits)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address to listen on.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
