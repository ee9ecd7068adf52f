"""Counts of what persons decided: appeals, overrides, labels, errors; classifiers measured."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from statistics import median

from wavebreak.durations import HOUR_MS
from wavebreak.outcomes import REFUSING_ALL
from wavebreak.schema.events import PERSONS
from wavebreak_server.transparency.history import (
    DECIDED,
    AppealRow,
    DecisionRow,
    History,
    severity_of,
)
from wavebreak_server.transparency.periods import Period
from wavebreak_server.transparency.report import LEDGER, OPENINGS, Basis, ReportBuilder, Sources

_Z = 1.959963984540054


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


def _kind(row: DecisionRow | None) -> str:
    """Return the kind of restriction that an appeal is about."""
    if row is None or not row.is_measure:
        return "other"
    return "account" if row.outcome in REFUSING_ALL else "provision"


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


def count_appeals(builder: ReportBuilder, history: History, period: Period) -> None:
    """Count appeals received, decided and open, by the kind of restriction."""
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
        Basis((f"{prefix}decided",), len(hours)),
    )


def count_reviews(builder: ReportBuilder, history: History, period: Period) -> None:
    """Count what persons decided, labelled and erased."""
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
        "Labels that persons, honeypots, partners or reviewers of samples gave.",
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
    return "lifted" if severity_of(outcome) < row.severity else "kept"


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


def count_errors(builder: ReportBuilder, history: History, made: list[DecisionRow]) -> None:
    """Count how many reviewed measures were overturned, by what they rest on."""
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
            Basis(counts, reviewed),
        )


CLASSIFIERS = {"all": "Rules and model together", "rules": "Rules", "model": "Model"}
"""Names of the classifiers that are measured, by the ids of their numbers."""


def measure_classifiers(
    builder: ReportBuilder, history: History, period: Period, sources: Sources
) -> None:
    """Measure accuracy, precision and recall on the accounts that persons labelled."""
    builder.section(
        "Classifiers",
        "Measured on the accounts that a person labelled in the period, each by its last label. An "
        "account is found where the classifier decided a measure on it before that label. Labelled "
        "accounts are not a random sample, and an account that the rules met first counts as not "
        "found by the model.",
    )
    rows = [row for row in history.labels if period.contains(row.at) and row.source in PERSONS]
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
            Basis(tuple(f"{prefix}.{cell}" for cell in below), of, OPENINGS),
        )
