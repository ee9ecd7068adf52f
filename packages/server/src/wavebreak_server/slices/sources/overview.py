"""Sources as operators see them: what each carries and can do, when it was seen, what is lacking.

One function, from the database alone: `GET /v1/sources`, the console's page and the command
`wavebreak sources` say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from wavebreak.features.catalog import FEATURES
from wavebreak.rules import Policy
from wavebreak.schema.coverage import Profile
from wavebreak.schema.coverage import declared as declared_profile
from wavebreak_server.slices.sources import service
from wavebreak_server.slices.sources.coverage import unseen
from wavebreak_server.storage.models import ApiKey, KeyActivity, Source

_READ = frozenset(name for one in FEATURES for source in one.sources for name in source.split("|"))
"""Types and fields that features read: what else a stream may carry, nobody misses."""


class AskedView(msgspec.Struct, frozen=True):
    """A declaration that waits for an administrator since `at_ms`.

    `rules_off` are the rules that would lack what they read for the source's accounts, and do not
    now.
    """

    carries: tuple[str, ...]
    can: tuple[service.Ability, ...]
    at_ms: int
    rules_off: tuple[str, ...]


class SourceView(msgspec.Struct, frozen=True):
    """A source: what it has declared, and what its keys have sent.

    `carries` is empty where its first declaration is not approved yet; `asked` is the declaration
    that waits (null: none does). `keys` are names. `seen_ms` is when one of them last sent events
    (null: not yet), `behind_ms` how far the newest of these was behind the service's clock then
    (negative: ahead of it). `rules_off` are the rules that lack what they read for accounts whose
    acts it reports.
    """

    name: str
    carries: tuple[str, ...]
    can: tuple[service.Ability, ...]
    created_ms: int
    changed_ms: int
    keys: tuple[str, ...] = ()
    seen_ms: int | None = None
    behind_ms: int | None = None
    asked: AskedView | None = None
    rules_off: tuple[str, ...] = ()


class SourcesOverview(msgspec.Struct, frozen=True):
    """All sources by name, and what they lack: types and fields, and the rules that read these.

    `lacks` is what no source carries, and `rules_off` are the rules that hold for no account: those
    that are off for every source. `basis` says where this is from: what the sources have declared,
    the first hour of the log where none is declared, or nothing where that is too short yet.
    Without `challenges` some source cannot ask for one: its accounts are limited where a rule asks
    for a challenge. `others_seen_ms` is when a key without a source last sent events.
    """

    sources: tuple[SourceView, ...]
    basis: Literal["declared", "measured", "unknown"]
    challenges: bool
    lacks: tuple[str, ...]
    rules_off: tuple[str, ...]
    others_seen_ms: int | None = None


def sources_overview(policy: Policy, measured: Profile | None) -> SourcesOverview:
    """Return all sources and what is lacking; reads the bound database.

    Args:
        policy: The policy that decides.
        measured: The profile of the begin of the log (None: it is too short yet).
    """
    declared = service.list_sources()
    coverage = service.covered_by(declared)
    off = {source.name: _rules_off(service.Declaration(source.carries, source.can), policy)
           for source in declared if source.carries}  # fmt: skip
    profile = _carried_by_any(declared) if coverage else measured
    found = unseen(profile, policy) if profile else None
    everywhere = found.rules if found else ()
    if coverage:
        rules = [rule.id for rule in policy.rules]
        everywhere = tuple(rule for rule in rules if all(rule in each for each in off.values()))
    sent = {row.prefix: row for row in KeyActivity.objects.all()}
    keys: dict[str, list[ApiKey]] = {}
    for key in ApiKey.objects.order_by("created_ms", "prefix"):
        keys.setdefault(key.source, []).append(key)
    newest = {name: _newest(of_source, sent) for name, of_source in keys.items()}
    views = []
    for source in declared:
        activity = newest.get(source.name)
        views.append(
            SourceView(
                source.name,
                tuple(source.carries.split()),
                service.abilities_of(source.can),
                source.created_ms,
                source.changed_ms,
                tuple(key.name for key in keys.get(source.name, ())),
                activity.seen_ms if activity else None,
                activity.behind_ms if activity else None,
                _asked(source, coverage, policy) if source.asked_ms else None,
                off.get(source.name, ()),
            )
        )
    others = newest.get("")
    return SourcesOverview(
        tuple(views),
        "declared" if coverage else "measured" if measured else "unknown",
        coverage.challenges if coverage else True,
        tuple(name for name in found.names if name in _READ) if found else (),
        everywhere,
        others.seen_ms if others else None,
    )


def _newest(keys: list[ApiKey], sent: dict[str, KeyActivity]) -> KeyActivity | None:
    rows = [sent[key.prefix] for key in keys if key.prefix in sent]
    return max(rows, key=lambda row: row.seen_ms, default=None)


def _carried_by_any(sources: Sequence[Source]) -> Profile:
    return declared_profile({name for source in sources for name in source.carries.split()})


def _rules_off(declaration: service.Declaration, policy: Policy) -> tuple[str, ...]:
    found = unseen(declared_profile(declaration.carries.split()), policy)
    return found.rules if found else ()


def _asked(source: Source, coverage: service.Coverage | None, policy: Policy) -> AskedView:
    asked = service.Declaration(source.asked_carries, source.asked_can)
    # Until its first declaration decides, its accounts are judged by what all others carry.
    shared = service.Declaration(" ".join(coverage.carries), "") if coverage else None
    now = service.Declaration(source.carries, source.can) if source.carries else shared
    off = _rules_off(now, policy) if now else ()
    would = _rules_off(asked, policy)
    return AskedView(
        tuple(asked.carries.split()),
        service.abilities_of(asked.can),
        source.asked_ms,
        tuple(name for name in would if name not in off),
    )
