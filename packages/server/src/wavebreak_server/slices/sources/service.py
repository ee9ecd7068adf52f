"""Sources: what feeds the service, what each carries, and what its platform can do.

A source is declared by an administrator, or by an adapter at its start. An account is judged by
what the source carries that reports its acts, and gets no outcome that this source's platform
cannot carry out: where a challenge cannot be asked, a limit is decided. An account of several
sources, or of a key without one, is judged by what every declared source carries (ADR 3). A change
takes effect while the service runs (`policy_switch`), or once it is ready. A declaration by a
source's own key waits for an administrator (`declare_own`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple, get_args

import msgspec
from django.db import Error, transaction

from wavebreak.errors import WavebreakError
from wavebreak.schema.coverage import Profile, declared, known_names
from wavebreak.schema.events import TYPES
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import run_background_query, write_audit_entry
from wavebreak_server.pipeline.live_policy import LiveSource
from wavebreak_server.pipeline.log_clock import ClockSkews
from wavebreak_server.pipeline.service import Service
from wavebreak_server.storage.authentic_rows import authentic
from wavebreak_server.storage.models import KeyActivity, Source
from wavebreak_server.texts import translate

Ability = Literal["refuse", "challenge", "notify", "suspend", "lift"]
ABILITIES: tuple[Ability, ...] = get_args(Ability)


def abilities_of(can: str) -> tuple[Ability, ...]:
    """Return the abilities that a source's field `can` names, in the order of `ABILITIES`.

    >>> abilities_of(" ".join(reversed(ABILITIES))) == ABILITIES
    True
    """
    able = can.split()
    return tuple(ability for ability in ABILITIES if ability in able)


Applied = Literal["unchanged", "live", "pending", "waiting"]
SELF = "self"
MAX_SOURCES = 100
_MENTIONED = 8
CHECK_S = 5.0
"""Seconds between two looks at whether the declared coverage is that which decides, and at which
keys have sent events."""


@dataclass(frozen=True)
class Coverage:
    """What every declared source carries, whether each can ask for a challenge, and each by name.

    An account is judged by what the source carries that reports its acts, and by what every source
    carries where several do, or a key without a source.
    """

    carries: tuple[str, ...]
    challenges: bool = True
    sources: tuple[LiveSource, ...] = ()

    @property
    def challenges_anyone(self) -> bool:
        """Whether some source can ask for a challenge."""
        return self.challenges or any(source.challenges for source in self.sources)

    def profile(self) -> Profile:
        """Return it as the profile of a stream."""
        named = {
            source.name: declared(source.carries, challenges=source.challenges)
            for source in self.sources
        }
        return replace(declared(self.carries, challenges=self.challenges), sources=named)


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
                translate("carries: item {position} is no event type or field", position=position),
                fix=translate(
                    "write types as message.sent, fields as message.sent.size "
                    "(wavebreak/policy/event.schema.json)"
                ),
                cause="bad_value",
                field="carries",
            )
    types = {name if name in TYPES else name.rpartition(".")[0] for name in given}
    return tuple(sorted(given | types))


class Declaration(NamedTuple):
    """What a source says that it carries and can, as its row holds it: names between blanks."""

    carries: str
    can: str

    @classmethod
    def of(cls, carries: Iterable[str], can: Iterable[str]) -> Declaration:
        """Return a declaration; raises ApiError (422) for what the contract does not have."""
        able = set(can)
        carried = " ".join(check_carried(carries))
        return cls(carried, " ".join(ability for ability in ABILITIES if ability in able))


def declare(
    name: str, carries: Iterable[str], can: Iterable[str], now_ms: int, by: str, reason: str
) -> Source:
    """Declare a source, or change what it has declared, in the open transaction.

    What the source itself had asked for is settled.

    Raises:
        ApiError: The contract has no such type or field (422), or there are too many sources (409).
    """
    wanted, source = Declaration.of(carries, can), _source(name, now_ms)
    if Declaration(source.carries, source.can) != wanted or source.asked_ms:
        _decide(source, wanted, now_ms)
        write_audit_entry(now_ms, by, "declare_source", name, reason)
    return source


def declare_own(
    name: str, carries: Iterable[str], can: Iterable[str], now_ms: int, by: str, reason: str
) -> Source:
    """Ask for a declaration by a source's own key, in the open transaction.

    A key that was stolen must not switch rules off, so a change waits for an administrator. A
    declaration as the service decides by withdraws what was asked for.

    Args:
        name: The source.
        carries: Types and fields.
        can: What its platform can do.
        now_ms: The service's clock.
        by: The key.
        reason: The reason, for the audit log.

    Raises:
        ApiError: The contract has no such type or field (422), or there are too many sources (409).
    """
    wanted, source = Declaration.of(carries, can), _source(name, now_ms)
    if wanted == Declaration(source.carries, source.can):
        if source.asked_ms:
            _decide(source, wanted, now_ms)
            write_audit_entry(now_ms, by, "declare_source", name, reason)
    elif Declaration(source.asked_carries, source.asked_can) != wanted:
        source.asked_carries, source.asked_can = wanted
        source.asked_ms = now_ms
        source.save()
        write_audit_entry(now_ms, by, "ask_source", name, reason)
    return source


def approve(name: str, now_ms: int, by: str, reason: str, asked_ms: int | None = None) -> Source:
    """Let the declaration decide that a source has asked for, in the open transaction.

    Args:
        name: The source.
        now_ms: The service's clock.
        by: Who approves.
        reason: The reason, for the audit log.
        asked_ms: When the source asked for what was looked at (None: whatever waits now).

    Raises:
        ApiError: Nothing waits (404), or something else does by now (409).
    """
    source: Source | None = Source.objects.select_for_update().filter(name=name).first()
    if source is None or not source.is_authentic or not source.asked_ms:
        raise ApiError(
            404, translate("no declaration of this source waits"), fix=translate("list the sources")
        )
    if asked_ms is not None and asked_ms != source.asked_ms:
        raise ApiError(
            409,
            translate("the source asks for something else by now"),
            fix=translate("list the sources again"),
        )
    _decide(source, Declaration(source.asked_carries, source.asked_can), now_ms)
    write_audit_entry(now_ms, by, "approve_source", name, reason)
    return source


def _source(name: str, now_ms: int) -> Source:
    """Return a source, or a new one; raises ApiError (409) if there are too many."""
    source: Source | None = Source.objects.select_for_update().filter(name=name).first()
    if source is not None and source.is_authentic:
        return source
    if source is None and Source.objects.count() >= MAX_SOURCES:
        raise ApiError(
            409,
            translate("there are already {max_sources} sources", max_sources=MAX_SOURCES),
            fix=translate("remove one"),
        )
    return Source(name=name, created_ms=now_ms, changed_ms=now_ms)


def _decide(source: Source, declaration: Declaration, now_ms: int) -> None:
    source.carries, source.can = declaration
    source.asked_carries, source.asked_can, source.asked_ms = "", "", 0
    source.changed_ms = now_ms
    source.save()


def remove(name: str, now_ms: int, by: str, reason: str) -> None:
    """Remove a source, in the open transaction; raises ApiError (404) if there is none."""
    source: Source | None = Source.objects.select_for_update().filter(name=name).first()
    if source is None:
        raise ApiError(404, translate("there is no such source"), fix=translate("list the sources"))
    write_audit_entry(now_ms, by, "remove_source", name, reason)
    source.delete()


def list_sources() -> list[Source]:
    """Return every source, by name; one that this service did not declare is left out."""
    return list(authentic(Source.objects.order_by("name")))


def waiting_sources() -> tuple[str, ...]:
    """Return the names of the sources whose declaration waits for an administrator."""
    return tuple(source.name for source in list_sources() if source.asked_ms)


def declared_coverage() -> Coverage | None:
    """Return what every declared source carries and can; None where none is declared."""
    return covered_by(list_sources())


def covered_by(sources: Iterable[Source]) -> Coverage | None:
    """Return what each of some sources carries and can; None where none of them is declared.

    A source whose first declaration waits is judged by what the others carry.
    """
    deciding = [source for source in sources if source.carries]
    shared = shared_coverage([Declaration(source.carries, source.can) for source in deciding])
    if shared is None:
        return None
    named = (
        LiveSource(source.name, tuple(source.carries.split()), "challenge" in source.can.split())
        for source in sorted(deciding, key=lambda source: source.name)
    )
    return replace(shared, sources=tuple(named))


def shared_coverage(declarations: Sequence[Declaration]) -> Coverage | None:
    """Return what all of some declarations have; None where there is none."""
    if not declarations:
        return None
    carried = set.intersection(*(set(one.carries.split()) for one in declarations))
    challenges = all("challenge" in one.can.split() for one in declarations)
    return Coverage(tuple(sorted(carried)), challenges)


class Application(msgspec.Struct, frozen=True):
    """How a declaration takes effect.

    `applied` is `unchanged` where the coverage decides already, `live` where it does from now on,
    `pending` where it will once the service can be switched: within seconds while it runs, or at
    its next start; `waiting` where an administrator has to approve it. Events waited for
    `waited_s`. `carries` and `challenges` are of all sources together; `rules_off` are the rules
    that lack what they read for every source.
    """

    applied: Applied
    carries: tuple[str, ...]
    challenges: bool
    rules_off: tuple[str, ...] = ()
    waited_s: float = 0.0


async def apply(service: Service) -> Application:
    """Let the declared coverage decide from now on."""
    coverage = await run_background_query(declared_coverage)
    waited_s: float = 0.0
    applied: Applied = "pending"
    switch = service.switch
    try:
        if switch is not None and switch.deciding.coverage == coverage:
            applied = "unchanged"
        elif switch is not None:
            waited_s = await switch(service, coverage=coverage)
            applied = "live"
    except WavebreakError as error:
        service.report(f"the declared sources are not applied yet: {error.what}")
    return _application(service, applied, coverage, round(waited_s, 3))


async def waiting(service: Service) -> Application:
    """Return by what the service decides on, while a declaration waits for an administrator."""
    coverage = await run_background_query(declared_coverage)
    return _application(service, "waiting", coverage)


def _application(
    service: Service, applied: Applied, coverage: Coverage | None, waited_s: float = 0.0
) -> Application:
    return Application(
        applied,
        coverage.carries if coverage else (),
        coverage.challenges if coverage else True,
        service.rules_off(),
        waited_s,
    )


def notices(service: Service, title: Callable[[str], str] = str) -> list[str]:
    """Return what operators must know of the coverage: rules that are off, and what waits.

    `title` returns what a rule is called, by its id.
    """
    off, rules = service.rules_off(), len(service.responder.policy.rules)
    said = []
    if off:
        said.append(
            translate(
                "{off} of {rules} rules are off, since the stream is declared not to carry what "
                "they read: {names}",
                off=len(off),
                rules=rules,
                names=_mentioned([title(rule) for rule in off]),
            )
        )
    apart = {name: rules for name, rules in service.rules_off_by_source().items() if rules}
    said += [
        translate(
            "{count} more rules are off for the accounts of {name}, which does not carry what they "
            "read: {names}",
            count=len(own),
            name=name,
            names=_mentioned([title(rule) for rule in own]),
        )
        for name, own in list(apart.items())[:_MENTIONED]
    ]
    if len(apart) > _MENTIONED:
        said.append(
            translate(
                "rules are off for the accounts of {more} more sources",
                more=len(apart) - _MENTIONED,
            )
        )
    said += [
        translate(
            "the source {name} asks for another declaration: an administrator approves it",
            name=name,
        )
        for name in service.coverage.waiting
    ]
    return said


def _mentioned(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = len(names) - _MENTIONED
    shown = ", ".join(names[:_MENTIONED])
    return translate("{names} and {more} more", names=shown, more=more) if more > 0 else shown


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
                service.coverage.waiting = await run_background_query(waiting_sources)
            if service.progress().ready and service.switch is not None:
                done = await apply(service)
                if done.applied == "live":
                    service.report(
                        f"the declared sources are applied; events waited {done.waited_s:.1f} s"
                    )
            await asyncio.sleep(CHECK_S)
