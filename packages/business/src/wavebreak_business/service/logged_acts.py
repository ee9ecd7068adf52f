"""What the service's log says of businesses: taken into the platform, once, in the log's order.

What arrives by `POST /v1/events` stands in the service's log. The platform follows it: acts of
people towards registered numbers, and their words on consent, become the acts and words that
`POST /v1/business/events` and `…/consents` make, by the same functions. How far the platform has
read stands in the transaction of what it took, so that a start goes on where the last one ended.

Left out are sends of numbers, which are decided by `POST /v1/business/decide`; attempts, which
reached nobody; people whom nobody knows; and an id that stood for something else already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from django.db import DatabaseError

from wavebreak.errors import WavebreakError
from wavebreak.schema.events import CATEGORIES, TYPES
from wavebreak_business.platform.platform import Platform
from wavebreak_business.service import reporters, sends, words
from wavebreak_business.service.live_platform import LivePlatform, Turn, live_platform
from wavebreak_business.service.models import FollowedLog
from wavebreak_server.http.app_context import AppContext
from wavebreak_server.pipeline.pending_requests import BusyError
from wavebreak_server.pipeline.service import Background, Service
from wavebreak_server.storage import event_log
from wavebreak_server.storage.authentic_rows import checked
from wavebreak_server.storage.models import Erasure

FOLLOWED_S, IDLE_S, RETRY_S = 0.25, 2.0, 5.0
"""How often the log's end is looked at, and the database while it stays; how long a fault waits."""
AT_ONCE = 20_000
"""Events of the log that one turn passes, but for a row that has more."""
NOTED_EVERY = 100_000
"""Events after which it is noted how far the log was read, while there is no business."""
_OF_PEER = ("message.sent", "message.read", "user.blocked", "user.reported")
_WORDS = {"consent.granted": True, "consent.revoked": False}
_COLUMNS = ("id", "ts", "type", "account", "peer", "attempted", "business", "category")


class LoggedActs(NamedTuple):
    """What a part of the service's log says of businesses.

    Attributes:
        since: Where the part begins.
        until: Where it ends.
        acts: Acts of people, in the log's order.
        said: Words on consent by portfolio, in their order.
        reacting: Who reacts, by account.
        lost: Events that the log has no more.
    """

    since: int
    until: int
    acts: list[sends.ToldAct]
    said: dict[str, list[words.SaidWord]]
    reacting: list[str]
    lost: int = 0


def followed() -> int | None:
    """Return how far the service's log was read; None: it never was.

    Raises:
        DomainError: The row that says it was changed in the database.
    """
    rows = checked(FollowedLog.objects.filter(id=1))
    return int(rows[0].position) if rows else None


def pending(platform: Platform, live: LivePlatform, since: int, end: int) -> LoggedActs:
    """Return what the log says of businesses from a position on; a part of it, if it is long."""
    begin = max(since, event_log.log_start().position)
    registry = platform.registry
    found = LoggedActs(since, begin, [], {}, [], begin - since)
    if not registry.portfolios:
        return found._replace(until=end)
    numbers = pa.array(list(registry.numbers), pa.string())
    portfolios = pa.array(list(registry.portfolios), pa.string())
    at = begin
    for segment in event_log.read_log(begin, rows=1):
        if segment.events is None:
            raise event_log.damage_error(segment)
        rows = _rows_of_businesses(segment.events, numbers, portfolios)
        if rows:
            _add(platform, live, rows, segment.first, found)
        at = segment.end
        if at - begin >= AT_ONCE or at >= end:
            break
    return found._replace(until=at)


def _rows_of_businesses(
    events: pa.RecordBatch, numbers: pa.StringArray, portfolios: pa.StringArray
) -> list[tuple[int, dict[str, Any]]]:
    """Return the events that concern a business, each with its place in the batch."""

    def is_of(names: Sequence[str]) -> Any:
        codes = pa.array([TYPES.index(name) for name in names], pa.uint8())
        return pc.is_in(events.column("type"), value_set=codes)

    concerned = pc.and_(is_of(_OF_PEER), pc.is_in(events.column("peer"), value_set=numbers))
    by_number = pc.is_in(events.column("account"), value_set=numbers)
    concerned = pc.and_not(concerned, by_number)
    concerned = pc.or_(concerned, pc.and_(is_of(["message.undeliverable"]), by_number))
    by_name = pc.is_in(events.column("business"), value_set=portfolios)
    concerned = pc.or_(concerned, pc.and_(is_of(list(_WORDS)), by_name))
    concerned = pc.or_(concerned, pc.and_not(is_of(sends.ALONE), by_number))
    at = pc.indices_nonzero(pc.fill_null(concerned, False))
    rows = events.select(list(_COLUMNS)).take(at).to_pylist()
    return list(zip(at.to_pylist(), rows, strict=True))


def _add(
    platform: Platform, live: LivePlatform, rows: Sequence[tuple[int, dict[str, Any]]], first: int,
    found: LoggedActs,
) -> None:  # fmt: skip
    """Add what events of a row of the log, which begins at `first`, say of businesses."""
    erased = _erased({row[name] for _, row in rows for name in ("account", "peer")})
    for offset, row in rows:
        kind = TYPES[row["type"]]
        who = row["peer"] if kind == "message.undeliverable" else row["account"]
        if row["attempted"] or who is None or first + offset < erased.get(who, 0):
            continue
        person = live.person(who)
        if kind in _WORDS:
            category = None if row["category"] is None else CATEGORIES[row["category"]]
            word = words.SaidWord(
                row["id"], row["ts"], _WORDS[kind], person, None, category, "person", None
            )
            found.said.setdefault(row["business"], []).append(word)
            continue
        if kind in sends.ALONE and not platform.knows_id(person):
            continue
        number = row["account"] if kind == "message.undeliverable" else row["peer"]
        number = None if kind in sends.ALONE else number
        act = sends.ToldAct(row["id"], row["account"], row["ts"], kind, person, number, None)
        found.acts.append(act)
        if kind in reporters.REACTIONS:
            found.reacting.append(who)


def _erased(accounts: set[str | None]) -> dict[str, int]:
    """Return the position before which the events of accounts were erased."""
    rows = Erasure.objects.filter(account__in=[each for each in accounts if each])
    found: dict[str, int] = {}
    for row in rows:
        found[row.account] = max(row.upto, found.get(row.account, 0))
    return found


def take(turn: Turn, live: LivePlatform, part: LoggedActs, weights: Mapping[str, int]) -> bool:
    """Let the platform take a part of the log; False where another turn has read on meanwhile."""
    if followed() != part.since:
        return False
    numbers = turn.platform.registry.numbers
    for portfolio, said in part.said.items():
        keys = [live.id_key("word", portfolio, word.id) for word in said]
        digests = [live.digest(*word[2:]) for word in said]
        if new := sends.without_other_ids(turn, keys, digests, said):
            words.say(turn, portfolio, new, live)
    told = [act for act in part.acts if act.type != "message.sent" or act.account not in numbers]
    keys = [live.id_key("act", act.id) for act in told]
    digests = [live.digest(*act[3:]) for act in told]
    if acts := sends.without_other_ids(turn, keys, digests, told):
        sends.tell(turn, acts, live, weights)
    _note(part.until)
    return True


def _note(position: int) -> None:
    FollowedLog(id=1, position=position).save()


async def follow_to(service: Service, live: LivePlatform, end: int) -> bool:
    """Take one part of the log before a position; whether there was one.

    What the log had before it was followed is not taken.
    """
    since = await live.read(lambda _: followed())
    if since is None:
        await live.turn(lambda _: _note(end))
        return False
    known = await live.read(lambda platform: bool(platform.registry.portfolios))
    if since >= end or (not known and end - since < NOTED_EVERY):
        return False
    part: LoggedActs = await live.read(lambda platform: pending(platform, live, since, end))
    if part.lost:
        service.report(f"{part.lost:,} events left the log before the businesses' platform read it")
    found = await reporters.weights_of(service, sorted(set(part.reacting)))
    weights = {live.person(account): weight for account, weight in found.items()}
    return bool(await live.turn(lambda turn: take(turn, live, part, weights)))


def following(context: AppContext) -> Background:
    """Return the task that follows the service's log; a fault is reported once, and waited for."""

    async def run(service: Service) -> None:
        live, reported = live_platform(context, service), ""
        while True:
            end = service.progress().applied
            try:
                moved = await follow_to(service, live, end)
                reported = ""
            except (WavebreakError, DatabaseError) as error:
                if str(error) != reported and not isinstance(error, BusyError):
                    reported = str(error)
                    service.report(f"the platform for businesses cannot follow the log: {error}")
                await asyncio.sleep(RETRY_S)
                continue
            if not moved:
                await _log_goes_on(service, end)

    return run


async def _log_goes_on(service: Service, end: int) -> None:
    """Wait until this process has decided more of the log, at most for `IDLE_S`."""
    waited_s = 0.0
    while waited_s < IDLE_S and service.progress().applied == end:
        await asyncio.sleep(FOLLOWED_S)
        waited_s += FOLLOWED_S
