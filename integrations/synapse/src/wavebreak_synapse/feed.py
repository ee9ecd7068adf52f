"""What happened, read from the homeserver's tables after the fact.

A position per table is kept in a table of the module's own, so that a restart loses nothing and
nothing is on the path of a request. An event that is read twice has the same id, and counts once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from wavebreak_synapse import tables
from wavebreak_synapse.acts import RTC_DECLINES, RTC_MEMBERS, edited_event, is_act
from wavebreak_synapse.config import Settings
from wavebreak_synapse.lru import Cache
from wavebreak_synapse.mapping import (
    Call,
    Event,
    Pdu,
    Room,
    acting,
    block_event,
    first_contact,
    group_created_event,
    membership_event,
    mentions_many,
    message_event,
    names_many,
    opaque_id,
    read_event,
    report_event,
)
from wavebreak_synapse.tables import Transaction

_CALL_ANSWER = "m.call.answer"
_CALL_ENDS = frozenset({"m.call.hangup", "m.call.reject"})
_CALL_STEPS = frozenset({_CALL_ANSWER}) | _CALL_ENDS | RTC_MEMBERS | RTC_DECLINES
SETTLED_MS = 2_000
"""Reports are read so much later: their ids are given out before their rows are visible."""
USERS_DONE = "done"
REPORTS = {
    "event_reports": "e.sender, r.event_id, r.room_id FROM event_reports AS r"
    " JOIN events AS e USING (event_id)",
    "user_reports": "r.target_user_id, NULL, NULL FROM user_reports AS r",
    "room_reports": "NULL, NULL, r.room_id FROM room_reports AS r",
}
"""Synapse's tables of reports, with what is read of each: account, message and room reported."""
_EVENTS = """
    SELECT e.stream_ordering, e.event_id, e.type, e.sender, e.room_id, e.received_ts,
        e.state_key, e.outlier, j.internal_metadata, j.json
    FROM events AS e JOIN event_json AS j ON j.event_id = e.event_id
    WHERE e.stream_ordering > ? AND e.stream_ordering <= ? AND e.rejection_reason IS NULL
    ORDER BY e.stream_ordering LIMIT ?
"""


class Row(NamedTuple):
    """One row of a table.

    Attributes:
        ts: Its time, never before that of the row before it.
        position: The position of its table once it is delivered.
        event: What is reported of it; None: nothing.
    """

    ts: int
    position: str
    event: Event | None


@dataclass
class Source:
    """The rows of one table after its position."""

    name: str
    rows: list[Row]
    more: bool = False
    end: str | None = None
    """The position once all rows are delivered, where that is past the last row's."""


@dataclass
class Batch:
    """Events of all tables in the order of time, and the positions once they are delivered."""

    events: list[Event] = field(default_factory=list)
    positions: dict[str, str] = field(default_factory=dict)
    outbox: list[str] = field(default_factory=list)
    more: bool = False
    newest_ts: int | None = None


class Bounds(NamedTuple):
    """Stream positions up to which all rows are visible."""

    events: int
    receipts: int


class Feed:
    """Reads batches from the tables; used in transactions, by one worker.

    Args:
        settings: What is reported.
        server_name: This server.
        notices_account: The account that sends server notices, if there is one.
        limit: Rows of each table in one batch.
    """

    def __init__(
        self,
        settings: Settings,
        server_name: str,
        *,
        notices_account: str | None = None,
        limit: int = 500,
    ) -> None:
        self._settings = settings
        self._server_name = server_name
        self._notices_account = notices_account
        self._limit = limit
        self._positions: dict[str, str] = {}
        self._exempt: Cache[str, bool] = Cache(10_000, 60.0)
        self._contacts: Cache[tuple[str, str], bool] = Cache(20_000, 600.0)
        self._groups: Cache[str, bool] = Cache(50_000, 86_400.0)
        self._calls: Cache[tuple[str, str], Call] = Cache(20_000, 86_400.0)
        self._acted: Cache[str, bool] = Cache(50_000, 86_400.0)
        self._now = 0

    def start(self, txn: Transaction, bounds: Bounds, now: int) -> None:
        """Make the tables, and find where to go on.

        At the first start that is `history_days` ago, with all accounts.
        """
        tables.create_tables(txn)
        self._positions = tables.read_positions(txn)
        if "events" not in self._positions:
            first = self._first_positions(txn, bounds, now)
            tables.copy_ignored(txn)
            tables.write_positions(txn, first)
            self._positions |= first
        reports = self._first_reports(txn, now)
        tables.write_positions(txn, reports)
        self._positions |= reports
        for owner in tables.owners_of_changed_lists(txn):
            put_ignored(txn, owner, tables.read_ignored(txn, owner), now)

    def _first_positions(self, txn: Transaction, bounds: Bounds, now: int) -> dict[str, str]:
        whole = self._settings.history_days > 0
        since = now - self._settings.history_days * 86_400_000
        txn.execute("SELECT MIN(stream_ordering) FROM events WHERE origin_server_ts >= ?", (since,))
        row = txn.fetchone()
        first = row[0] if whole and row and row[0] and row[0] > 0 else bounds.events + 1
        found = {
            "events": str(min(first, bounds.events + 1) - 1),
            "history": str(bounds.events),
            "receipts": str(bounds.receipts),
            "users": json.dumps([0, "", now // 1000]) if whole else USERS_DONE,
        }
        return found

    def _first_reports(self, txn: Transaction, now: int) -> dict[str, str]:
        """Return positions of the tables of reports that have none, as a later version's."""
        since = now - self._settings.history_days * 86_400_000
        found = {}
        for name in REPORTS:
            if name not in self._positions:
                txn.execute(f"SELECT MAX(id) FROM {name} WHERE received_ts < ?", (since,))  # noqa: S608
                row = txn.fetchone()
                found[name] = str(row[0] if row and row[0] is not None else 0)
        return found

    def is_current(self, bounds: Bounds) -> bool:
        """Return whether the streams have nothing new; no query is needed to see that."""
        return (
            int(self._positions["events"]) >= bounds.events
            and int(self._positions["receipts"]) >= bounds.receipts
            and self._positions["users"] == USERS_DONE
        )

    def read(self, txn: Transaction, bounds: Bounds, now: int) -> Batch:
        """Return the next batch.

        Args:
            txn: A transaction.
            bounds: Up to where the streams may be read.
            now: The time in milliseconds.
        """
        self._now = now
        sources = [self._events(txn, bounds.events), self._outbox(txn, now)]
        if self._positions["users"] != USERS_DONE:
            sources.append(self._users(txn))
        if self._settings.receipts:
            sources.append(self._receipts(txn, bounds.receipts))
        if self._settings.reports:
            sources += [self._reports(txn, now, name) for name in REPORTS]
        return merge(sources)

    def delivered(self, txn: Transaction, batch: Batch) -> None:
        """Keep the positions of a batch that was delivered."""
        tables.write_positions(txn, batch.positions)
        tables.delete_events(txn, batch.outbox)

    def advance(self, batch: Batch) -> None:
        """Go on after a batch; call it once its transaction is committed."""
        self._positions |= batch.positions

    def _events(self, txn: Transaction, bound: int) -> Source:
        position = int(self._positions["events"])
        if position >= bound:
            return Source("events", [])
        txn.execute(_EVENTS, (position, bound, self._limit))
        found = txn.fetchall()
        rooms: dict[str, Room] = {}
        rows = []
        for row in found:
            event = self._event(txn, row, rooms)
            beside = self._beside(txn, row, event) if event is not None else None
            if beside is not None:
                rows.append(Row(row[5] or 0, str(row[0]), beside))
            rows.append(Row(row[5] or 0, str(row[0]), event))
        more = len(found) == self._limit
        return Source("events", rows, more, None if more else str(bound))

    def _event(self, txn: Transaction, row: Any, rooms: dict[str, Room]) -> Event | None:
        order, event_id, kind, sender, room_id, ts, state_key, outlier, metadata, body = row
        if kind == "m.room.member":
            rooms.pop(room_id, None)  # Its members change, whether or not this is reported.
        internal = json.loads(metadata)
        out_of_band = bool(internal.get("out_of_band_membership"))
        content = json.loads(body).get("content")
        unseen = (outlier and not out_of_band) or internal.get("soft_failed")
        if unseen or not isinstance(content, dict):
            return None
        pdu = Pdu(event_id, kind, sender, room_id, ts or 0, content, state_key, out_of_band)
        moves = kind == "m.room.member" and state_key is not None
        begins = kind == "m.room.create" and state_key is not None
        acts = is_act(kind, content, state_key)
        if kind in _CALL_STEPS and not acts:
            return self._call_goes_on(pdu)
        if not (acts or moves or begins) or not self._reports_on(txn, sender):
            return None
        if begins:
            return self._created(txn, pdu, order)
        if acts and not names_many(pdu) and self._is_own_edit(txn, pdu, order):
            return None
        room = rooms.get(room_id)
        if room is None:
            room = rooms[room_id] = self._room(txn, room_id, order)
        if self._notices_account in room.people and not room.is_group:
            return None  # Notices are the server's; to read or answer one is no conversation.
        if not moves:
            return self._message(txn, pdu, room, order)
        former = tables.read_membership(txn, room_id, state_key, order) if state_key else None
        return membership_event(pdu, room, former, self._server_name)

    def _beside(self, txn: Transaction, row: Any, event: Event) -> Event | None:
        """Return what an invitation of a stranger into a group is too: a request, or its answer."""
        order, _, _, sender, room_id, _, person, *_ = row
        if event["type"] == "group.member_added":
            known = self._has_contact(txn, person, sender, room_id)
            return None if known else first_contact(event)
        if event["type"] != "group.joined":
            return None
        former = tables.read_membership(txn, room_id, sender, order)
        if former is None or former.membership != "invite":
            return None
        if self._has_contact(txn, sender, former.sender, room_id):
            return None
        return first_contact(event | {"peer": opaque_id(former.sender)}, "contact.accepted")

    @staticmethod
    def _is_own_edit(txn: Transaction, pdu: Pdu, order: int) -> bool:
        edited = edited_event(pdu.type, pdu.content)
        return edited is not None and tables.is_own_edit(txn, pdu, edited, order)

    def _message(self, txn: Transaction, pdu: Pdu, room: Room, order: int) -> Event | None:
        """Return a message, or a call, which is kept until it ends."""
        known = self._knows(txn, room, pdu.sender)
        since = tables.joined_s(txn, pdu, room, order) if mentions_many(pdu, room) else None
        event = message_event(pdu, room, self._server_name, known, since)
        if event is not None and event["type"] == "call.started":
            self._calls.put(_call_key(pdu), Call(event, pdu.sender))
        return event

    def _call_goes_on(self, pdu: Pdu) -> Event | None:
        """Note that a call was taken, or return its end; None for one of which nothing is known.

        It is kept after its end: a batch that could not be delivered is read again.
        """
        key = _call_key(pdu)
        call = self._calls.get(key)
        if call is None:
            return None
        joins = pdu.type in RTC_MEMBERS and _takes_part(pdu.content)
        if not joins and pdu.type != _CALL_ANSWER:
            return call.ended(pdu.ts)
        if call.answered_ts is None and pdu.sender != call.caller:
            self._calls.put(key, replace(call, answered_ts=pdu.ts))
        return None

    def _created(self, txn: Transaction, pdu: Pdu, order: int) -> Event | None:
        # Nobody noted what was made before the module was there: what became a group was one.
        past = order <= int(self._positions.get("history", "0"))
        room = self._room(txn, pdu.room_id, None if past else order)
        if not room.is_group:
            if not tables.is_noted_creation(txn, pdu.sender, pdu.ts):
                return None
            self._note_group(txn, pdu.room_id)
        return group_created_event(pdu, self._server_name)

    def _room(self, txn: Transaction, room_id: str, order: int | None) -> Room:
        """Return a room as it was right after an event; None: as it is now."""
        if order is None:
            room = tables.read_room(txn, room_id)
        else:
            room = tables.read_room_at(txn, room_id, order)
        if len(room.people) > 2 and not room.group:
            self._note_group(txn, room_id)
        return room

    def _note_group(self, txn: Transaction, room_id: str) -> None:
        if self._groups.get(room_id) is None:
            tables.note_group(txn, room_id)
            self._groups.put(room_id, True)

    def _knows(self, txn: Transaction, room: Room, sender: str) -> bool | None:
        owner = None if room.is_group else room.counterpart(sender)
        return None if owner is None else self._has_contact(txn, owner, sender, room.room_id)

    def _has_contact(self, txn: Transaction, owner: str, sender: str, room_id: str) -> bool | None:
        if not self._settings.contacts or not self._is_local(owner):
            return None
        known = self._contacts.get((owner, sender))
        if known is None:
            known = tables.has_contact(txn, owner, sender, room_id)
            self._contacts.put((owner, sender), known)
        return known

    def _is_local(self, account: str) -> bool:
        return account.partition(":")[2] == self._server_name

    def _reports_on(self, txn: Transaction, account: str) -> bool:
        reported = self._settings.remote if not self._is_local(account) else None
        if reported is None:
            exempt = self._exempt.get(account)
            if exempt is None:
                exempt = is_exempt(
                    self._settings, account, tables.read_user(txn, account), self._notices_account
                )
                self._exempt.put(account, exempt)
            reported = not exempt
        if reported and self._settings.lists.key and self._acted.get(account) is None:
            tables.note_acted(txn, account, self._now)
            self._acted.put(account, True)
        return reported

    def _outbox(self, txn: Transaction, now: int) -> Source:
        found = tables.read_outbox(txn, self._limit, now)
        rows = [Row(ts, id, event) for ts, id, event in found]
        return Source("outbox", rows, len(found) == self._limit)

    def _users(self, txn: Transaction) -> Source:
        created, name, last = json.loads(self._positions["users"])
        txn.execute(
            "SELECT name, creation_ts, is_guest, appservice_id, user_type, deactivated, admin"
            " FROM users WHERE (creation_ts, name) > (?, ?) AND creation_ts < ?"
            " ORDER BY creation_ts, name LIMIT ?",
            (created, name, last, self._limit),
        )
        found = txn.fetchall()
        rows = []
        for account, made, guest, appservice, kind, deactivated, admin in found:
            columns = (admin, guest, appservice, kind)
            exempt = is_exempt(self._settings, account, columns, self._notices_account)
            event = None
            if not exempt and not deactivated:
                event = registration_event(account, made * 1000, self._server_name)
            rows.append(Row(made * 1000, json.dumps([made, account, last]), event))
        more = len(found) == self._limit
        return Source("users", rows, more, None if more else USERS_DONE)

    def _receipts(self, txn: Transaction, bound: int) -> Source:
        position = int(self._positions["receipts"])
        if position >= bound:
            return Source("receipts", [])
        txn.execute(
            "SELECT r.stream_id, r.user_id, r.event_id, r.data, e.sender, r.room_id,"
            " e.stream_ordering"
            " FROM receipts_linearized AS r JOIN events AS e ON e.event_id = r.event_id"
            " WHERE r.stream_id > ? AND r.stream_id <= ? AND r.receipt_type = 'm.read'"
            " ORDER BY r.stream_id LIMIT ?",
            (position, bound, self._limit),
        )
        found = txn.fetchall()
        rows = []
        for stream_id, reader, event_id, facts, sender, room_id, order in found:
            ts = json.loads(facts).get("ts")
            ts = ts if isinstance(ts, int) else 0
            event = None
            if reader != sender and ts and self._reports_on(txn, reader):
                # As it was when the message was sent: whoever reads a direct chat may have left it.
                room = self._room(txn, room_id, order)
                if not room.is_group:
                    event = read_event(stream_id, ts, reader, sender, event_id, self._server_name)
            rows.append(Row(ts, str(stream_id), event))
        more = len(found) == self._limit
        return Source("receipts", rows, more, None if more else str(bound))

    def _reports(self, txn: Transaction, now: int, table: str) -> Source:
        # The reason, a free text, is not even selected.
        txn.execute(
            f"SELECT r.id, r.received_ts, r.user_id, {REPORTS[table]}"
            " WHERE r.id > ? AND r.received_ts < ? ORDER BY r.id LIMIT ?",
            (int(self._positions[table]), now - SETTLED_MS, self._limit),
        )
        found = txn.fetchall()
        rows = []
        for id, ts, reporter, reported, event_id, room_id in found:
            event = None
            if self._reports_on(txn, reporter):
                person = reported or self._answerable(txn, room_id, reporter)
                name = f"{table}:{id}"
                if person is not None:
                    event = report_event(name, ts, reporter, person, event_id, self._server_name)
            rows.append(Row(ts, str(id), event))
        return Source(table, rows, len(found) == self._limit)

    def _answerable(self, txn: Transaction, room_id: str, reporter: str) -> str | None:
        """Return of whom a report of a room is: who invited the reporter, or the other of a chat.

        Of a room that it joined of its own accord nobody here is known to answer for what is there.
        """
        inviter = tables.read_inviter(txn, room_id, reporter)
        if inviter is not None:
            return inviter
        room = self._room(txn, room_id, None)
        return None if room.is_group else room.counterpart(reporter)


def merge(sources: list[Source]) -> Batch:
    """Return the rows of all sources in the order of time.

    Where a source has more rows than were read, the others wait: Wavebreak takes events in order,
    and one that is a minute behind changes nothing.

    >>> early = Source("events", [Row(5, "1", {"id": "a"}), Row(9, "2", {"id": "b"})], more=True)
    >>> late = Source("receipts", [Row(7, "1", {"id": "c"}), Row(10, "2", {"id": "d"})], end="4")
    >>> batch = merge([early, late])
    >>> [event["id"] for event in batch.events], batch.positions
    (['a', 'c', 'b'], {'events': '2', 'receipts': '1'})
    """
    ordered = [(source, list(_monotone(source.rows))) for source in sources]
    limits = [rows[-1].ts for source, rows in ordered if source.more and rows]
    limit = min(limits, default=None)
    batch = Batch(more=bool(limits))
    chosen: list[tuple[int, int, Row]] = []
    for number, (source, rows) in enumerate(ordered):
        taken = [row for row in rows if limit is None or row.ts <= limit]
        chosen += [(row.ts, number, row) for row in taken]
        if source.name == "outbox":
            batch.outbox = [row.position for row in taken]
        elif len(taken) == len(rows) and source.end is not None:
            batch.positions[source.name] = source.end
        elif taken:
            batch.positions[source.name] = taken[-1].position
    chosen.sort(key=lambda each: each[:2])
    batch.events = [row.event for _, _, row in chosen if row.event is not None]
    batch.newest_ts = chosen[-1][0] if chosen else None
    return batch


def _monotone(rows: list[Row]) -> Iterator[Row]:
    newest = 0
    for row in rows:
        newest = max(newest, row.ts)
        yield row._replace(ts=newest)


def is_exempt(
    settings: Settings, account: str, columns: tuple[Any, ...] | None, notices: str | None
) -> bool:
    """Return whether a local account is neither reported nor refused.

    Args:
        settings: Who is exempt.
        account: The account.
        columns: Its admin, is_guest, appservice_id and user_type; None: it does not exist.
        notices: The account that sends server notices.
    """
    if account in settings.exempt.users or account in (notices, settings.lists.publish_as):
        return True
    if columns is None:
        return False
    admin, guest, appservice, kind = columns
    return bool(
        (admin and settings.exempt.admins)
        or (guest and settings.exempt.guests)
        or ((appservice or kind in ("bot", "support")) and settings.exempt.appservices)
    )


def _call_key(pdu: Pdu) -> tuple[str, str]:
    """Return what names a call: a room has one by MatrixRTC, whose events share no id."""
    by_rtc = not pdu.type.startswith("m.call.") or pdu.type in RTC_MEMBERS | {"m.call.notify"}
    return pdu.room_id, "" if by_rtc else str(pdu.content.get("call_id"))[:255]


def _takes_part(content: Mapping[str, Any]) -> bool:
    """Return whether an account is in a call; who leaves it empties its event."""
    memberships = content.get("memberships")
    return bool(memberships) if memberships is not None else "application" in content


def registration_event(account: str, ts: int, server_name: str) -> Event:
    """Return the registration of an account; its id is the same whoever reports it."""
    digest = hashlib.sha256(account.encode()).hexdigest()[:40]
    event: Event = {"id": f"registered:{digest}", "ts": ts, "type": "account.registered"}
    return event | acting(account, server_name)


def put_ignored(txn: Transaction, owner: str, ignored: set[str], now: int) -> None:
    """Report whom an account ignores anew, and whom no more."""
    from_list = tables.change_ignored(txn, owner, ignored)
    for blocked, accounts in zip((True, False), from_list, strict=True):
        for account in sorted(accounts):
            digest = hashlib.sha256(f"{owner}\n{account}\n{blocked}\n{now}".encode()).hexdigest()
            event = block_event(f"ignored:{digest[:40]}", now, owner, account, blocked)
            tables.put_event(txn, event)
