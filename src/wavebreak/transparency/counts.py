"""The counts of a report, from the history of a ledger."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from wavebreak.rules import OUTCOMES
from wavebreak.transparency.history import (
    BAN,
    CHALLENGE,
    DECIDED,
    LIMIT,
    RESTRICT,
    AppealRow,
    Checkpoint,
    DecisionRow,
    History,
)
from wavebreak.transparency.periods import DAY_MS, Period
from wavebreak.transparency.report import (
    EVENTS,
    LEDGER,
    LIST,
    OPENINGS,
    VERSION,
    Publication,
    Report,
    ReportBuilder,
    check_minimum,
)

HOUR_MS = 3_600_000
WEEK_MS = 7 * DAY_MS
_PERSONS = frozenset(("analyst", "appeal", "partner"))
_Z = 1.959963984540054


class Sources(NamedTuple):
    """What numbers can be counted from, beside the entries.

    Attributes:
        accounts: Whether the history has accounts, by openings or by an accounts list.
        labels: Whether the history has the accounts of labels too: openings only.
        reports: The times (ms) of the reports that each account received, in order; None without
            an event log.

    """

    accounts: bool = False
    labels: bool = False
    reports: Mapping[str, Sequence[int]] | None = None


def wilson_interval(count: int, of: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share (J. Am. Stat. Assoc. 22, 1927).

    >>> [round(end, 4) for end in wilson_interval(3, 10)]
    [0.1078, 0.6032]
    >>> wilson_interval(0, 0)
    (0.0, 1.0)
    """
    if not of:
        return 0.0, 1.0
    share, square = count / of, _Z * _Z / of
    middle = (share + square / 2) / (1 + square)
    half = _Z * math.sqrt(share * (1 - share) / of + square / of / 4) / (1 + square)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return (low if count else 0.0), (high if count < of else 1.0)


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

    Returns:
        The report.

    Raises:
        UsageError: The publication's minimum protects nobody.

    >>> from datetime import date
    >>> from wavebreak.transparency.history import NoAccounts
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
    _count_appeals(builder, history, period)
    _count_reviews(builder, history, period)
    _count_errors(builder, history, made)
    _measure_classifiers(builder, history, period, sources)
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


def _count_decisions(
    builder: ReportBuilder, history: History, period: Period, made: list[DecisionRow]
) -> None:
    builder.section("Decisions", _OF_DECISIONS)
    by = Counter(row.outcome for row in made)
    measures = sum(row.is_measure for row in made)

    def count(name: str, label: str, value: int, definition: str) -> None:
        builder.count(f"decisions.{name}", label, value, "decisions", LEDGER, definition)

    count("total", "Decisions", len(made), "All enforced decisions, also those that end a measure.")
    for outcome in OUTCOMES[: CHALLENGE + 1]:
        count(outcome, f"of these: {outcome}", by[outcome], f"Outcome {outcome}.")
    count("measures", "of these: measures", measures, "Outcome limit, restrict, suspend or ban.")
    count(
        "provision",
        "measures on the provision of the service",
        by["limit"] + by["restrict"],
        "Outcome limit or restrict: the account keeps its chats, and new ones are slowed or held.",
    )
    for outcome in OUTCOMES[LIMIT:]:
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
    first = [f"decisions.{outcome}" for outcome in OUTCOMES[: CHALLENGE + 1]]
    rest = len(made) - measures - sum(by[outcome] for outcome in OUTCOMES[: CHALLENGE + 1])
    builder.sum("decisions.total", *first, "decisions.measures", rest=rest > 0)
    builder.sum("decisions.measures", "decisions.provision", "decisions.suspend", "decisions.ban")
    builder.sum("decisions.provision", "decisions.limit", "decisions.restrict")
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
            "Basis person: an analyst, an appeal or a partner labelled the account.",
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
            counts=(f"automation.{part}", "decisions.measures"),
            of=len(measures),
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
    met = [row for row in made if row.severity >= CHALLENGE]
    worst: dict[str, int] = {}
    for row in met:
        if row.account is not None:
            worst[row.account] = max(row.severity, worst.get(row.account, 0))
    by = Counter(worst.values())

    def count(name: str, label: str, value: int, definition: str, unit: str = "accounts") -> None:
        known = value if sources.accounts else None
        builder.count(f"accounts.{name}", label, known, unit, LIST, definition)

    count("total", "Accounts acted on", len(worst), "Outcome challenge or worse in the period.")
    for severity in (CHALLENGE, LIMIT):
        name = OUTCOMES[severity]
        count(name, f"of these: {name} at worst", by[severity], f"Most severe outcome: {name}.")
    actioned = sum(by[s] for s in range(RESTRICT, BAN + 1))
    count("actioned", "of these: restricted or worse", actioned, "Restrict, suspend or ban.")
    for severity in range(RESTRICT, BAN + 1):
        name = OUTCOMES[severity]
        count(name, f"of these: {name} at worst", by[severity], f"Most severe outcome: {name}.")
    count(
        "erased",
        "Decisions whose account is erased",
        sum(row.account is None for row in met),
        "Decisions of challenge or worse whose opening was erased at a person's request: account "
        "unknown (erased). No number of accounts counts them.",
        "decisions",
    )
    builder.sum("accounts.total", "accounts.challenge", "accounts.limit", "accounts.actioned")
    builder.sum("accounts.actioned", "accounts.restrict", "accounts.suspend", "accounts.ban")
    scopes = [
        _Scope(
            "total", "Accounts acted on", "decision of challenge or worse", _first(met, CHALLENGE)
        ),
        _Scope(
            "actioned",
            "Accounts restricted or worse",
            "restriction, suspension or ban",
            _first(met, RESTRICT),
        ),
        _Scope("ban", "Accounts banned", "ban", _first(met, BAN)),
    ]
    for outer, scope in zip([None, *scopes], scopes, strict=False):
        _count_scope(builder, scope, outer, sources)


def _first(met: list[DecisionRow], severity: int) -> dict[str, DecisionRow]:
    """Return the first decision of this severity or worse of each account."""
    first: dict[str, DecisionRow] = {}
    for row in sorted(met, key=lambda row: (row.ts, row.position)):
        if row.severity >= severity and row.account is not None:
            first.setdefault(row.account, row)
    return first


def _count_scope(
    builder: ReportBuilder,
    scope: _Scope,
    outer: _Scope | None,
    sources: Sources,
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


def _kind(row: DecisionRow | None) -> str:
    """Return the kind of restriction that an appeal is about."""
    if row is None or not row.is_measure:
        return "other"
    return "provision" if row.severity <= RESTRICT else "account"


_KINDS = {
    "": "",
    "provision": "limits and restrictions: ",
    "account": "suspensions and bans: ",
    "other": "anything else: ",
}
_OF_APPEALS = {
    "received": (
        "received",
        "Appeals whose opening was sealed in the period; where only the "
        "decision on an appeal was sealed, it counts as received then.",
    ),
    "decided": ("decided", "Appeals on which a decision was sealed in the period."),
    "unchanged": ("unchanged", "Decided in the period: the decision stays as it is."),
    "partially_reversed": ("partially reversed", "Decided in the period: reversed in part."),
    "reversed": ("reversed", "Decided in the period: reversed."),
    "open": ("open at the end", "Opened before the end of the period, and not decided before it."),
}


def _count_appeals(builder: ReportBuilder, history: History, period: Period) -> None:
    builder.section(
        "Appeals",
        "An appeal counts in the period in which it was sealed. Those received and those decided "
        "are not the same: what is open is carried over to the next period.",
    )
    appeals = history.all_appeals()
    before = [a for a in appeals if a.opened is not None and a.opened < period.start_ms]
    waiting = sum(a.decided is None or a.decided >= period.start_ms for a in before)
    builder.count(
        "appeals.open_before",
        "Appeals open at the beginning",
        waiting,
        "appeals",
        LEDGER,
        "Opened before the period, and not decided before it.",
    )
    for kind, words in _KINDS.items():
        some = [a for a in appeals if not kind or _kind(history.decisions.get(a.decision)) == kind]
        _count_appeals_of(builder, f"appeals.{kind}." if kind else "appeals.", words, some, period)
    decided = [a for a in appeals if a.decided is not None and period.contains(a.decided)]
    builder.count(
        "appeals.opening_not_sealed",
        "Decided, of these: opening not sealed",
        sum(a.opened is None for a in decided),
        "appeals",
        LEDGER,
        "Decided in the period, without an entry that says when they were opened. The median time "
        "does not count them.",
    )
    builder.sum("appeals.decided", "appeals.opening_not_sealed", rest=True)
    builder.unpublished("appeals handled", waiting + _received(appeals, period))
    builder.sum("appeals handled", "appeals.open_before", "appeals.received")
    builder.sum("appeals handled", "appeals.decided", "appeals.open")
    for name in _OF_APPEALS:
        builder.sum(f"appeals.{name}", *(f"appeals.{kind}.{name}" for kind in _KINDS if kind))


def _received(appeals: Iterable[AppealRow], period: Period) -> int:
    moments = (a.decided if a.opened is None else a.opened for a in appeals)
    return sum(at is not None and period.contains(at) for at in moments)


def _count_appeals_of(
    builder: ReportBuilder, prefix: str, words: str, appeals: list[AppealRow], period: Period
) -> None:
    """Count the appeals about one kind of restriction, or all."""
    decided = [a for a in appeals if a.decided is not None and period.contains(a.decided)]
    by = Counter(a.state for a in decided)
    counts = {
        "received": _received(appeals, period),
        "decided": len(decided),
        **{state: by[state] for state in DECIDED},
        "open": sum(
            a.opened is not None
            and a.opened < period.end_ms
            and (a.decided is None or a.decided >= period.end_ms)
            for a in appeals
        ),
    }
    for name, value in counts.items():
        label, definition = _OF_APPEALS[name]
        text = f"Appeals, {words}{label}" if words else f"Appeals {label}"
        builder.count(prefix + name, text, value, "appeals", LEDGER, definition)
    builder.sum(
        f"{prefix}decided",
        *(f"{prefix}{state}" for state in DECIDED),
        rest=sum(by.values()) != sum(by[state] for state in DECIDED),
    )
    hours = [
        (a.decided - a.opened) / HOUR_MS
        for a in decided
        if a.decided is not None and a.opened is not None
    ]
    builder.ratio(
        f"{prefix}median_hours",
        f"Appeals, {words}median hours to decide",
        median(hours) if hours else None,
        "hours",
        "Median of the hours from the sealed opening to the sealed decision, over those decided "
        "in the period.",
        counts=(f"{prefix}decided",),
        of=len(hours),
    )


def _count_reviews(builder: ReportBuilder, history: History, period: Period) -> None:
    builder.section(
        "Decisions by persons, labels and erasures",
        "Each counts in the period in which it was sealed.",
    )
    overrides = [row for row in history.overrides if period.contains(row.at)]
    effects = Counter(
        _effect(row.outcome, history.decisions.get(row.decision or 0))
        if row.decision is not None
        else "state"
        for row in overrides
    )
    builder.count(
        "overrides.total",
        "Overrides by persons",
        len(overrides),
        "overrides",
        LEDGER,
        "Decisions of a person over an earlier decision or a state.",
    )
    for name, label, definition in (
        ("lifted", "milder", "The outcome is milder than that of the decision."),
        ("kept", "as severe or more", "The outcome is as severe as that of the decision, or more."),
        ("state", "over a state", "No enforced decision is named."),
    ):
        builder.count(
            f"overrides.{name}",
            f"of these: {label}",
            effects[name],
            "overrides",
            LEDGER,
            definition,
        )
    labels = Counter(row.label for row in history.labels if period.contains(row.at))
    builder.count(
        "labels.total",
        "Labels of accounts",
        labels.total(),
        "labels",
        LEDGER,
        "Labels that persons, honeypots or partners gave.",
    )
    for label in ("abusive", "benign"):
        builder.count(
            f"labels.{label}",
            f"of these: {label}",
            labels[label],
            "labels",
            LEDGER,
            f"Label {label}.",
        )
    erased = [openings for at, openings in history.erasures if period.contains(at)]
    builder.count(
        "erasures.total",
        "Erasures of personal data",
        len(erased),
        "erasures",
        LEDGER,
        "Sealed erasures: openings that were deleted at a person's request.",
    )
    builder.count(
        "erasures.openings",
        "Entries that can no longer be opened",
        sum(erased),
        "entries",
        LEDGER,
        "How many entries those erasures were about.",
    )
    builder.sum("overrides.total", "overrides.lifted", "overrides.kept", "overrides.state")
    builder.sum("labels.total", "labels.abusive", "labels.benign")


def _effect(outcome: str, row: DecisionRow | None) -> str:
    if row is None:
        return "state"
    severity = OUTCOMES.index(outcome) if outcome in OUTCOMES else -1
    return "lifted" if severity < row.severity else "kept"


def overturned(history: History) -> dict[int, bool]:
    """Return, by its position, whether each reviewed decision was overturned.

    A decision is reviewed where an appeal against it was decided, or a person decided over it. It
    is overturned where any of these reversed it, at least in part.
    """
    reviewed: dict[int, bool] = defaultdict(bool)
    for appeal in history.appeals:
        if appeal.state in DECIDED:
            reviewed[appeal.decision] |= appeal.state != "unchanged"
    for override in history.overrides:
        if override.decision is not None and override.decision in history.decisions:
            row = history.decisions[override.decision]
            reviewed[override.decision] |= _effect(override.outcome, row) == "lifted"
    return dict(reviewed)


def _count_errors(builder: ReportBuilder, history: History, made: list[DecisionRow]) -> None:
    builder.section(
        "Error estimate",
        "Of the measures of the period that were reviewed by the checkpoint: how many were "
        "overturned. A decision is reviewed where an appeal against it was decided or a person "
        "decided over it; overturned where that reversed it, at least in part. Reviewed decisions "
        "are not a random sample: people appeal what they think wrong, so that the share among "
        "all decisions is probably smaller. Interval: Wilson, 95 %.",
    )
    results = overturned(history)
    measures = [row for row in made if row.is_measure]
    tables: list[tuple[str, str, Callable[[DecisionRow], str]]] = [
        ("errors", "", lambda row: "all"),
        ("errors.basis", "basis ", lambda row: row.basis or "not named"),
        ("errors.policy", "policy ", lambda row: row.policy),
        ("errors.model", "score of model ", lambda row: row.scored),
    ]
    for name, words, key in tables:
        groups: dict[str, list[bool]] = defaultdict(list)
        names = sorted({key(row) for row in measures} - {""}) or ["all"] * (name == "errors")
        for row in measures:
            if row.position in results:
                groups[key(row)].append(results[row.position])
        for group in names:
            label = "all measures" if name == "errors" else f"{words}{group}"
            _count_error(
                builder,
                name if name == "errors" else f"{name}:{group}",
                label,
                groups.get(group, []),
            )
        if name != "errors":
            for what in ("reviewed", "overturned"):
                builder.sum(
                    f"errors.{what}",
                    *(f"{name}:{group}.{what}" for group in names),
                    rest=name == "errors.model",
                )


def _count_error(builder: ReportBuilder, name: str, label: str, results: list[bool]) -> None:
    reviewed, wrong = len(results), sum(results)
    low, high = wilson_interval(wrong, reviewed)
    counts = (f"{name}.reviewed", f"{name}.overturned")
    builder.count(
        counts[0],
        f"Reviewed, {label}",
        reviewed,
        "decisions",
        LEDGER,
        "Measures of the period, reviewed by the checkpoint.",
    )
    builder.count(
        counts[1],
        f"Overturned, {label}",
        wrong,
        "decisions",
        LEDGER,
        "Of these: reversed, at least in part.",
    )
    builder.sum(counts[0], counts[1], rest=True)
    for what, text, value in (
        ("share", "Share overturned", wrong / reviewed if reviewed else None),
        ("low", "Share overturned, lower end", low if reviewed else None),
        ("high", "Share overturned, upper end", high if reviewed else None),
    ):
        definition = "Overturned, of reviewed." if what == "share" else "Of Wilson's 95 % interval."
        builder.ratio(
            f"{name}.{what}",
            f"{text}, {label}",
            value,
            "share",
            definition,
            counts=counts,
            of=reviewed,
        )


CLASSIFIERS = {
    "all": "Rules and model together",
    "rules": "Rules",
    "model": "Model",
}
"""Names of the classifiers that are measured, by the ids of their numbers."""


def _measure_classifiers(
    builder: ReportBuilder, history: History, period: Period, sources: Sources
) -> None:
    builder.section(
        "Classifiers",
        "Measured on the accounts that a person labelled in the period, each by its last label. An "
        "account is found where the classifier decided a measure on it before that label. Labelled "
        "accounts are not a random sample, and an account that the rules met first counts as not "
        "found by the model.",
    )
    rows = [row for row in history.labels if period.contains(row.at) and row.source in _PERSONS]
    known = sources.labels or not rows
    last = {row.account: row for row in rows if row.account is not None}
    wanted = {account: row.position for account, row in last.items()}
    found: dict[str, set[str]] = defaultdict(set)
    for row in history.decisions.values():
        if not row.is_measure or row.by_person or row.account is None:
            continue
        if row.position < wanted.get(row.account, 0):
            found[row.account] |= {"all", "model" if row.scored else "rules"}
    for name, label in CLASSIFIERS.items():
        cells = Counter(
            f"{'true' if (row.label == 'abusive') == (name in found[account]) else 'false'}_"
            f"{'positive' if name in found[account] else 'negative'}"
            for account, row in last.items()
        )
        _measure(builder, name, label, cells if known else None)


_CELLS = {
    "true_positive": "found, labelled abusive",
    "false_positive": "found, labelled benign",
    "false_negative": "not found, labelled abusive",
    "true_negative": "not found, labelled benign",
}


def _measure(
    builder: ReportBuilder, name: str, label: str, cells: Mapping[str, int] | None
) -> None:
    prefix = f"classifier.{name}"
    for cell, words in _CELLS.items():
        builder.count(
            f"{prefix}.{cell}",
            f"{label}: {words}",
            None if cells is None else cells.get(cell, 0),
            "accounts",
            OPENINGS,
            "Labelled accounts; see above.",
        )
    measures = {
        "accuracy": (
            ("true_positive", "true_negative"),
            tuple(_CELLS),
            "Labelled accounts that the classifier judged as the person did, of all labelled ones.",
        ),
        "precision": (
            ("true_positive",),
            ("true_positive", "false_positive"),
            "Labelled abusive, of the labelled accounts that were found.",
        ),
        "recall": (
            ("true_positive",),
            ("true_positive", "false_negative"),
            "Found, of the accounts that were labelled abusive.",
        ),
    }
    for measure, (above, below, definition) in measures.items():
        if cells is None:
            builder.unknown(
                f"{prefix}.{measure}", f"{label}: {measure}", "share", OPENINGS, definition
            )
            continue
        of = sum(cells.get(cell, 0) for cell in below)
        value = sum(cells.get(cell, 0) for cell in above) / of if of else None
        builder.ratio(
            f"{prefix}.{measure}",
            f"{label}: {measure}",
            value,
            "share",
            definition,
            counts=tuple(f"{prefix}.{cell}" for cell in below),
            of=of,
            rests_on=OPENINGS,
        )
