"""The module's own tables in the homeserver's database, and the queries on Synapse's tables.

Every function takes a transaction of `ModuleApi.run_db_interaction`. The queries read Synapse's
internal schema: they are tested against the versions that the README names.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Protocol

from wavebreak_synapse.acts import is_act
from wavebreak_synapse.mapping import SMALL_ROOM, Event, Membership, Pdu, Room

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS wavebreak_positions (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS wavebreak_outbox (id TEXT PRIMARY KEY, ts BIGINT NOT NULL,"
    " ready SMALLINT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS wavebreak_creations (creator TEXT NOT NULL, ts BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS wavebreak_groups (room_id TEXT PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS wavebreak_ignored (owner TEXT NOT NULL, ignored TEXT NOT NULL,"
    " PRIMARY KEY (owner, ignored))",
    "CREATE TABLE IF NOT EXISTS wavebreak_suspensions (account TEXT PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS wavebreak_notices (account TEXT PRIMARY KEY,"
    " number BIGINT NOT NULL, outcome TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS wavebreak_taken_back (account TEXT PRIMARY KEY,"
    " number BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS wavebreak_acted (account TEXT PRIMARY KEY, noted BIGINT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS wavebreak_acted_noted ON wavebreak_acted (noted)",
    "CREATE TABLE IF NOT EXISTS wavebreak_hits (list TEXT NOT NULL, entry TEXT NOT NULL,"
    " name TEXT NOT NULL, subject TEXT NOT NULL, ts BIGINT NOT NULL, advice TEXT NOT NULL,"
    " day TEXT NOT NULL, PRIMARY KEY (list, entry, name))",
    "CREATE TABLE IF NOT EXISTS wavebreak_published (account TEXT PRIMARY KEY, hash TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS wavebreak_messages (name TEXT PRIMARY KEY, account TEXT NOT NULL,"
    " ts BIGINT NOT NULL, sent SMALLINT NOT NULL, texts TEXT NOT NULL)",
)
TABLES = tuple(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", "\n".join(SCHEMA)))
"""Their names."""
LIST_SIZE = "list:"
"""Before the name of a list, what its size is kept as."""
MESSAGE_MS = 2_592_000_000
"""How long it is remembered that a message of a name was sent: thirty days."""
PENDING_MS = 600_000
"""How long the address of a registration that was never completed is kept."""
CREATION_MS = 120_000
"""How long after it was asked about a room is taken to be the one that was asked about."""

NEWEST = 2**62
"""Behind every stream position."""
MODERATOR = 50
"""The power level that removes others from a room, unless the room says otherwise."""
MOST_MODERATORS = 5
"""So many are told of somebody in their room."""
MOST_COUNTED = 1_000
"""Members of a room at an event are counted up to so many: counting reads a row for each."""


class Transaction(Protocol):
    """What is used of Synapse's transactions: a cursor that takes `?` in every database."""

    rowcount: int

    def execute(self, sql: str, parameters: Iterable[Any] = ()) -> None:
        """Run a statement."""

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows."""


def create_tables(txn: Transaction) -> None:
    """Make what is not there yet."""
    for statement in SCHEMA:
        txn.execute(statement)


def read_positions(txn: Transaction) -> dict[str, str]:
    """Return the positions up to which each table was reported."""
    txn.execute("SELECT name, value FROM wavebreak_positions")
    return dict(txn.fetchall())


def write_positions(txn: Transaction, positions: dict[str, str]) -> None:
    """Keep positions."""
    for name, value in positions.items():
        txn.execute(
            "INSERT INTO wavebreak_positions (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )


def hash_key(txn: Transaction) -> bytes:
    """Return the key of hashes of invited addresses; made once, and kept in this database."""
    txn.execute(
        "INSERT INTO wavebreak_positions (name, value) VALUES ('hash_key', ?)"
        " ON CONFLICT (name) DO NOTHING",
        (secrets.token_hex(32),),
    )
    txn.execute("SELECT value FROM wavebreak_positions WHERE name = 'hash_key'")
    row = txn.fetchone()
    return bytes.fromhex(row[0]) if row else b""


def put_event(txn: Transaction, event: Event, *, ready: bool = True) -> None:
    """Keep an event until it is delivered; one that is not ready waits for `release_event`.

    One that is ready already stays as it is.
    """
    txn.execute(
        "INSERT INTO wavebreak_outbox (id, ts, ready, body) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET ts = excluded.ts, ready = excluded.ready,"
        " body = excluded.body WHERE wavebreak_outbox.ready = 0",
        (event["id"], event["ts"], int(ready), json.dumps(event, separators=(",", ":"))),
    )


def release_event(txn: Transaction, event: Event) -> None:
    """Make an event ready: the one that waits under its id, else this one."""
    txn.execute("UPDATE wavebreak_outbox SET ready = 1 WHERE id = ?", (event["id"],))
    if not txn.rowcount:
        put_event(txn, event)


def read_waiting(txn: Transaction, id: str) -> Event | None:
    """Return the event of an id that is ready and was not delivered yet."""
    txn.execute("SELECT body FROM wavebreak_outbox WHERE id = ? AND ready = 1", (id,))
    row = txn.fetchone()
    event: Event | None = json.loads(row[0]) if row else None
    return event


def read_outbox(txn: Transaction, limit: int, now: int) -> list[tuple[int, str, Event]]:
    """Return time, id and body of events that are ready; forget those that never were."""
    txn.execute(
        "DELETE FROM wavebreak_outbox WHERE ready = 0 AND ts < ?",
        (now - PENDING_MS,),
    )
    txn.execute(
        "SELECT ts, id, body FROM wavebreak_outbox WHERE ready = 1 ORDER BY ts, id LIMIT ?",
        (limit,),
    )
    return [(ts, id, json.loads(body)) for ts, id, body in txn.fetchall()]


def delete_events(txn: Transaction, ids: Iterable[str]) -> None:
    """Forget events that are delivered."""
    for id in ids:
        txn.execute("DELETE FROM wavebreak_outbox WHERE id = ?", (id,))


def note_creation(txn: Transaction, creator: str, ts: int) -> None:
    """Note that an account is about to make a group."""
    txn.execute("DELETE FROM wavebreak_creations WHERE ts < ?", (ts - 10 * CREATION_MS,))
    txn.execute("INSERT INTO wavebreak_creations (creator, ts) VALUES (?, ?)", (creator, ts))


def is_noted_creation(txn: Transaction, creator: str, ts: int) -> bool:
    """Return whether a room made at a time is one that was noted as a group."""
    txn.execute(
        "SELECT 1 FROM wavebreak_creations WHERE creator = ? AND ts BETWEEN ? AND ? LIMIT 1",
        (creator, ts - CREATION_MS, ts + 1_000),
    )
    return txn.fetchone() is not None


def note_group(txn: Transaction, room_id: str) -> None:
    """Note that a room is a group from now on."""
    txn.execute(
        "INSERT INTO wavebreak_groups (room_id) VALUES (?) ON CONFLICT (room_id) DO NOTHING",
        (room_id,),
    )


def read_room(txn: Transaction, room_id: str) -> Room:
    """Return what is known of a room as it is now, by one query for at most four rows."""
    txn.execute(
        "SELECT c.state_key, r.is_public, s.joined_members + s.invited_members,"
        " g.room_id, p.room_id, r.creator"
        " FROM rooms AS r"
        " LEFT JOIN current_state_events AS c ON c.room_id = r.room_id"
        " AND c.type = 'm.room.member' AND c.membership IN ('join', 'invite')"
        " LEFT JOIN room_stats_current AS s ON s.room_id = r.room_id"
        " LEFT JOIN wavebreak_groups AS g ON g.room_id = r.room_id"
        " LEFT JOIN partial_state_rooms AS p ON p.room_id = r.room_id"
        " WHERE r.room_id = ? LIMIT 4",
        (room_id,),
    )
    rows = txn.fetchall()
    if not rows:
        return Room(room_id)
    _, public, members, group, partial, creator = rows[0]
    people = tuple(row[0] for row in rows if row[0] is not None)
    return Room(
        room_id,
        people=people,
        # The count follows with a delay; up to three are counted here.
        members=max(members or 0, len(people)) if len(people) > 3 else len(people),
        # Of a room whose members are not all known yet, a group is the careful guess.
        group=bool(public) or group is not None or partial is not None,
        creator=creator or None,
    )


def read_room_at(txn: Transaction, room_id: str, order: int) -> Room:
    """Return what is known of a room as it was right after an event: members of then, not of now.

    Who left, was removed or deactivated since is still a member of then; a room that this server
    has left since, and so has no current state of, too. Of a group with more than `MOST_COUNTED`
    members the number is that of now.

    Args:
        txn: A transaction.
        room_id: The room.
        order: The stream position of the event.
    """
    txn.execute(
        "SELECT r.is_public, s.joined_members + s.invited_members, g.room_id, p.room_id, r.creator"
        " FROM rooms AS r"
        " LEFT JOIN room_stats_current AS s ON s.room_id = r.room_id"
        " LEFT JOIN wavebreak_groups AS g ON g.room_id = r.room_id"
        " LEFT JOIN partial_state_rooms AS p ON p.room_id = r.room_id"
        " WHERE r.room_id = ?",
        (room_id,),
    )
    public, now, group, partial, creator = txn.fetchone() or (False, 0, None, None, None)
    is_group = bool(public) or group is not None or partial is not None
    if is_group and (partial is not None or (now or 0) > MOST_COUNTED):
        return Room(room_id, members=now or 0, group=True, creator=creator or None)
    people = _members_at(txn, room_id, order)
    members = len(people) if len(people) <= MOST_COUNTED else max(now or 0, len(people))
    return Room(room_id, tuple(people[:4]), members, is_group, creator or None)


def _members_at(txn: Transaction, room_id: str, order: int) -> list[str]:
    """Return who had joined or was invited at a stream position: one more than are counted."""
    txn.execute(
        "SELECT m.user_id FROM (SELECT user_id, membership, event_stream_ordering,"
        " ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY event_stream_ordering DESC) AS place"
        " FROM room_memberships WHERE room_id = ? AND event_stream_ordering <= ?) AS m"
        " WHERE m.place = 1 AND m.membership IN ('join', 'invite')"
        " ORDER BY m.event_stream_ordering LIMIT ?",
        (room_id, order, MOST_COUNTED + 1),
    )
    return [row[0] for row in txn.fetchall()]


def read_policy(txn: Transaction, room_id: str) -> tuple[str, dict[str, Any]] | None:
    """Return the version of a room that this server is in, and its `m.room.policy`."""
    txn.execute(
        "SELECT r.room_version, j.json FROM rooms AS r"
        " JOIN current_state_events AS c ON c.room_id = r.room_id"
        " AND c.type = 'm.room.policy' AND c.state_key = ''"
        " JOIN event_json AS j ON j.event_id = c.event_id WHERE r.room_id = ?",
        (room_id,),
    )
    row = txn.fetchone()
    if row is None:
        return None
    content = json.loads(row[1]).get("content")
    return str(row[0]), content if isinstance(content, dict) else {}


def read_membership(txn: Transaction, room_id: str, account: str, before: int) -> Membership | None:
    """Return an account's last membership in a room before a stream position."""
    txn.execute(
        "SELECT m.membership, m.sender, e.outlier FROM room_memberships AS m"
        " JOIN events AS e ON e.event_id = m.event_id"
        " WHERE m.room_id = ? AND m.user_id = ? AND m.event_stream_ordering < ?"
        " ORDER BY m.event_stream_ordering DESC LIMIT 1",
        (room_id, account, before),
    )
    row = txn.fetchone()
    return Membership(row[0], row[1], bool(row[2])) if row else None


def joined_s(txn: Transaction, pdu: Pdu, room: Room, before: int = NEWEST) -> int | None:
    """Return for how many seconds the sender of an event has been in its room.

    None for who has a say there: who made the room, or has a greater power level than newcomers.
    Its moderators know whom they have given one.

    Args:
        txn: A transaction.
        pdu: The event, with its time; of a new one, now.
        room: Its room.
        before: Its stream position.
    """
    if room.creator == pdu.sender or pdu.sender in _powers(txn, pdu.room_id):
        return None
    # A change of name is a join too: the first one since the account was not there.
    txn.execute(
        "SELECT MIN(e.received_ts) FROM room_memberships AS m"
        " JOIN events AS e ON e.event_id = m.event_id"
        " WHERE m.room_id = ? AND m.user_id = ? AND m.membership = 'join'"
        " AND m.event_stream_ordering < ? AND m.event_stream_ordering > COALESCE((SELECT"
        " MAX(l.event_stream_ordering) FROM room_memberships AS l WHERE l.room_id = ?"
        " AND l.user_id = ? AND l.membership <> 'join' AND l.event_stream_ordering < ?), ?)",
        (pdu.room_id, pdu.sender, before, pdu.room_id, pdu.sender, before, -NEWEST),
    )
    row = txn.fetchone()
    if row is None or row[0] is None:
        return None
    return max(pdu.ts - int(row[0]), 0) // 1000


def _powers(txn: Transaction, room_id: str) -> dict[str, int]:
    """Return whom the power levels of a room place above newcomers, and how high."""
    txn.execute(
        "SELECT j.json FROM current_state_events AS c"
        " JOIN event_json AS j ON j.event_id = c.event_id"
        " WHERE c.room_id = ? AND c.type = 'm.room.power_levels' AND c.state_key = ''",
        (room_id,),
    )
    row = txn.fetchone()
    content = json.loads(row[0]).get("content") if row else None
    if not isinstance(content, dict):
        return {}
    users, others = content.get("users"), content.get("users_default", 0)
    least = others if isinstance(others, int) else 0
    levels = users.items() if isinstance(users, dict) else ()
    return {who: own for who, own in levels if isinstance(own, int) and own > least}


def moderators(txn: Transaction, room: Room, is_mine: Callable[[str], bool]) -> list[str]:
    """Return who of this server may remove others from a room: its maker, the greatest power first.

    Args:
        txn: A transaction.
        room: The room.
        is_mine: Whether an account is of this server. Those of others must take no place.
    """
    levels = _powers(txn, room.room_id)
    able = sorted((-own, who) for who, own in levels.items() if own >= MODERATOR)
    named = dict.fromkeys([*filter(None, [room.creator]), *(who for _, who in able)])
    asked = islice(filter(is_mine, named), 4 * MOST_MODERATORS)
    return [who for who in asked if _is_joined(txn, room.room_id, who)][:MOST_MODERATORS]


def _is_joined(txn: Transaction, room_id: str, account: str) -> bool:
    txn.execute(
        "SELECT 1 FROM current_state_events WHERE room_id = ? AND type = 'm.room.member'"
        " AND state_key = ? AND membership = 'join'",
        (room_id, account),
    )
    return txn.fetchone() is not None


def read_inviter(txn: Transaction, room_id: str, account: str) -> str | None:
    """Return who invited an account into a room last."""
    txn.execute(
        "SELECT sender FROM room_memberships WHERE room_id = ? AND user_id = ?"
        " AND membership = 'invite' ORDER BY event_stream_ordering DESC LIMIT 1",
        (room_id, account),
    )
    row = txn.fetchone()
    return str(row[0]) if row else None


def is_own_edit(txn: Transaction, pdu: Pdu, edited: str, before: int = NEWEST) -> bool:
    """Return whether an event replaces one of its sender's own, for those who have it already.

    Who joined the room since has not: to them an edit brings something new.

    Args:
        txn: A transaction.
        pdu: The event.
        edited: The id of what it says it replaces.
        before: Its stream position.
    """
    txn.execute(
        "SELECT stream_ordering FROM events WHERE event_id = ? AND room_id = ? AND sender = ?"
        " AND type = ? AND state_key IS NULL AND rejection_reason IS NULL",
        (edited, pdu.room_id, pdu.sender, pdu.type),
    )
    row = txn.fetchone()
    if row is None:
        return False
    txn.execute(
        "SELECT 1 FROM events AS e JOIN room_memberships AS m ON m.event_id = e.event_id"
        " WHERE e.room_id = ? AND e.stream_ordering > ? AND e.stream_ordering < ?"
        " AND e.type = 'm.room.member' AND m.membership = 'join' AND m.user_id <> ? LIMIT 1",
        (pdu.room_id, row[0], before, pdu.sender),
    )
    return txn.fetchone() is None


def is_in_group(txn: Transaction, room_id: str, account: str) -> bool:
    """Return whether a room is a group that an account is in now."""
    former = read_membership(txn, room_id, account, NEWEST)
    joined = former is not None and former.membership == "join"
    return joined and read_room(txn, room_id).is_group


def has_contact(txn: Transaction, owner: str, sender: str, room_id: str) -> bool:
    """Return whether a local account knows another one.

    It has a direct chat with it in its own list, or shares another, small private room with it.
    """
    txn.execute(
        "SELECT content FROM account_data WHERE user_id = ? AND account_data_type = 'm.direct'",
        (owner,),
    )
    row = txn.fetchone()
    if row is not None:
        rooms = json.loads(row[0])
        if isinstance(rooms, dict) and rooms.get(sender):
            return True
    return _shares_small_room(txn, owner, sender, room_id)


def _shares_small_room(txn: Transaction, owner: str, other: str, room_id: str) -> bool:
    """Return whether a local account shares another small private room with an account."""
    txn.execute(
        "SELECT 1 FROM users_who_share_private_rooms AS u"
        " JOIN room_stats_current AS s ON s.room_id = u.room_id"
        " WHERE u.user_id = ? AND u.other_user_id = ? AND u.room_id <> ?"
        " AND s.joined_members <= ? LIMIT 1",
        (owner, other, room_id, SMALL_ROOM),
    )
    return txn.fetchone() is not None


def contacts_among(txn: Transaction, owners: Iterable[str], sender: str, room_id: str) -> set[str]:
    """Return which local accounts know another one; see `has_contact`."""
    return {owner for owner in owners if has_contact(txn, owner, sender, room_id)}


def read_devices(txn: Transaction, account: str) -> set[str]:
    """Return the ids of an account's devices, at most fifty."""
    txn.execute(
        "SELECT device_id FROM devices WHERE user_id = ? AND NOT hidden LIMIT 50", (account,)
    )
    return {row[0] for row in txn.fetchall()}


def read_user(txn: Transaction, account: str) -> tuple[Any, ...] | None:
    """Return admin, is_guest, appservice_id and user_type of a local account."""
    txn.execute(
        "SELECT admin, is_guest, appservice_id, user_type FROM users WHERE name = ?", (account,)
    )
    return txn.fetchone()


def read_language(txn: Transaction, account: str) -> str | None:
    """Return the language in which an account last asked for push notifications."""
    txn.execute(
        "SELECT lang FROM pushers WHERE user_name = ? AND lang IS NOT NULL AND lang <> ''"
        " ORDER BY ts DESC LIMIT 1",
        (account,),
    )
    row = txn.fetchone()
    return str(row[0]).lower()[:2] if row else None


def copy_ignored(txn: Transaction) -> None:
    """Take over all lists of ignored accounts as they are."""
    txn.execute(
        "INSERT INTO wavebreak_ignored (owner, ignored)"
        " SELECT ignorer_user_id, ignored_user_id FROM ignored_users WHERE true"
        " ON CONFLICT (owner, ignored) DO NOTHING"
    )


def change_ignored(txn: Transaction, owner: str, ignored: set[str]) -> tuple[set[str], set[str]]:
    """Keep an account's list of ignored accounts; return who is new on it, and who is gone."""
    txn.execute("SELECT ignored FROM wavebreak_ignored WHERE owner = ?", (owner,))
    former = {row[0] for row in txn.fetchall()}
    for account in ignored - former:
        txn.execute(
            "INSERT INTO wavebreak_ignored (owner, ignored) VALUES (?, ?)", (owner, account)
        )
    for account in former - ignored:
        txn.execute(
            "DELETE FROM wavebreak_ignored WHERE owner = ? AND ignored = ?", (owner, account)
        )
    return ignored - former, former - ignored


def owners_of_changed_lists(txn: Transaction) -> list[str]:
    """Return whose list of ignored accounts changed while the module was not there to see it."""
    txn.execute(
        "SELECT ignorer_user_id FROM (SELECT ignorer_user_id, ignored_user_id FROM ignored_users"
        " EXCEPT SELECT owner, ignored FROM wavebreak_ignored) AS added"
        " UNION SELECT owner FROM (SELECT owner, ignored FROM wavebreak_ignored"
        " EXCEPT SELECT ignorer_user_id, ignored_user_id FROM ignored_users) AS removed"
    )
    return [row[0] for row in txn.fetchall()]


def read_ignored(txn: Transaction, owner: str) -> set[str]:
    """Return whom an account ignores, by Synapse's table."""
    txn.execute("SELECT ignored_user_id FROM ignored_users WHERE ignorer_user_id = ?", (owner,))
    return {row[0] for row in txn.fetchall()}


def read_suspensions(txn: Transaction) -> set[str]:
    """Return the accounts that this module suspended."""
    txn.execute("SELECT account FROM wavebreak_suspensions")
    return {row[0] for row in txn.fetchall()}


def write_suspension(txn: Transaction, account: str, suspended: bool) -> None:
    """Note that the module suspended an account, or undid it."""
    if suspended:
        txn.execute(
            "INSERT INTO wavebreak_suspensions (account) VALUES (?)"
            " ON CONFLICT (account) DO NOTHING",
            (account,),
        )
    else:
        txn.execute("DELETE FROM wavebreak_suspensions WHERE account = ?", (account,))


def read_notices(txn: Transaction) -> dict[str, tuple[int, str]]:
    """Return the decision and the outcome of each account's last notice."""
    txn.execute("SELECT account, number, outcome FROM wavebreak_notices")
    return {account: (number, outcome) for account, number, outcome in txn.fetchall()}


def write_notice(txn: Transaction, account: str, number: int, outcome: str) -> None:
    """Note the notice that an account is sent."""
    txn.execute(
        "INSERT INTO wavebreak_notices (account, number, outcome) VALUES (?, ?, ?)"
        " ON CONFLICT (account) DO UPDATE SET number = excluded.number,"
        " outcome = excluded.outcome",
        (account, number, outcome),
    )


def note_acted(txn: Transaction, account: str, now: int) -> None:
    """Note that an account, of whatever server, acted here."""
    txn.execute(
        "INSERT INTO wavebreak_acted (account, noted) VALUES (?, ?)"
        " ON CONFLICT (account) DO NOTHING",
        (account, now),
    )


def read_acted(txn: Transaction, since: int) -> list[tuple[str, int]]:
    """Return the accounts that acted here, of whom that was noted at a time or later."""
    txn.execute("SELECT account, noted FROM wavebreak_acted WHERE noted >= ?", (since,))
    return [(account, noted) for account, noted in txn.fetchall()]


def has_acted(txn: Transaction, account: str) -> bool:
    """Return whether an account acted here."""
    txn.execute("SELECT 1 FROM wavebreak_acted WHERE account = ?", (account,))
    return txn.fetchone() is not None


def policy_mark(txn: Transaction, room_id: str) -> tuple[int, ...] | None:
    """Return what changes with a room's state; None where nobody of this server is in it."""
    txn.execute(
        "SELECT 1 FROM local_current_membership WHERE room_id = ? AND membership = 'join' LIMIT 1",
        (room_id,),
    )
    if txn.fetchone() is None:
        return None
    txn.execute(
        "SELECT MAX(stream_ordering), (SELECT COUNT(*) FROM wavebreak_published)"
        " FROM events WHERE room_id = ?",
        (room_id,),
    )
    newest, published = txn.fetchone() or (0, 0)
    return newest or 0, published


def read_policy_rules(
    txn: Transaction, room_id: str, kinds: Sequence[str]
) -> list[tuple[str, dict[str, Any], int]]:
    """Return type, content and time of a room's entries of some types; not those redacted."""
    txn.execute(
        "SELECT c.type, j.json, e.origin_server_ts FROM current_state_events AS c"
        " JOIN events AS e ON e.event_id = c.event_id"
        " JOIN event_json AS j ON j.event_id = c.event_id"
        " LEFT JOIN redactions AS r ON r.redacts = c.event_id"
        " WHERE c.room_id = ? AND r.event_id IS NULL",
        (room_id,),
    )
    found = [row for row in txn.fetchall() if row[0] in kinds]
    contents = [(kind, json.loads(body).get("content"), ts) for kind, body, ts in found]
    return [row for row in contents if isinstance(row[1], dict)]


def read_list_size(txn: Transaction, name: str) -> tuple[int, str] | None:
    """Return how many entries a list had when a day began, and the day."""
    txn.execute("SELECT value FROM wavebreak_positions WHERE name = ?", (f"{LIST_SIZE}{name}",))
    row = txn.fetchone()
    if row is None:
        return None
    size, day = json.loads(row[0])
    return int(size), str(day)


def write_list_size(txn: Transaction, name: str, size: int, day: str) -> None:
    """Keep how many entries a list has; see `read_list_size`."""
    write_positions(txn, {f"{LIST_SIZE}{name}": json.dumps([size, day])})


def read_hits(txn: Transaction) -> list[tuple[Any, ...]]:
    """Return the hits of lists that were told: list, entry, name, subject, ts, advice and day."""
    txn.execute("SELECT list, entry, name, subject, ts, advice, day FROM wavebreak_hits")
    return txn.fetchall()


def write_hits(txn: Transaction, rows: Iterable[tuple[Any, ...]]) -> None:
    """Keep hits that were told; see `read_hits`."""
    for row in rows:
        txn.execute(
            "INSERT INTO wavebreak_hits (list, entry, name, subject, ts, advice, day)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (list, entry, name)"
            " DO UPDATE SET ts = excluded.ts, advice = excluded.advice, day = excluded.day",
            row,
        )


def delete_hits(txn: Transaction, keys: Iterable[tuple[str, str, str]]) -> None:
    """Forget hits by list, entry and name."""
    for key in keys:
        txn.execute("DELETE FROM wavebreak_hits WHERE list = ? AND entry = ? AND name = ?", key)


def read_published(txn: Transaction) -> dict[str, str]:
    """Return the accounts that are published in a policy room of ours, with their hashes."""
    txn.execute("SELECT account, hash FROM wavebreak_published")
    return dict(txn.fetchall())


def write_published(txn: Transaction, account: str, digest: str | None) -> None:
    """Note that an account is published, or no more."""
    txn.execute("DELETE FROM wavebreak_published WHERE account = ?", (account,))
    if digest is not None:
        txn.execute(
            "INSERT INTO wavebreak_published (account, hash) VALUES (?, ?)", (account, digest)
        )


def read_taken_back(txn: Transaction) -> dict[str, int]:
    """Return the decision after which all was taken back that an account had sent to strangers."""
    txn.execute("SELECT account, number FROM wavebreak_taken_back")
    return dict(txn.fetchall())


def write_taken_back(txn: Transaction, account: str, number: int) -> None:
    """Note that all was taken back after a decision."""
    txn.execute(
        "INSERT INTO wavebreak_taken_back (account, number) VALUES (?, ?)"
        " ON CONFLICT (account) DO UPDATE SET number = excluded.number",
        (account, number),
    )


def pending_invitations(txn: Transaction, account: str, since: int) -> list[tuple[str, str, str]]:
    """Return room, invited stranger and event of a local account's invitations without an answer.

    Those of rooms that it has left are among them; those to people who know it are not.

    Args:
        txn: A transaction.
        account: Who invited.
        since: When it invited at the earliest, in milliseconds.
    """
    txn.execute(
        "SELECT DISTINCT i.room_id, i.user_id, i.event_id, e.stream_ordering"
        " FROM room_memberships AS mine"
        " JOIN room_memberships AS i ON i.room_id = mine.room_id"
        " AND i.sender = mine.user_id AND i.membership = 'invite'"
        " JOIN events AS e ON e.event_id = i.event_id"
        " WHERE mine.user_id = ? AND e.received_ts >= ? ORDER BY e.stream_ordering",
        (account, since),
    )
    return [
        (room, person, event)
        for room, person, event, _ in txn.fetchall()
        if is_still_invited(txn, room, person, event)
        # Of another server's account only the rooms that it shares with this one are seen.
        and not has_contact(txn, person, account, room)
        and not _shares_small_room(txn, account, person, room)
    ]


def is_still_invited(txn: Transaction, room_id: str, account: str, event_id: str) -> bool:
    """Return whether an invitation was neither accepted nor refused nor withdrawn."""
    txn.execute(
        "SELECT 1 FROM current_state_events WHERE event_id = ?"
        " UNION ALL SELECT 1 FROM local_current_membership"
        " WHERE user_id = ? AND room_id = ? AND event_id = ? LIMIT 1",
        (event_id, account, room_id, event_id),
    )
    return txn.fetchone() is not None


def pending_knocks(txn: Transaction, account: str) -> list[str]:
    """Return the rooms on which a local account knocks."""
    txn.execute(
        "SELECT room_id FROM local_current_membership WHERE user_id = ? AND membership = 'knock'",
        (account,),
    )
    return [row[0] for row in txn.fetchall()]


def unanswered_messages(txn: Transaction, account: str, since: int) -> list[tuple[str, str]]:
    """Return room and event of what an account wrote to strangers who never wrote in that chat.

    Direct chats alone: in a room for several not to write is no answer that is missing.
    """
    txn.execute(
        "SELECT DISTINCT room_id FROM room_memberships WHERE user_id = ? AND membership = 'join'",
        (account,),
    )
    found = []
    for (room_id,) in txn.fetchall():
        if _is_unanswered(txn, account, room_id):
            txn.execute(
                "SELECT e.event_id, e.type, e.state_key, j.json FROM events AS e"
                " JOIN event_json AS j ON j.event_id = e.event_id"
                " LEFT JOIN redactions AS r ON r.redacts = e.event_id"
                " WHERE e.room_id = ? AND e.sender = ? AND e.received_ts >= ?"
                " AND e.rejection_reason IS NULL AND r.event_id IS NULL"
                " ORDER BY e.stream_ordering",
                (room_id, account, since),
            )
            found += [
                (room_id, event_id)
                for event_id, kind, state_key, body in txn.fetchall()
                if is_act(kind, json.loads(body).get("content") or {}, state_key)
            ]
    return found


def _is_unanswered(txn: Transaction, account: str, room_id: str) -> bool:
    if read_room(txn, room_id).is_group:
        return False
    txn.execute(
        "SELECT DISTINCT user_id FROM room_memberships WHERE room_id = ? AND user_id <> ?",
        (room_id, account),
    )
    others = [row[0] for row in txn.fetchall()]
    if len(others) != 1 or has_contact(txn, others[0], account, room_id):
        return False
    txn.execute(
        "SELECT 1 FROM events WHERE room_id = ? AND sender <> ? AND type <> 'm.room.member'"
        " LIMIT 1",
        (room_id, account),
    )
    return txn.fetchone() is None


def put_message(txn: Transaction, name: str, account: str, ts: int, texts: dict[str, str]) -> None:
    """Keep a message to an account, by language, until it is sent; one of each name."""
    txn.execute(
        "INSERT INTO wavebreak_messages (name, account, ts, sent, texts) VALUES (?, ?, ?, 0, ?)"
        " ON CONFLICT (name) DO NOTHING",
        (name, account, ts, json.dumps(texts)),
    )


def read_messages(txn: Transaction, now: int) -> list[tuple[str, str, dict[str, str]]]:
    """Return name, account and texts of messages that were not sent, at most a hundred."""
    txn.execute("DELETE FROM wavebreak_messages WHERE ts < ?", (now - MESSAGE_MS,))
    txn.execute(
        "SELECT name, account, texts FROM wavebreak_messages WHERE sent = 0"
        " ORDER BY ts, name LIMIT 100"
    )
    return [(name, account, json.loads(texts)) for name, account, texts in txn.fetchall()]


def mark_message(txn: Transaction, name: str) -> None:
    """Note that a message was sent."""
    txn.execute("UPDATE wavebreak_messages SET sent = 1 WHERE name = ?", (name,))
