"""Stand-ins for the homeserver and the client, for tests without Synapse."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry
from wavebreak_client import State, Verdict

from wavebreak_synapse import tables
from wavebreak_synapse.callbacks import Answers, Callbacks, Host
from wavebreak_synapse.config import Settings, parse_settings
from wavebreak_synapse.metrics import Metrics
from wavebreak_synapse.service import Service

T = TypeVar("T")
ANSWERS = Answers("NOT_SPAM", "M_FORBIDDEN", "ALLOW", "DENY")
# As much of Synapse's schema as the module's queries name.
SYNAPSE_SCHEMA = """
CREATE TABLE events (stream_ordering INTEGER PRIMARY KEY, event_id TEXT UNIQUE, type TEXT,
  room_id TEXT, outlier BOOL DEFAULT false, origin_server_ts BIGINT, received_ts BIGINT,
  sender TEXT, state_key TEXT, rejection_reason TEXT);
CREATE TABLE event_json (event_id TEXT UNIQUE, internal_metadata TEXT, json TEXT);
CREATE TABLE room_memberships (event_id TEXT UNIQUE, user_id TEXT, sender TEXT, room_id TEXT,
  membership TEXT, event_stream_ordering BIGINT);
CREATE TABLE current_state_events (room_id TEXT, type TEXT, state_key TEXT, membership TEXT,
  event_id TEXT);
CREATE TABLE local_current_membership (room_id TEXT, user_id TEXT, event_id TEXT,
  membership TEXT);
CREATE TABLE redactions (event_id TEXT, redacts TEXT);
CREATE TABLE rooms (room_id TEXT PRIMARY KEY, is_public BOOL, creator TEXT, room_version TEXT);
CREATE TABLE room_stats_current (room_id TEXT PRIMARY KEY, joined_members INT, invited_members INT);
CREATE TABLE partial_state_rooms (room_id TEXT PRIMARY KEY);
CREATE TABLE receipts_linearized (stream_id BIGINT, room_id TEXT, receipt_type TEXT, user_id TEXT,
  event_id TEXT, data TEXT);
CREATE TABLE event_reports (id BIGINT PRIMARY KEY, received_ts BIGINT, room_id TEXT, event_id TEXT,
  user_id TEXT, reason TEXT);
CREATE TABLE user_reports (id BIGINT PRIMARY KEY, received_ts BIGINT, target_user_id TEXT,
  user_id TEXT, reason TEXT);
CREATE TABLE room_reports (id BIGINT PRIMARY KEY, received_ts BIGINT, room_id TEXT, user_id TEXT,
  reason TEXT);
CREATE TABLE ignored_users (ignorer_user_id TEXT, ignored_user_id TEXT);
CREATE TABLE account_data (user_id TEXT, account_data_type TEXT, content TEXT);
CREATE TABLE users (name TEXT, creation_ts BIGINT, admin SMALLINT DEFAULT 0,
  is_guest SMALLINT DEFAULT 0, appservice_id TEXT, user_type TEXT, deactivated SMALLINT DEFAULT 0);
CREATE TABLE devices (user_id TEXT, device_id TEXT, hidden BOOLEAN DEFAULT 0);
CREATE TABLE users_who_share_private_rooms (user_id TEXT, other_user_id TEXT, room_id TEXT);
CREATE TABLE pushers (user_name TEXT, ts BIGINT, lang TEXT);
"""


def done(work: Awaitable[T]) -> T:
    """Run a callback to its end."""

    async def run() -> T:
        return await work

    return asyncio.run(run())


def settings_of(**more: Any) -> Settings:
    """Return settings that enforce."""
    given = {"url": "http://127.0.0.1:1", "key": "wb_1", "mode": "enforce"}
    return parse_settings(given | more)


class Database:
    """A database with the parts of Synapse's schema that the module reads."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.connection.executescript(SYNAPSE_SCHEMA)
        self.queries: list[str] = []
        tables.create_tables(self.cursor())

    def cursor(self) -> Any:
        """Return what a transaction is given."""
        return self.connection.cursor()

    def put(self, table: str, **values: Any) -> None:
        """Insert a row."""
        marks = ", ".join("?" * len(values))
        columns = ", ".join(values)
        sql = f"INSERT INTO {table} ({columns}) VALUES ({marks})"
        self.connection.execute(sql, tuple(values.values()))

    def room(self, room_id: str, *people: str, public: bool = False) -> None:
        """Make a room that has had these members from the start."""
        self.put("rooms", room_id=room_id, is_public=public)
        for each in people:
            self.put(
                "room_memberships",
                event_id=f"{room_id}/{each}",
                user_id=each,
                sender=each,
                room_id=room_id,
                membership="join",
                event_stream_ordering=0,
            )
            self.put(
                "current_state_events",
                room_id=room_id,
                type="m.room.member",
                state_key=each,
                membership="join",
            )

    async def run(self, name: str, function: Any, *arguments: Any) -> Any:
        """Run a function in a transaction."""
        self.queries.append(name)
        return function(self.cursor(), *arguments)

    def outbox(self) -> list[dict[str, Any]]:
        """Return the events that wait for delivery."""
        return [event for _, _, event in tables.read_outbox(self.cursor(), 100, 0)]


@dataclass
class FakeClient:
    """A client whose answers a test sets."""

    known: dict[str, State] = field(default_factory=dict)
    refusals: dict[str, dict[str, Any]] = field(default_factory=dict)
    allowances: dict[str, dict[str, Any]] = field(default_factory=dict)
    attempts: list[Any] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    declared: list[Any] = field(default_factory=list)
    fresh: bool = True
    open: bool = True
    delivers: bool = True
    clock_offset_ms: int = 0
    takes_declarations: bool = True

    def attempt(self, event: Any) -> Verdict:
        """Refuse what a test refuses."""
        self.attempts.append(event)
        first = event if isinstance(event, dict) else event[0]
        refusal = self.refusals.get(first["account"])
        if refusal is None:
            allowed = {"outcome": "allow"} | self.allowances.get(first["account"], {})
            return Verdict(first["account"], allowed=True, **allowed)
        return Verdict(first["account"], allowed=False, **refusal)

    def state(self, account: str) -> State:
        """Return what a test set."""
        return self.known.get(account, State(account))

    def states(self) -> list[State]:
        """Return all that a test set."""
        return [state for state in self.known.values() if state.outcome != "allow"]

    def needs_asking(self, account: str, opens_chat: bool) -> bool:
        """Ask as the client does."""
        return opens_chat or not self.fresh or not self.state(account).calm

    def declare(self, carries: Sequence[str], can: Sequence[str]) -> bool:
        """Keep the declaration."""
        self.declared.append((list(carries), list(can)))
        return self.takes_declarations

    def tell(self, *events: Any) -> bool:
        """Keep events."""
        if self.open:
            self.told += events
        return self.open

    def flush(self, timeout_s: float) -> bool:
        """Say what a test wants."""
        return self.delivers

    def health(self) -> Any:
        """Return what is looked at of it."""
        return SimpleNamespace(ok=True, problems=(), states_fresh=self.fresh, counts={},
                               states=0, queued=0, breaker="closed", unauthorized=False,
                               clock_offset_ms=self.clock_offset_ms)  # fmt: skip

    def close(self, timeout_s: float = 5.0) -> bool:
        """End."""
        self.open = False
        return True


class Setting:
    """Callbacks with all that they need; `now` is the time in milliseconds."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings_of(**settings)
        self.database = Database()
        self.client = FakeClient()
        self.now = 1_000_000
        self.users: dict[str, Any] = {}
        self.service = Service(self.settings, lambda: self.client)
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.host = Host(
            server_name="hs.test",
            now_ms=lambda: self.now,
            run_db=self.database.run,
            run_in_thread=self._at_once,
            user_info=self._user_info,
            notices_account="@notices:hs.test",
        )
        self.calls = Callbacks(self.settings, self.host, self.service, ANSWERS, self.metrics)

    @staticmethod
    async def _at_once(function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    async def _user_info(self, account: str) -> Any:
        return self.users.get(account)

    def user(self, account: str, **more: Any) -> None:
        """Make a local account."""
        facts = {"is_admin": False, "is_guest": False, "appservice_id": None, "user_type": None}
        self.users[account] = SimpleNamespace(suspended=False, **(facts | more))


class FakeEvent:
    """As much of a Synapse event as the module reads."""

    _ids = itertools.count(1)

    def __init__(self, sender: str, room: str, content: Any, kind: str = "m.room.message") -> None:
        self.event_id = f"$event{next(self._ids)}"
        self.type = kind
        self.sender = sender
        self.room_id = room
        self.content = content
        self.state_key: str | None = None

    def get(self, name: str) -> Any:
        """Return a member of the event."""
        return self.state_key if name == "state_key" else None
