"""Sources: what feeds the service, what each carries, and what its platform can do.

A source is declared by an administrator, or by an adapter at its start. The coverage of the service
is what every declared source carries, and an outcome that one of their platforms cannot carry out
is not decided: where a challenge cannot be asked, a limit is decided. A change takes effect while
the service runs (`policy_switch`), or once it is ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

import msgspec
from django.db import Error, transaction

from wavebreak.errors import WavebreakError
from wavebreak.schema.coverage import Profile, declared, known_names
from wavebreak.schema.events import TYPES
from wavebreak.service.app_context import run_background_query, write_audit_entry
from wavebreak.service.authentic_rows import authentic
from wavebreak.service.errors import ApiError
from wavebreak.service.log_clock import ClockSkews
from wavebreak.service.models import KeyActivity, Source

if TYPE_CHECKING:
    from wavebreak.service.service import Service

Ability = Literal["refuse", "challenge", "notify", "suspend", "lift"]
ABILITIES: tuple[Ability, ...] = get_args(Ability)
SELF = "self"
MAX_SOURCES = 100
CHECK_S = 5.0
"""Seconds between two looks at whether the declared coverage is that which decides, and at which
keys have sent events."""


@dataclass(frozen=True)
class Coverage:
    """What every declared source carries, and whether each can ask for a challenge."""

    carries: tuple[str, ...]
    challenges: bool = True

    def profile(self) -> Profile:
        """Return it as the profile of a stream."""
        return declared(self.carries, challenges=self.challenges)


def check_carried(names: Iterable[str]) -> tuple[str, ...]:
    """Return types and fields in order, each once, with the types of the fields.

    Raises:
        ApiError: The contract has no such type or field (422).

    >>> check_carried(["message.sent.size", "typing.started"])
    ('message.sent', 'message.sent.size', 'typing.started')
    """
    given, known = set(names), known_names()
    for position, name in enumerate(names, 1):
        if name not in known:
            raise ApiError(
                422,
                f"carries: item {position} is no event type or field",
                fix="write types as message.sent, fields as message.sent.size "
                "(docs/reference/events.md)",
                cause="bad_value",
                field="carries",
            )
    types = {name if name in TYPES else name.rpartition(".")[0] for name in given}
    return tuple(sorted(given | types))


def declare(
    name: str, carries: Iterable[str], can: Iterable[str], now_ms: int, by: str, reason: str
) -> tuple[Source, bool]:
    """Declare a source, or change what it has declared, in the open transaction.

    Returns:
        The source, and whether anything changed.

    Raises:
        ApiError: The contract has no such type or field (422), or there are too many sources (409).
    """
    carried, able = " ".join(check_carried(carries)), set(can)
    abilities = " ".join(ability for ability in ABILITIES if ability in able)
    source: Source | None = Source.objects.select_for_update().filter(name=name).first()
    if source is not None and source.is_authentic:
        if (source.carries, source.can) == (carried, abilities):
            return source, False
    elif Source.objects.count() >= MAX_SOURCES:
        raise ApiError(409, f"there are already {MAX_SOURCES} sources", fix="remove one")
    if source is None:
        source = Source(name=name, created_ms=now_ms)
    source.carries, source.can, source.changed_ms = carried, abilities, now_ms
    source.save()
    write_audit_entry(now_ms, by, "declare_source", name, reason)
    return source, True


def remove(name: str, now_ms: int, by: str, reason: str) -> None:
    """Remove a source, in the open transaction; raises ApiError (404) if there is none."""
    source: Source | None = Source.objects.select_for_update().filter(name=name).first()
    if source is None:
        raise ApiError(404, "there is no such source", fix="list the sources")
    write_audit_entry(now_ms, by, "remove_source", name, reason)
    source.delete()


def list_sources() -> list[Source]:
    """Return every source, by name; one that this service did not declare is left out."""
    return list(authentic(Source.objects.order_by("name")))


def declared_coverage() -> Coverage | None:
    """Return what every declared source carries and can; None where none is declared."""
    return covered_by(list_sources())


def covered_by(sources: Sequence[Source]) -> Coverage | None:
    """Return what each of some sources carries and can; None where there is none."""
    if not sources:
        return None
    carried = set.intersection(*(set(source.carries.split()) for source in sources))
    challenges = all("challenge" in source.can.split() for source in sources)
    return Coverage(tuple(sorted(carried)), challenges)


class Application(msgspec.Struct, frozen=True):
    """How a declaration takes effect.

    `applied` is `unchanged` where the coverage decides already, `live` where it does from now on,
    and `pending` where it will once the service can be switched: within seconds while it runs, or
    at its next start. Events waited for `waited_s`. `rules_off` are the rules that lack what they
    read.
    """

    applied: Literal["unchanged", "live", "pending"]
    carries: tuple[str, ...]
    challenges: bool
    rules_off: tuple[str, ...] = ()
    waited_s: float = 0.0


async def apply(service: Service) -> Application:
    """Let the declared coverage decide from now on."""
    coverage = await run_background_query(declared_coverage)
    waited_s, applied = 0.0, "pending"
    switch = service.switch
    try:
        if switch is not None and switch.deciding.coverage == coverage:
            applied = "unchanged"
        elif switch is not None:
            waited_s = await switch(service, coverage=coverage)
            applied = "live"
    except WavebreakError as error:
        service.report(f"the declared sources are not applied yet: {error.what}")
    return Application(
        applied,  # type: ignore[arg-type]
        coverage.carries if coverage else (),
        coverage.challenges if coverage else True,
        service.rules_off(),
        round(waited_s, 3),
    )


def store_activity(skews: ClockSkews, since_ms: int) -> int:
    """Store what keys have sent since a time; return the time of the newest of it (ms)."""
    rows = [
        KeyActivity(prefix=key, seen_ms=seen_ms, behind_ms=round(skews.seconds[key] * 1000))
        for key, seen_ms in list(skews.seen_ms.items())
        if seen_ms > since_ms and key != skews.OTHERS
    ]
    if rows:
        with transaction.atomic():
            KeyActivity.objects.bulk_create(
                rows,
                update_conflicts=True,
                unique_fields=["prefix"],
                update_fields=["seen_ms", "behind_ms"],
            )
    return max((row.seen_ms for row in rows), default=since_ms)


class SourceUpkeep:
    """A background task: lets the declared coverage decide where it does not yet.

    It stores when keys have sent events, too.
    """

    async def __call__(self, service: Service) -> None:
        """Compare until cancelled."""
        stored_ms = 0
        while True:
            with suppress(Error):
                store = partial(store_activity, service.skews, stored_ms)
                stored_ms = await run_background_query(store)
            if service.progress().ready and service.switch is not None:
                done = await apply(service)
                if done.applied == "live":
                    service.report(
                        f"the declared sources are applied; events waited {done.waited_s:.1f} s"
                    )
            await asyncio.sleep(CHECK_S)
