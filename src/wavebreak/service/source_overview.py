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
from wavebreak.service.models import ApiKey, KeyActivity, Source
from wavebreak.service.sources import (
    Ability,
    Coverage,
    Declaration,
    abilities_of,
    covered_by,
    list_sources,
    shared_coverage,
)
from wavebreak.service.stream_coverage import unseen

_READ = frozenset(name for one in FEATURES for source in one.sources for name in source.split("|"))
"""Types and fields that features read: what else a stream may carry, nobody misses."""


class AskedView(msgspec.Struct, frozen=True):
    """A declaration that waits for an administrator since `at_ms`.

    `rules_off` are the rules that would lack what they read, and do not now.
    """

    carries: tuple[str, ...]
    can: tuple[Ability, ...]
    at_ms: int
    rules_off: tuple[str, ...]


class SourceView(msgspec.Struct, frozen=True):
    """A source: what it has declared, and what its keys have sent.

    `carries` is empty where its first declaration is not approved yet; `asked` is the declaration
    that waits (null: none does). `keys` are names. `seen_ms` is when one of them last sent events
    (null: not yet), `behind_ms` how far the newest of these was behind the service's clock then
    (negative: ahead of it).
    """

    name: str
    carries: tuple[str, ...]
    can: tuple[Ability, ...]
    created_ms: int
    changed_ms: int
    keys: tuple[str, ...] = ()
    seen_ms: int | None = None
    behind_ms: int | None = None
    asked: AskedView | None = None


class SourcesOverview(msgspec.Struct, frozen=True):
    """All sources by name, and what they lack: types and fields, and the rules that read these.

    `basis` says where `lacks` is from: what every source has declared, the first hour of the log
    where none is declared, or nothing where that is too short yet. Without `challenges` a limit is
    decided where a rule asks for a challenge. `others_seen_ms` is when a key without a source last
    sent events.
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
    declared = list_sources()
    coverage = covered_by(declared)
    off = _rules_off(coverage, policy)
    profile = coverage.profile() if coverage else measured
    found = unseen(profile, policy) if profile else None
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
                abilities_of(source.can),
                source.created_ms,
                source.changed_ms,
                tuple(key.name for key in keys.get(source.name, ())),
                activity.seen_ms if activity else None,
                activity.behind_ms if activity else None,
                _asked(source, declared, policy, off) if source.asked_ms else None,
            )
        )
    others = newest.get("")
    return SourcesOverview(
        tuple(views),
        "declared" if coverage else "measured" if measured else "unknown",
        coverage.challenges if coverage else True,
        tuple(name for name in found.names if name in _READ) if found else (),
        found.rules if found else (),
        others.seen_ms if others else None,
    )


def _newest(keys: list[ApiKey], sent: dict[str, KeyActivity]) -> KeyActivity | None:
    rows = [sent[key.prefix] for key in keys if key.prefix in sent]
    return max(rows, key=lambda row: row.seen_ms, default=None)


def _rules_off(coverage: Coverage | None, policy: Policy) -> tuple[str, ...]:
    found = unseen(coverage.profile(), policy) if coverage else None
    return found.rules if found else ()


def _asked(
    source: Source, declared: Sequence[Source], policy: Policy, off: tuple[str, ...]
) -> AskedView:
    asked = Declaration(source.asked_carries, source.asked_can)
    others = [Declaration(o.carries, o.can) for o in declared if o.carries and o is not source]
    would = _rules_off(shared_coverage([*others, asked]), policy)
    return AskedView(
        tuple(asked.carries.split()),
        abilities_of(asked.can),
        source.asked_ms,
        tuple(name for name in would if name not in off),
    )
