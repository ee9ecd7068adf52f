"""Learning at home: labels from reactions of strangers, the line of a score, and its effect.

A platform learns from its own days. Positive are accounts that the tests on reactions convicted,
that wrote to two traps or that a reviewer upheld, negative are answered accounts and those that a
reviewer or an appeal cleared; of all others nothing is taken. How trees are fitted is none of this
module's.

Without enough answers of reviewers a score acts only beside a complaint of the account's own: alone
it would be silence and novelty again, which say nothing of honest people whom nobody answers. So
the line is drawn on what a score beside a complaint meets of answered accounts' first messages.
With enough answers (`asked_labels`) it is drawn for all senders, and the score limits by itself.

Who poisons the labels: reports of one operator convict few accounts, and all accounts of one weigh
little. Answers that operators give each other can only draw the line stricter, since answered
accounts bound what is met.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pyarrow.compute as pc
from msgspec import Meta, Struct

from wavebreak import config
from wavebreak.durations import DAY_MS, Duration
from wavebreak.engine import Engine
from wavebreak.evaluation import asked_labels
from wavebreak.evaluation.asked_labels import Answers, Curve, Question
from wavebreak.evaluation.complaint_ceilings import CeilingTerms
from wavebreak.evaluation.labels import LabelSource, LabelVote, resolve_votes
from wavebreak.evaluation.scoring_points import (
    Bools,
    Floats,
    Ints,
    PointRecorder,
    Points,
    ReplayResult,
    model_inputs,
    to_catalog_columns,
)
from wavebreak.model import Model, baseline, to_fixed_point
from wavebreak.model.calibration import ONE, Steps
from wavebreak.rules.basis import LEAST_TRAPS, TRAPS
from wavebreak.schema.event_kinds import Update, kinds_that_update
from wavebreak.schema.events import TYPES

Share = Annotated[float, Meta(gt=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]

AFTER_ENFORCEMENT = (
    "network_bad", "block_bad", "device_bad", "client_bad", "abuse_target_share_32",
)  # fmt: skip
"""Inputs of models that follow from what was done to others: nothing is learned from them."""
TESTS = "unwanted_evidence"
"""The greatest of the tests on reactions."""
RESULTS = (TESTS, "stranger_complaints", "stranger_answers", TRAPS)
"""Features that labels come from, and that are no inputs."""
INPUTS = tuple(name for name in model_inputs() if name not in AFTER_ENFORCEMENT)
PROBE = 10.0
"""Evidence from which the tests act alone."""
AT_LINE = 0.5
"""The score at the line, as rules read it."""
TIED = 40
"""Accounts on a network up to which they count as one operator's."""
SENDING = kinds_that_update(Update.CHAT)
_COMPLAINTS = tuple(TYPES.index(kind) for kind in ("user.reported", "user.blocked"))
_REGISTERED = TYPES.index("account.registered")
TEACHERS = {
    "appeal": LabelSource(rank=60, weight=1.0),
    "analyst": LabelSource(rank=50, weight=1.0),
    "sample": LabelSource(rank=40, weight=1.0),
}
"""Sources of labels to learn from: reviewers of appeals, of cases and of samples."""


class Terms(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Terms of learning: `learning.toml` of a policy, with a comment on each."""

    every: Duration | Literal[""]
    days: Count
    check: Duration
    promote: Literal["automatic", "person"]
    convicts: Annotated[float, Meta(ge=20)]
    complaints: Annotated[int, Meta(ge=2)]
    answers: Count
    answers_a_complaint: Annotated[float, Meta(ge=1)]
    fewest_accounts: Count
    fewest_operators: Count
    most_of_an_operator: Count
    most_of_a_reporter: Count
    met: Share
    drawn: Share
    shadow_days: Count
    first_messages: Count
    drift: Annotated[float, Meta(ge=1)]
    moved: Annotated[float, Meta(gt=0)]
    appeals: Count
    appealed: Share
    ceilings: CeilingTerms


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    learning: Terms


def load_terms(directory: Path | None = None) -> Terms:
    """Read the terms: the shipped ones, or `learning.toml` of a policy directory.

    Raises:
        PolicyError: A field is missing, unknown, or out of range.

    >>> load_terms().promote
    'automatic'
    """
    return config.load_config(config.resolve_path("learning.toml", directory), _File).learning


# The days of a log


@dataclass(frozen=True)
class HomeDays:
    """Scoring points of a platform's days, and the reactions of strangers until each point.

    Attributes:
        points: Inputs of a home model; no point after a restriction of the account.
        evidence: The greatest of the tests, by point.
        complaints: Complaints of strangers so far, by point.
        answers: Answers of strangers so far, by point.
        traps: Traps that the account has written to first in four weeks, by point.
        opened: First messages since the account's point before, by point.
        operator: Which operator each account seems to be of (accounts,).
        reporters: Operators that complained of an account, by index of the account.
        votes: Labels of accounts by persons, from the log.
        chance: The chance with which reviewers were asked about each account; 0: they were not.
        end_ms: When the last event was.
    """

    points: Points
    evidence: Floats
    complaints: Floats
    answers: Floats
    traps: Floats
    opened: Floats
    operator: Ints
    reporters: dict[int, tuple[int, ...]]
    votes: tuple[LabelVote, ...]
    chance: Floats
    end_ms: int
    events: int

    def select(self, rows: Bools) -> HomeDays:
        """Return the same days with some of the points."""
        return replace(
            self,
            points=self.points.select(rows),
            evidence=self.evidence[rows],
            complaints=self.complaints[rows],
            answers=self.answers[rows],
            traps=self.traps[rows],
            opened=self.opened[rows],
        )

    def newest(self, days: int) -> HomeDays:
        """Return the points of the last days; earlier events only gave the state."""
        return self.select(self.points.ts > self.end_ms - days * DAY_MS)

    @property
    def first_messages(self) -> Floats:
        """First messages to strangers of each account."""
        counts = np.bincount(self.points.account, self.opened, len(self.points.accounts))
        return np.asarray(counts, np.float64)

    def meets(self, margins: Floats, line: float, curve: Curve | None) -> Bools:
        """Return at which points a score acts: beside a complaint, or alone with a curve."""
        is_above: Bools = margins >= line
        return is_above if curve is not None else is_above & (self.complaints >= 1)

    def of_accounts(self, value: Floats | Bools, rows: Bools) -> Floats:
        """Return the greatest value of each account at some points; 0 for accounts without."""
        maxima = np.zeros(len(self.points.accounts))
        np.maximum.at(maxima, self.points.account[rows], value[rows])
        return maxima


def record_days(
    engine: Engine, logs: Iterable[Any], questions: Sequence[Question] = ()
) -> HomeDays:
    """Let an engine with recorded points decide batches of the log; return the days.

    Args:
        engine: The engine.
        logs: The batches.
        questions: The questions to reviewers.

    Raises:
        TrainingError: The log has no scoring point.
    """
    recorder = DayRecorder()
    for log in logs:
        engine.take(log)
        recorder.add(engine, log)
    engine.finish()
    recorder.finish(engine)
    return recorder.days(questions)


class DayRecorder:
    """Collects a platform's days from a recording engine, batch by batch."""

    def __init__(self) -> None:
        self._points = PointRecorder("", INPUTS + RESULTS)
        self._networks = dict[str, Any]()
        self._complaints = list[tuple[str, str]]()
        self._engine: Engine | None = None

    def add(self, engine: Engine, log: Any) -> None:
        """Add a batch of the log that the engine has taken."""
        self._networks.update(_columns(log, (_REGISTERED,), "network"))
        self._complaints.extend(_columns(log, _COMPLAINTS, "peer"))
        self._points.add(engine, log)

    def finish(self, engine: Engine) -> None:
        """Add the points of the last epoch."""
        self._points.add_points(engine)
        self._engine = engine

    def days(self, questions: Sequence[Question] = ()) -> HomeDays:
        """Return the days; see `record_days`."""
        if self._engine is None:
            raise AssertionError("`days` comes after `finish`")
        replay = self._points.result(self._engine)
        return _days_of(replay, self._engine, self._networks, self._complaints, questions)


def _days_of(
    replay: ReplayResult,
    engine: Engine,
    networks: dict[str, Any],
    complaints: Sequence[tuple[str, str]],
    questions: Sequence[Question],
) -> HomeDays:
    points = replay.points.select(~replay.points.after_action())
    results = {name: points.values[:, points.names.index(name)] for name in RESULTS}
    values = {name: np.nan_to_num(column) for name, column in results.items()}
    points = points.without(RESULTS)
    index = {name: number for number, (_, name) in enumerate(points.accounts)}
    operators = _operators(engine, networks)
    chances = {q.account: q.chance for q in questions if q.chance > 0}
    reporters = defaultdict[int, set[int]](set)
    for reporter, accused in complaints:
        if accused in index:
            reporters[index[accused]].add(operators.number(reporter))
    return HomeDays(
        points,
        values[TESTS],
        values["stranger_complaints"],
        values["stranger_answers"],
        values[TRAPS],
        _epoch_starts(points),
        np.array([operators.number(name) for _, name in points.accounts], np.int64),
        {
            account: tuple(sorted(operator_numbers))
            for account, operator_numbers in reporters.items()
        },
        replay.votes,
        np.array([chances.get(name, 0.0) for _, name in points.accounts], np.float64),
        replay.end,
        replay.events,
    )


def _columns(log: Any, types: tuple[int, ...], name: str) -> list[tuple[str, Any]]:
    """Return account and another column of the events of some types, where both are given."""
    if name not in log.schema.names:
        return []
    mine = log.filter(
        pc.is_in(log.column("type"), value_set=pc.cast(list(types), log.column("type").type))
    )
    pairs = zip(mine.column("account").to_pylist(), mine.column(name).to_pylist(), strict=True)
    return [
        (account, value) for account, value in pairs if account is not None and value is not None
    ]


def _epoch_starts(points: Points) -> Floats:
    """Return the chats that each point's account has started since the previous point."""
    chats = np.nan_to_num(points.values[:, points.names.index("started_chats")])
    order = np.argsort(points.account, kind="stable")
    accounts, sorted_started = points.account[order], chats[order]
    before = np.where(np.diff(accounts, prepend=-1) == 0, np.roll(sorted_started, 1), 0.0)
    increments = np.empty(len(chats))
    increments[order] = np.maximum(sorted_started - before, 0.0)
    return np.where(np.isin(points.kind, SENDING), increments, 0.0)


class _Operators(dict[str, int]):
    """Numbers of operators by account; an account without an operator has a number alone."""

    def number(self, account: str) -> int:
        """Return the number of an account's operator."""
        return self.setdefault(account, len(self))


def _operators(engine: Engine, networks: dict[str, Any]) -> _Operators:
    """Number operators: linked accounts, else accounts of a network with few registrations."""
    account_counts = Counter(networks.values())
    names, numbers = _Operators(), dict[Any, int]()
    for account, network in networks.items():
        if account_counts[network] <= TIED:
            names[account] = numbers.setdefault(network, len(names))
    for operator in engine.operators():
        if not operator.victims:
            names.update(dict.fromkeys(operator.accounts, names.number(operator.accounts[0])))
    return names


# Labels


@dataclass(frozen=True)
class HomeLabels:
    """Labels of a platform's accounts for learning; arrays by account.

    Attributes:
        positive: Convicted by the tests, by two traps, or upheld by a reviewer.
        answered: Answered and without complaints, or cleared by a person.
        weight: The account's weight in the fit.
        reviewed: Accounts that reviewers were asked about, and answered.
        answers: The estimate for all accounts.
        operators: Operators among the positive ones.
        sources: Accounts by where their label is from.
        left_out: Accounts by why they are no label.
    """

    positive: Bools
    answered: Bools
    weight: Floats
    reviewed: Bools
    answers: Answers
    operators: int
    sources: dict[str, int]
    left_out: dict[str, int]

    @property
    def by_answers(self) -> bool:
        """Whether the line is drawn from answers of reviewers."""
        return not self.answers.too_few

    def too_few(self, terms: Terms) -> str:
        """Say why there can be no line; "" where there are labels enough."""
        if self.by_answers:
            return ""
        accounts = int(self.positive.sum())
        if accounts >= terms.fewest_accounts and self.operators >= terms.fewest_operators:
            return "" if self.answered.any() else "No account was answered by strangers."
        return (
            f"Too few labels: {accounts} accounts of {self.operators} operators were convicted; "
            f"{terms.fewest_accounts} accounts of {terms.fewest_operators} operators are needed. "
            + self.answers.too_few
        )


def label_days(days: HomeDays, terms: Terms, until_ms: int | None = None) -> HomeLabels:
    """Return the labels of a platform's accounts at the end of the days.

    Args:
        days: The days.
        terms: Limits of convictions and answers, and the maximum weight of an operator.
        until_ms: Later labels are ignored (None: no label is).
    """
    rows = np.ones(len(days.points), bool) if until_ms is None else days.points.ts <= until_ms
    convicted = days.evidence * (days.complaints >= terms.complaints)
    evidence = days.of_accounts(convicted, rows)
    accused, answers = (days.of_accounts(v, rows) for v in (days.complaints, days.answers))
    upheld, cleared = _persons(days, until_ms)
    by_tests = (evidence >= terms.convicts) & ~cleared & ~upheld
    by_traps = (days.of_accounts(days.traps, rows) >= LEAST_TRAPS) & ~cleared & ~upheld
    is_by_few = _convicted_by_few(days, np.flatnonzero(by_tests), evidence, terms)
    is_bought = is_by_few & ~by_traps
    by_tests_alone = by_tests & ~is_by_few & ~by_traps
    positive = by_tests_alone | by_traps | upheld
    liked = (answers >= terms.answers) & (answers > terms.answers_a_complaint * accused)
    is_answered = (liked & ~by_tests & ~by_traps & ~upheld) | cleared
    weight = np.zeros(len(is_answered))
    for side in (positive, is_answered):
        sizes = Counter(days.operator[side].tolist())
        of_operator = np.array([sizes[n] for n in days.operator[side].tolist()], np.float64)
        weight[side] = np.minimum(1.0, terms.most_of_an_operator / np.maximum(of_operator, 1.0))
    is_present = np.zeros(len(is_answered), bool)
    is_present[days.points.account[rows]] = True
    reviewed = (upheld | cleared) & (days.chance > 0) & is_present
    return HomeLabels(
        positive,
        is_answered,
        weight,
        reviewed,
        asked_labels.summarise(days, upheld, reviewed, liked & ~by_tests & ~by_traps),
        len(set(days.operator[positive].tolist())),
        {
            "convicted by the tests": int(by_tests_alone.sum()),
            "convicted by traps": int(by_traps.sum()),
            "upheld by a reviewer": int(upheld.sum()),
            "answered by strangers": int((is_answered & ~cleared).sum()),
            "cleared by a reviewer or an appeal": int(cleared.sum()),
        },
        {
            "convicted by reports of too few operators": int(is_bought.sum()),
            "neither convicted nor answered": int(
                (is_present & ~positive & ~is_answered & ~is_bought).sum()
            ),
        },
    )


def _persons(days: HomeDays, until_ms: int | None) -> tuple[Bools, Bools]:
    """Return the accounts that a reviewer upheld, and the accounts that a person cleared."""
    votes = [v for v in days.votes if v.source in TEACHERS]
    resolved = resolve_votes(votes, TEACHERS, until_ms).resolved
    labels = [resolved.get(key) for key in days.points.accounts]
    upheld = np.array([bool(label and label.abusive) for label in labels], bool)
    return upheld, np.array([label is not None and not label.abusive for label in labels], bool)


def _convicted_by_few(days: HomeDays, accounts: Ints, evidence: Floats, terms: Terms) -> Bools:
    """Return convicted accounts with reporters of fewer than two operators that still count.

    The words of an operator go to the strongest convictions.
    """
    is_bought, uses = np.zeros(len(evidence), bool), Counter[int]()
    for account in sorted(accounts.tolist(), key=lambda a: (-evidence[a], a)):
        reporters = [
            reporter
            for reporter in days.reporters.get(account, ())
            if uses[reporter] < terms.most_of_a_reporter
        ]
        is_bought[account] = len(reporters) < 2
        if not is_bought[account]:
            uses.update(reporters)
    return is_bought


# The line, and what is met


@dataclass(frozen=True)
class Met:
    """First messages of answered accounts, and the number that a score meets beside a complaint.

    Attributes:
        first_messages: First messages of answered accounts.
        accounts: Accounts that are met at all, answered or not: their indexes.
        days: Days with first messages.
    """

    first_messages: int
    met: int
    accounts: Ints
    days: int

    @property
    def share(self) -> float:
        """The share that is met; 0 where there was none."""
        return self.met / self.first_messages if self.first_messages else 0.0


def find_line(margins: Floats, days: HomeDays, labels: HomeLabels, terms: Terms) -> float | None:
    """Return the lowest margin within the limit of answered accounts met, or None.

    Args:
        margins: Of each point, by trees without training data of the account's operator.
        days: The days.
        labels: The labels of the fit.
        terms: The share that may be met.
    """
    mine = labels.answered[days.points.account] & (days.opened > 0)
    allowed = terms.drawn * days.opened[mine].sum()
    is_candidate = mine & (days.complaints >= 1)
    order = np.argsort(-margins[is_candidate], kind="stable")
    descending, totals = margins[is_candidate][order], np.cumsum(days.opened[is_candidate][order])
    exceeding = np.flatnonzero(totals > allowed)
    # Above the first message that would be one too many; never below even odds.
    line = max(
        0.0, float(np.nextafter(descending[exceeding[0]], math.inf)) if exceeding.size else 0.0
    )
    is_reached = labels.positive[days.points.account] & (margins >= line)
    return line if is_reached.any() else None


def measure_met(
    margins: Floats,
    line: float,
    days: HomeDays,
    answered_accounts: Bools,
    since_ms: int,
    curve: Curve | None = None,
) -> Met:
    """Return the accounts that a score meets after a time (ms), and their first messages.

    The first messages are those of `answered_accounts`.

    With a curve the score needs no complaint, and each message counts by the chance of honesty.
    """
    is_later = (days.points.ts > since_ms) & (days.opened > 0)
    is_met = is_later & days.meets(margins, line, curve)
    mine = answered_accounts[days.points.account]
    messages = days.opened if curve is None else days.opened * curve.honest(margins)
    return Met(
        round(messages[is_later & mine].sum()),
        round(messages[is_met & mine].sum()),
        np.unique(days.points.account[is_met]),
        len(np.unique(days.points.ts[is_later & mine] // DAY_MS)),
    )


def at_line(
    model: Model, line: float, provenance: dict[str, Any], curve: Curve | None = None
) -> Model:
    """Return a model with the score `AT_LINE` at the line, and with `provenance` in the metadata.

    The model asks for a limit if the line rests on answers of reviewers (`curve`), and for
    no outcome otherwise.
    """
    if curve is not None:
        provenance = provenance | {"curve": [curve.slope, curve.offset]}
    edges = [line + k / 4 for k in range(-40, 41)]
    levels = [round(1 / (1 + math.exp(-k / 4)), 6) for k in range(-40, 41)]
    return replace(
        model,
        calibration=Steps.of(edges, [0.0, *levels]),
        thresholds={} if curve is None else {"limit": round(line * ONE)},
        silent=None if curve is None else "observe",
        training=dict(model.training) | {"learned": "home", "line": round(line * ONE)} | provenance,
    )


def line_of(model: Model) -> float:
    """Return the line of a model learned at home, as a margin."""
    return int(model.training["line"]) / ONE


def curve_of(model: Model) -> Curve | None:
    """Return the curve of a model with a line from answers of reviewers; None for other models."""
    curve = model.training.get("curve")
    return None if curve is None else Curve(*map(float, curve))


# What a week taught


class Group(Struct, frozen=True):
    """Accounts alike in age and answers: how many sent, and how many are met by score and tests."""

    age: str
    answered: str
    accounts: int
    met: int
    by_tests: int


class Lesson(Struct, frozen=True, kw_only=True):
    """Result of a week of learning: counts and shares, and no account.

    Attributes:
        end_ms: End of the days.
        days: How many these were.
        labels: Accounts by where their label is from.
        operators: Operators among the convicted accounts.
        left_out: Accounts by why they are no label.
        answers: The estimate from answers of reviewers (None: no reviewer was asked).
        contradicted: Reviewed accounts whose answers the scores contradict most.
        no_line: Why there is no line; "" where there is one.
        line: The line, as log-odds (None: there is none).
        first_messages: First messages of answered accounts that the line was drawn on.
        met: The number of these that the score meets.
        caught: The number of convicted accounts that the score meets.
        features: The most important features, with the share of the gain.
        groups: Accounts by group, and the number that the score would have met in these days.
    """

    end_ms: int
    days: float
    events: int
    labels: dict[str, int]
    operators: int
    left_out: dict[str, int]
    answers: Answers | None = None
    contradicted: tuple[str, ...] = ()
    no_line: str = ""
    line: float | None = None
    first_messages: int = 0
    met: int = 0
    caught: int = 0
    features: tuple[tuple[str, float], ...] = ()
    groups: tuple[Group, ...] = ()


AGES = (("in its first day", 1), ("in its first week", 7), ("older", math.inf))
ANSWER_GROUPS = (
    ("a quarter answered or less", 0.25),
    ("up to half answered", 0.5),
    ("more", math.inf),
)


def count_groups(
    margins: Floats, line: float, days: HomeDays, curve: Curve | None = None
) -> tuple[Group, ...]:
    """Count senders of first messages to strangers, by age and by the share of answers."""
    rows = days.opened > 0
    account = days.points.account
    age = np.full(len(days.points.accounts), -1.0)
    column = days.points.values[:, days.points.names.index("age_s")] / 86_400
    np.maximum.at(age, account[rows], np.nan_to_num(column[rows], nan=1e6))
    first_messages = days.first_messages
    share = days.of_accounts(days.answers, rows) / np.maximum(first_messages, 1.0)
    is_met = days.of_accounts(days.meets(margins, line, curve), rows) > 0
    tests = days.of_accounts((days.evidence >= PROBE) * (days.complaints >= 2.0), rows) > 0
    groups = []
    low_age = -0.5
    for age_name, high_age in AGES:
        low = -0.5
        for words, high in ANSWER_GROUPS:
            in_group = (age > low_age) & (age <= high_age) & (share > low) & (share <= high)
            if in_group.any():
                counts = (
                    int(in_group.sum()),
                    int((in_group & is_met).sum()),
                    int((in_group & tests).sum()),
                )
                groups.append(Group(age_name, words, *counts))
            low = high
        low_age = high_age
    return tuple(groups)


def learn(
    days: HomeDays, terms: Terms, fit: Any, *, name: str, seed: int = 0
) -> tuple[Lesson, Model | None, Floats | None]:
    """Learn from a platform's days; return the lesson, the model, and held-out margins.

    Args:
        days: The days.
        terms: The terms.
        fit: Fits trees: from days, labels, name and seed to a model of all accounts, and
            margins of every point by trees without training data of the account's operator.
        name: The model's name.
        seed: Of the fit.
    """
    labels = label_days(days, terms)
    begin = int(days.points.ts[days.opened > 0].min(initial=days.end_ms))
    lesson = Lesson(
        end_ms=days.end_ms,
        days=round((days.end_ms - begin) / DAY_MS, 1),
        events=days.events,
        labels=labels.sources,
        operators=labels.operators,
        left_out=labels.left_out,
        answers=labels.answers if labels.reviewed.any() else None,
        no_line=labels.too_few(terms),
    )
    if lesson.no_line:
        return lesson, None, None
    model, margins = fit(days, labels, name, seed)
    lesson = msgspec.structs.replace(
        lesson,
        contradicted=asked_labels.most_contradicted(
            margins, days, labels.positive, labels.reviewed
        ),
    )
    curve: Curve | None = None
    if labels.by_answers:
        answers, curve, line = _line_by_answers(margins, days, labels, terms)
        lesson = msgspec.structs.replace(lesson, answers=answers)
        reason = answers.too_weak
    else:
        line = find_line(margins, days, labels, terms)
        reason = "No line meets a convicted account and spares answered ones."
    if line is None:
        return msgspec.structs.replace(lesson, no_line=reason), None, None
    everybody = labels.answered if curve is None else np.ones(len(labels.answered), bool)
    messages = measure_met(margins, line, days, everybody, -1, curve)
    gains = model.forest.gains()
    total_gain = sum(gains.values()) or 1.0
    result = msgspec.structs.replace(
        lesson,
        line=round(line, 3),
        first_messages=messages.first_messages,
        met=messages.met,
        caught=int(labels.positive[messages.accounts].sum()),
        features=tuple((n, round(gains[n] / total_gain, 3)) for n in list(gains)[:8]),
        groups=count_groups(margins, line, days, curve),
    )
    return result, at_line(model, line, {"until": days.end_ms}, curve), margins


def _line_by_answers(
    margins: Floats, days: HomeDays, labels: HomeLabels, terms: Terms
) -> tuple[Answers, Curve, float | None]:
    """Draw the line from answers of reviewers; None where the scores tell too few apart."""
    abusive, benign = labels.reviewed & labels.positive, labels.reviewed & ~labels.positive
    curve, height = asked_labels.fit_curve(
        margins, days, abusive, labels.reviewed, labels.answers.first_messages
    )
    line = asked_labels.find_line(margins, days, curve, terms.drawn)
    reason = asked_labels.too_weak(margins, line, days, abusive)
    refused_share = None if reason else asked_labels.estimate_refused(margins, line, days, benign)
    answers = msgspec.structs.replace(
        labels.answers, height=height, refused=refused_share, too_weak=reason
    )
    return answers, curve, None if reason else line


def model_margins(model: Model, days: HomeDays) -> Floats:
    """Return the margins of a model at the points of some days, equal to the engine's."""
    return np.asarray(to_fixed_point(model.margins(to_catalog_columns(days.points))) / ONE)


# What follows from a check


class Check(Struct, frozen=True, kw_only=True):
    """Effect of a score, or expected effect, since learning.

    Attributes:
        end_ms: The end of the log that was checked.
        days: Days with first messages since learning.
        first_messages: First messages of answered accounts outside the training data.
        met: The number of these that the score meets.
        accounts: Accounts met, answered or not.
        granted: Accounts met with a granted appeal.
        moved: Drift of the scores (population stability index).
        too_few: Why the labels of these days would give no line; "" where they would.
    """

    end_ms: int
    days: int
    first_messages: int
    met: int
    accounts: int
    granted: int
    moved: float
    too_few: str

    @property
    def share(self) -> float:
        """The share of answered accounts' first messages that the score meets."""
        return self.met / self.first_messages if self.first_messages else 0.0


def check_score(
    model: Model, days: HomeDays, terms: Terms, since_ms: int, moved: float | None = None
) -> Check:
    """Check a score, acting or in shadow, on the days since learning.

    Args:
        model: A model that was learned at home.
        days: Days that hold the later ones, and as many before as labels need.
        terms: The terms.
        since_ms: The end of the days of learning.
        moved: Drift of the scores (None: unknown).
    """
    before, now = label_days(days, terms, since_ms), label_days(days, terms)
    margins = model_margins(model, days)
    unknown = now.answered & ~before.answered
    messages = measure_met(margins, line_of(model), days, unknown, since_ms, curve_of(model))
    appeals = [v for v in days.votes if v.source == "appeal" and v.ts > since_ms]
    granted = {v.account for v in appeals if v.label == "benign"}
    names = {days.points.accounts[a][1] for a in messages.accounts.tolist()}
    return Check(
        end_ms=days.end_ms,
        days=messages.days,
        first_messages=messages.first_messages,
        met=messages.met,
        accounts=len(names),
        granted=len(names & granted),
        moved=round(moved or 0.0, 3),
        too_few=now.too_few(terms),
    )


def verdict_in_shadow(check: Check, terms: Terms) -> tuple[bool | None, str]:
    """Return whether a score in shadow passed the check (None: too early), and the reason."""
    if check.days < terms.shadow_days or check.first_messages < terms.first_messages:
        return None, (
            f"{check.days} of {terms.shadow_days} days and {check.first_messages:,} of "
            f"{terms.first_messages:,} first messages of answered accounts were seen."
        )
    reason = (
        f"It meets {check.share:.2%} of answered accounts' first messages, and may {terms.met:.2%}."
    )
    return check.share <= terms.met, reason


State = Literal["none", "shadow", "ready", "on", "failing", "ended"]
"""What a learned score does: there is no line; it acts on nobody; it has held and waits to act; it
acts beside a complaint; it failed and is to be rolled back; it is over."""
CHECKED_STATES: tuple[State, ...] = ("shadow", "ready", "on")
"""States of scores that are checked."""


def state_after(state: State, check: Check, terms: Terms) -> tuple[State, str]:
    """Return the state of a score in shadow or on after a check, and why ("": as before)."""
    if state == "on":
        fault = fault_of_acting(check, terms)
        return ("failing", fault) if fault else ("on", "")
    period, reason = verdict_in_shadow(check, terms)
    return ("shadow" if period is None else "ready" if period else "ended"), reason


def own_scores(model: Model, days: HomeDays) -> dict[str, baseline.Distribution]:
    """Return the features and scores of the days that a model was learned from.

    The scores are of the model itself, not of held-out trees: later ones are compared with these.
    """
    points = days.points
    return baseline.feature_baseline(points.names, points.values, model_margins(model, days), 10)


def moved_since(
    model: Model, reference: baseline.Distribution, days: HomeDays, terms: Terms, since_ms: int
) -> float | None:
    """Return how far a model's scores have moved since a time (ms); None where few were scored."""
    is_later = model_margins(model, days)[days.points.ts > since_ms]
    if is_later.size < terms.first_messages:
        return None
    return baseline.population_stability_index(reference, is_later)


def fault_of_acting(check: Check, terms: Terms) -> str:
    """Return the reason to withdraw an acting score; "" if there is none."""
    has_enough = check.first_messages >= terms.first_messages
    if has_enough and check.share > terms.drift * terms.met:
        return (
            f"It meets {check.share:.2%} of answered accounts' first messages: more than "
            f"{terms.drift:g} times the {terms.met:.2%} that it may."
        )
    if check.moved > terms.moved:
        return f"Its scores have moved (stability index {check.moved:.2f})."
    if check.granted >= terms.appeals and check.granted > terms.appealed * check.accounts:
        return f"{check.granted} of the {check.accounts} accounts that it met won an appeal."
    return check.too_few
