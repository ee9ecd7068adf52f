"""Declared lanes: which accounts hold one, since when and by whom, and how they are given.

The engine says who holds a lane; the audit log says since when, by whom and why. A lane that came
with a log which the service began with has no entry there.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from asgiref.sync import async_to_sync
from django.db import connection

from wavebreak.engine import snapshot
from wavebreak.engine.account_queries import account_states
from wavebreak.engine.declared_lanes import LaneFloor, lane_floors, stored_lanes
from wavebreak.io import log_rows
from wavebreak.languages import msgid
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy
from wavebreak.schema.events import LANES, TYPES, AccountDeclared, Event, Lane
from wavebreak.schema.identifiers import fault
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.http.schemas import padded_reason
from wavebreak_server.pipeline.decide import pseudonymize_event
from wavebreak_server.pipeline.recovery import usable_snapshots
from wavebreak_server.slices.acts import actions
from wavebreak_server.slices.acts.service import AccountLocks
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.storage import event_log
from wavebreak_server.storage.authentic_rows import authentic
from wavebreak_server.storage.models import AuditEntry
from wavebreak_server.storage.row_macs import bound_key
from wavebreak_server.texts import translate

ACTION = "declare_lane"
DECLARED = TYPES.index("account.declared")
LANE_WORDS: Mapping[str, str] = {
    "none": msgid("no lane"),
    "courier": msgid("courier"),
    "clinic": msgid("clinic"),
    "code_sender": msgid("sender of codes"),
    "school": msgid("school"),
}
"""What a lane is called."""
_CHUNK = 500


class DeclaredAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account that holds a lane.

    `by` names who declared it, as the audit log does, `since_ms` is when and `reason` why; the lane
    of a log that the service began with has none of them.
    """

    account: str
    lane: Lane
    since_ms: int | None
    by: str
    reason: str


class LanesOverview(msgspec.Struct, frozen=True, kw_only=True):
    """What each lane allows under the policy, and who holds one, by name."""

    floors: list[LaneFloor]
    accounts: list[DeclaredAccount]


def overview(held: Mapping[str, Lane], policy: Policy) -> LanesOverview:
    """Return the lanes of accounts, with what the audit log says of each."""
    return LanesOverview(floors=lane_floors(policy), accounts=with_audit(held))


def with_audit(held: Mapping[str, Lane]) -> list[DeclaredAccount]:
    """Return accounts that hold a lane, by name, with what the audit log says of each."""
    accounts = sorted(held)
    entries: dict[str, AuditEntry] = {}
    for at in range(0, len(accounts), _CHUNK):
        rows = AuditEntry.objects.filter(
            action=ACTION, outcome="done", object__in=accounts[at : at + _CHUNK]
        )
        entries |= {row.object: row for row in authentic(rows.order_by("number"))}
    return [_declared(account, held[account], entries.get(account)) for account in accounts]


def _declared(account: str, lane: Lane, entry: AuditEntry | None) -> DeclaredAccount:
    said, _, reason = entry.reason.partition(": ") if entry else ("", "", "")
    if entry is None or said != lane:
        return DeclaredAccount(account=account, lane=lane, since_ms=None, by="", reason="")
    return DeclaredAccount(
        account=account, lane=lane, since_ms=entry.at_ms, by=entry.key, reason=reason
    )


def lane_of(text: str) -> Lane:
    """Return a lane by its name; raises ApiError (422) for none."""
    if text not in LANES:
        raise ApiError(
            422,
            translate("there is no such lane"),
            fix=translate("choose {names}", names=", ".join(LANES)),
        )
    return cast("Lane", text)


def declare(acting: ActingUser, account: str, lane: Lane, reason: str, seen: str) -> None:
    """Declare an account whose lane is still the one that was seen.

    Raises:
        ApiError: It holds another lane by now (409) or this one already (409), its id looks like
            personal data (422), or the engine does not answer (503).
    """
    with acting.context.app.state_of(AccountLocks).of(account):
        states = acting.query(account_states, [account])
        now = actions.lane_in(states, account)
        if now != seen:
            raise ApiError(
                409,
                translate("its lane changed while you read it"),
                fix=translate("read what it is now, then decide"),
            )
        if now == lane:
            raise ApiError(
                409, translate("it is declared so already"), fix=translate("choose another lane")
            )
        declared = async_to_sync(actions.declare_lane)
        declared(acting.context, account, lane, padded_reason(reason))


# A service that is stopped.


def stored(home: Path) -> dict[str, Lane]:
    """Return who holds a lane by a service's newest snapshot and its log after it."""
    return _stored_state(home)[0]


def declare_stored(
    home: Path, edge: Pseudonymizer, account: str, lane: Lane, *, now_ms: int, by: str, reason: str,
    identifiers: bool = False,
) -> str:  # fmt: skip
    """Put a declaration at the end of a stopped service's log, in the open transaction.

    The next start takes it, before anything else. The caller owns the log.

    Args:
        home: Directory of the service.
        edge: Pseudonymizes the event as the service would.
        account: The account.
        lane: What it is.
        now_ms: The clock.
        by: Who declares, for the audit log.
        reason: Why.
        identifiers: Whether ids may look like personal data.

    Returns:
        The event's id.

    Raises:
        ApiError: The account's id looks like personal data, or it holds this lane already.
    """
    if kind := fault("account", account, allow=identifiers):
        raise ApiError(422, f"the account's id {kind.name}", fix=kind.fix)
    held, newest_ms = _stored_state(home)
    if held.get(account, "none") == lane:
        raise ApiError(409, "it is declared so already", fix="choose another lane")
    name, ts = f"declared-{secrets.token_hex(12)}", time_in_log(newest_ms, now_ms)
    append_stored([AccountDeclared(ts=ts, id=name, account=account, lane=lane)], edge, now_ms)
    write_audit_entry(now_ms, by, ACTION, account, f"{lane}: {reason}")
    return name


def time_in_log(newest_ms: int, now_ms: int) -> int:
    """Return the log's own time: neither late, nor what makes others late."""
    return min(now_ms, newest_ms) if newest_ms >= 0 else now_ms


def append_stored(events: Iterable[Event], edge: Pseudonymizer, now_ms: int) -> None:
    """Put events at the end of a stopped service's log, in the open transaction."""
    with connection.cursor() as cursor:
        for event in events:
            row = log_rows.encode_row(pseudonymize_event(event, edge))
            event_log.append(cursor, event_log.log_end(), 1, now_ms, row)


def newest_ms(home: Path) -> int:
    """Return the newest time in a stopped service's log; -1 for an empty log."""
    return _stored_state(home)[1]


def _stored_state(home: Path) -> tuple[dict[str, Lane], int]:
    """Return who holds a lane, and the newest time (-1: none), by snapshot and log after it."""
    held, position, newest_ms = _snapshot_state(home)
    for events in _events_since(position):
        newest_ms = max(newest_ms, pc.max(events.column("ts")).as_py())
        own = events.filter(pc.equal(events.column("type"), DECLARED))
        for row in own.select(["account", "lane", "attempted"]).to_pylist():
            if not row["attempted"]:
                held[row["account"]] = cast("Lane", LANES[row["lane"] or 0])
    return {account: lane for account, lane in held.items() if lane != "none"}, newest_ms


def _snapshot_state(home: Path) -> tuple[dict[str, Lane], int, int]:
    """Return lanes by the newest snapshot, its position, and the newest time until there."""
    for position, path in usable_snapshots(home):
        arrays = snapshot.read(path, bound_key("snapshot")).arrays
        return stored_lanes(arrays), position, int(arrays["fanout.clock"]["newest"][0])
    return {}, event_log.log_start().position, -1


def _events_since(position: int) -> Iterator[pa.RecordBatch]:
    """Yield the events of the log from a position on; raises ServiceError for a damaged row."""
    for segment in event_log.read_log(position):
        if segment.events is None:
            raise event_log.damage_error(segment)
        yield segment.events
