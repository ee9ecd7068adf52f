"""The counts of a report, from the history of a ledger."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from wavebreak.durations import WEEK_MS
from wavebreak.outcomes import REFUSING, REFUSING_ALL, SILENCING, outcomes_below, rank_of
from wavebreak_server.transparency import review_counts
from wavebreak_server.transparency.history import (
    CHALLENGE_RANK,
    MEASURES,
    Checkpoint,
    DecisionRow,
    History,
)
from wavebreak_server.transparency.periods import Period
from wavebreak_server.transparency.report import (
    EVENTS,
    LEDGER,
    LIST,
    VERSION,
    Basis,
    Publication,
    Report,
    ReportBuilder,
    Sources,
    check_minimum,
)


def build_report(
    history: History,
    period: Period,
    checkpoint: Checkpoint,
    publication: Publication,
    sources: Sources,
    *,
    accounts_sha256: str | None = None,
    unopened: int | None = None,
) -> Report:
    """Count a report's numbers.

    Args:
        history: What the ledger says up to the checkpoint.
        period: The period.
        checkpoint: The checkpoint.
        publication: What the report says of itself.
        sources: What else numbers can be counted from.
        accounts_sha256: The SHA-256 of the accounts list that is published with it.
        unopened: How many decisions and labels up to the checkpoint have no opening.

    Raises:
        UsageError: The publication's minimum protects nobody.

    >>> from datetime import date
    >>> from wavebreak_server.transparency.history import NoAccounts
    >>> january = Period(date(2026, 1, 1), date(2026, 2, 1))
    >>> checkpoint = Checkpoint("example.org/log", "", 0, "", "")
    >>> report = build_report(
    ...     History(NoAccounts()), january, checkpoint, Publication("Example"), Sources())
    >>> report.numbers()["decisions.total"].value
    0
    """
    check_minimum(publication.minimum)
    builder = ReportBuilder(publication)
    made = [row for row in history.decisions.values() if period.contains(row.ts)]
    _count_decisions(builder, history, period, made)
    _count_automation(builder, made)
    _count_accounts(builder, made, sources)
    review_counts.count_appeals(builder, history, period)
    review_counts.count_reviews(builder, history, period)
    review_counts.count_errors(builder, history, made)
    review_counts.measure_classifiers(builder, history, period, sources)
    return Report(
        VERSION,
        publication.provider,
        publication.service,
        period,
        publication.published,
        publication.previous,
        checkpoint,
        publication.minimum,
        publication.internal,
        accounts_sha256,
        unopened,
        builder.sections(),
    )


_OF_DECISIONS = (
    "A decision counts in the period in which it was made (the time of the event that led to it), "
    "if the ledger says that the policy in force was enforced. Measures are limit, restrict, "
    "suspend and ban: what restricts an account."
)


_NO_MEASURES = outcomes_below(MEASURES[0])
_ON_PROVISION = tuple(name for name in MEASURES if name not in REFUSING_ALL)
_SLOWING = tuple(name for name in REFUSING if name not in SILENCING)


def _names(section: str, outcomes: Iterable[str]) -> list[str]:
    return [f"{section}.{outcome}" for outcome in outcomes]


def _count_decisions(
    builder: ReportBuilder, history: History, period: Period, made: list[DecisionRow]
) -> None:
    builder.section("Decisions", _OF_DECISIONS)
    by = Counter(row.outcome for row in made)
    measures = sum(row.is_measure for row in made)

    def count(name: str, label: str, value: int, definition: str) -> None:
        builder.count(f"decisions.{name}", label, value, "decisions", LEDGER, definition)

    count("total", "Decisions", len(made), "All enforced decisions, also those that end a measure.")
    for outcome in _NO_MEASURES:
        count(outcome, f"of these: {outcome}", by[outcome], f"Outcome {outcome}.")
    count("measures", "of these: measures", measures, "Outcome limit, restrict, suspend or ban.")
    count(
        "provision",
        "measures on the provision of the service",
        sum(by[outcome] for outcome in _ON_PROVISION),
        "Outcome limit or restrict: the account keeps its chats, and new ones are slowed or held.",
    )
    for outcome in MEASURES:
        count(outcome, f"of these: {outcome}", by[outcome], f"Outcome {outcome}.")
    count(
        "applied",
        "measures with a receipt",
        sum(r.is_measure and r.position in history.applied for r in made),
        "Measures of which a sealed receipt says that they took effect.",
    )
    shadow = sum(map(period.contains, history.shadow))
    count(
        "shadow",
        "Decisions in shadow mode",
        shadow,
        "Decisions that were only recorded while the policy was in shadow mode: they had no "
        "effect, and no other number counts them.",
    )
    first = _names("decisions", _NO_MEASURES)
    rest = len(made) - measures - sum(by[outcome] for outcome in _NO_MEASURES)
    builder.sum("decisions.total", *first, "decisions.measures", rest=rest > 0)
    on_account = _names("decisions", [name for name in MEASURES if name not in _ON_PROVISION])
    builder.sum("decisions.measures", "decisions.provision", *on_account)
    builder.sum("decisions.provision", *_names("decisions", _ON_PROVISION))
    builder.sum("decisions.measures", "decisions.applied", rest=True)


def _count_automation(builder: ReportBuilder, made: list[DecisionRow]) -> None:
    builder.section(
        "How measures were found and decided",
        "A measure is decided solely automatically where no person's label led to it. It is found "
        "automatically where it was decided on what an account did or on its registration, and "
        "not by a label or on the reports and blocks of other people.",
    )
    measures = [row for row in made if row.is_measure]
    solely = [row for row in measures if not (row.by_person or row.unnamed)]
    stages = Counter(row.stage for row in solely)
    on_reports = stages["feedback"]
    counts = {
        "solely": (len(solely), "Decided solely automatically", "Basis other than person."),
        "not_solely": (
            len(measures) - len(solely),
            "Not decided solely automatically",
            "By a person's label, or not known.",
        ),
        "person": (
            sum(row.by_person for row in measures),
            "of these: by a person's label",
            "Basis person: an analyst, or who decided on an appeal, labelled the account.",
        ),
        "unnamed": (
            sum(row.unnamed for row in measures),
            "of these: not known",
            "Decided at review before entries named their basis.",
        ),
        "detected": (
            len(solely) - on_reports,
            "Found automatically",
            "Decided solely automatically at a stage other than feedback.",
        ),
        "registration": (
            stages["registration"],
            "of these: at registration",
            "Stage registration: before any message.",
        ),
        "messaging": (stages["messaging"], "of these: by what the account did", "Stage messaging."),
        "review": (
            stages["review"],
            "of these: at review",
            "Stage review: after refused messages or failed challenges.",
        ),
        "on_reports": (
            on_reports,
            "Found after reports or blocks of other people",
            "Decided solely automatically at stage feedback.",
        ),
    }
    for name, (value, label, definition) in counts.items():
        builder.count(f"automation.{name}", label, value, "decisions", LEDGER, definition)
    for name, label, part in (
        ("share", "Automation share: decided", "solely"),
        ("detected_share", "Automation share: found", "detected"),
    ):
        builder.ratio(
            f"automation.{name}",
            label,
            counts[part][0] / len(measures) if measures else None,
            "share",
            f"{counts[part][1]}, of all measures.",
            Basis((f"automation.{part}", "decisions.measures"), len(measures)),
        )
    by = Counter(row.basis or "not named" for row in solely)
    for basis in sorted(by):
        builder.count(
            f"basis.{basis}",
            f"Decided automatically on {basis}"
            if basis != "not named"
            else "Decided automatically, basis not named",
            by[basis],
            "decisions",
            LEDGER,
            "Measures decided solely automatically, by the basis that the policy names.",
        )
    builder.sum("decisions.measures", "automation.solely", "automation.not_solely")
    builder.sum("automation.not_solely", "automation.person", "automation.unnamed")
    builder.sum("automation.solely", "automation.detected", "automation.on_reports")
    builder.sum(
        "automation.detected",
        "automation.registration",
        "automation.messaging",
        "automation.review",
        rest=len(solely)
        > sum(stages[s] for s in ("feedback", "registration", "messaging", "review")),
    )
    builder.sum("automation.solely", *(f"basis.{basis}" for basis in sorted(by)))


class _Scope(NamedTuple):
    """Accounts that met an outcome of some severity or worse; `first` is that decision of each."""

    name: str
    label: str
    what: str
    first: Mapping[str, DecisionRow]


def _count_accounts(builder: ReportBuilder, made: list[DecisionRow], sources: Sources) -> None:
    builder.section(
        "Accounts",
        "Each account counts once, at its most severe outcome in the period. Accounts are hidden "
        "in the ledger; the accounts list that is published with this report says which decisions "
        "are about the same account, and not about which.",
    )
    met = [row for row in made if row.severity >= CHALLENGE_RANK]
    worst: dict[str, int] = {}
    for row in met:
        if row.account is not None:
            worst[row.account] = max(row.severity, worst.get(row.account, 0))
    by = Counter(worst.values())

    def count(name: str, label: str, value: int, definition: str, unit: str = "accounts") -> None:
        known = value if sources.accounts else None
        builder.count(f"accounts.{name}", label, known, unit, LIST, definition)

    count("total", "Accounts acted on", len(worst), "Outcome challenge or worse in the period.")
    for name in _SLOWING:
        count(
            name, f"of these: {name} at worst", by[rank_of(name)], f"Most severe outcome: {name}."
        )
    actioned = sum(by[rank_of(name)] for name in SILENCING)
    count("actioned", "of these: restricted or worse", actioned, "Restrict, suspend or ban.")
    for name in SILENCING:
        count(
            name, f"of these: {name} at worst", by[rank_of(name)], f"Most severe outcome: {name}."
        )
    count(
        "erased",
        "Decisions whose account is erased",
        sum(row.account is None for row in met),
        "Decisions of challenge or worse whose opening was erased at a person's request: account "
        "unknown (erased). No number of accounts counts them.",
        "decisions",
    )
    builder.sum("accounts.total", *_names("accounts", _SLOWING), "accounts.actioned")
    builder.sum("accounts.actioned", *_names("accounts", SILENCING))
    scopes = [
        _Scope(
            "total", "Accounts acted on", "decision of challenge or worse", _first(met, "challenge")
        ),
        _Scope(
            "actioned",
            "Accounts restricted or worse",
            "restriction, suspension or ban",
            _first(met, "restrict"),
        ),
        _Scope("ban", "Accounts banned", "ban", _first(met, "ban")),
    ]
    for outer, scope in zip([None, *scopes], scopes, strict=False):
        _count_scope(builder, scope, outer, sources)


def _first(met: list[DecisionRow], least: str) -> dict[str, DecisionRow]:
    """Return the first decision of an outcome or a worse one of each account."""
    first: dict[str, DecisionRow] = {}
    severity = rank_of(least)
    for row in sorted(met, key=lambda row: (row.ts, row.position)):
        if row.severity >= severity and row.account is not None:
            first.setdefault(row.account, row)
    return first


def _count_scope(
    builder: ReportBuilder, scope: _Scope, outer: _Scope | None, sources: Sources
) -> None:
    """Count when the accounts of a scope were acted on first: at registration, before a report."""
    whole, reports = f"accounts.{scope.name}", sources.reports
    kinds: dict[str, tuple[str, str, str, Callable[[DecisionRow], bool]]] = {
        "at_registration": (
            "at registration",
            LIST,
            f"The first {scope.what} in the period was at stage registration: before any message.",
            lambda row: row.stage == "registration",
        ),
        "no_report_7d": (
            "no report in the 7 days before",
            EVENTS,
            "No report of the account by anybody (event user.reported) in the 7 days up to the "
            f"first {scope.what} in the period. Reports are not in the ledger; they are counted "
            "in the event log.",
            lambda row: not _reported(row, reports, WEEK_MS),
        ),
        "before_any_report": (
            "before any report",
            EVENTS,
            "No report of the account by anybody (event user.reported) at any time up to the first "
            f"{scope.what} in the period, as far back as the event log reaches.",
            lambda row: not _reported(row, reports, None),
        ),
    }
    for name, (label, rests_on, definition, holds) in kinds.items():
        known = sources.accounts and (rests_on == LIST or reports is not None)
        builder.count(
            f"{whole}.{name}",
            f"{scope.label}: {label}",
            sum(map(holds, scope.first.values())) if known else None,
            "accounts",
            rests_on,
            definition
            if known or rests_on == LIST
            else f"Not known from the ledger alone. {definition}",
        )
    builder.sum(whole, f"{whole}.at_registration", rest=True)
    builder.sum(whole, f"{whole}.no_report_7d", rest=True)
    builder.sum(f"{whole}.no_report_7d", f"{whole}.before_any_report", rest=True)
    if outer:
        around = f"accounts.{outer.name}"
        for name in ("at_registration", "before_any_report"):
            builder.sum(f"{around}.{name}", f"{whole}.{name}", rest=True)


def _reported(
    row: DecisionRow, reports: Mapping[str, Sequence[int]] | None, within: int | None
) -> bool:
    """Whether the account was reported up to a decision, at any time or `within` ms before."""
    times = (reports or {}).get(row.account or "", ())
    before = bisect_right(times, row.ts)
    return before > 0 and (within is None or times[before - 1] > row.ts - within)
