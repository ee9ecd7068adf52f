"""Figures about rules: whom they met, how often people agreed, what they share with other rules.

Read from the newest `NEWEST` stored decisions, once; afterwards only from those that are new.
"""

from __future__ import annotations

import ast
import re
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import msgspec
import numpy as np
from django.db.models import Max

from wavebreak.durations import DAY_MS, HOUR_MS
from wavebreak.engine.account_queries import ShadowCount, rule_counts
from wavebreak.evaluation import exact_interval
from wavebreak.explain.narrative import format_value
from wavebreak.features import catalog
from wavebreak.features.descriptions import feature_title
from wavebreak.languages import msgid
from wavebreak.rules import AnyOf, Rule, features_read
from wavebreak.rules.conditions import When
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.queue.models import Review
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.storage.models import Decision
from wavebreak_server.texts import page_language, translate

NEWEST = 50_000
"""Stored decisions that the figures are from."""
SHOWN_ACCOUNTS = 20
FRESH_S = 10.0
"""How long counts are shown although there are new decisions."""
HOURLY_DAYS = 4
"""Below so many days, figures are by the hour."""
_JUDGED = ("benign", "abusive")


class _Read(msgspec.Struct):
    account: str
    ts: int
    outcome: str
    rules: tuple[str, ...] = ()


class SeenDecision(NamedTuple):
    """A stored decision that named a rule."""

    number: int
    account: str
    ts: int
    outcome: str
    rules: tuple[str, ...]


@dataclass
class Met:
    """Accounts by rule, and how many accounts each two rules share.

    `newest` is the decision that they were counted at, `at` the moment (seconds).
    """

    newest: int
    at: float
    accounts: dict[str, set[str]]
    shared: dict[str, list[tuple[str, float]]]


@dataclass
class _Window:
    """The newest decisions that named a rule."""

    newest: int = 0
    seen: deque[SeenDecision] = field(default_factory=lambda: deque(maxlen=NEWEST))
    lock: Any = field(default_factory=threading.Lock)
    database: str = ""
    met: Met | None = None


_window = _Window()


def _decisions(database: str) -> Sequence[SeenDecision]:
    """Return the newest decisions that named a rule, reading those that are new."""
    with _window.lock:
        newest = Decision.objects.aggregate(n=Max("number"))["n"] or 0
        if newest < _window.newest or database != _window.database:
            _window.newest, _window.database, _window.met = 0, database, None
            _window.seen.clear()
        since = max(_window.newest, newest - NEWEST)
        rows = Decision.objects.after(since).values_list("number", "body")
        decoder = msgspec.json.Decoder(_Read)
        for number, body in rows.iterator(chunk_size=2_000):
            read = decoder.decode(bytes(body))
            if read.rules:
                seen = SeenDecision(number, read.account, read.ts, read.outcome, read.rules)
                _window.seen.append(seen)
            _window.newest = number
        return tuple(_window.seen)


def newest_decisions(acting: ActingUser) -> Sequence[SeenDecision]:
    """Return the newest decisions that named a rule, oldest first, at most `NEWEST`."""
    return _decisions(_database(acting))


class Precision(NamedTuple):
    """Of the accounts with a person's verdict, how many are abusive; the 95 % interval."""

    abusive: int
    judged: int

    @property
    def share(self) -> float | None:
        """The share of the judged accounts that is abusive."""
        return self.abusive / self.judged if self.judged else None

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's interval of the share."""
        return exact_interval(self.abusive, self.judged)


@dataclass(frozen=True)
class RuleFigures:
    """A rule, and figures about it.

    Attributes:
        hits: How often it newly fired since the log began, or since it was changed.
        accounts: Accounts that it met, among the newest decisions.
        precision: By people's verdicts on these accounts.
        appeals: Appeals decided against its decisions.
        overturned: Of these, reversed in whole or in part.
        overlap: Other rules, with the share of its accounts that they met too, largest first.
        shadow: Its results in shadow (None: it decides).
        overdue: Whether somebody should have looked at it again.
        covered: Whether the stream carries what it reads.
    """

    rule: Rule
    hits: int
    accounts: int
    precision: Precision
    appeals: int
    overturned: int
    overlap: list[tuple[str, float]]
    shadow: ShadowCount | None
    overdue: bool
    covered: bool


def rule_figures(acting: ActingUser) -> list[RuleFigures]:
    """Return the figures of every rule of the policy that decides, in its order."""
    deciding, counted = acting.deciding, acting.query(rule_counts)
    met, judged = _met(_database(acting)), _verdicts()
    appeals = _appeals()
    today = datetime.fromtimestamp(acting.now_ms / 1000, UTC).date()
    return [
        RuleFigures(
            rule,
            counted.hits.get(rule.id, 0),
            len(met.accounts.get(rule.id, ())),
            _precision(met.accounts.get(rule.id, set()), judged),
            *appeals.get(rule.id, (0, 0)),
            met.shared.get(rule.id, []),
            counted.shadow.get(rule.id),
            rule.review_by is not None and date.fromisoformat(rule.review_by) < today,
            rule.id not in deciding.off,
        )
        for rule in deciding.policy.rules
    ]


def _database(acting: ActingUser) -> str:
    settings = acting.service.settings
    return f"{settings.home} {settings.database}"


def _met(database: str) -> Met:
    """Return whom each rule met; counted again after `FRESH_S`, where decisions are new."""
    decisions, known = _decisions(database), _window.met
    if known is not None and _window.database == database:
        same = known.newest == _window.newest
        if same or 0 <= time.monotonic() - known.at < FRESH_S:
            return known
    accounts: dict[str, set[str]] = defaultdict(set)
    for decision in decisions:
        for rule in decision.rules:
            accounts[rule].add(decision.account)
    _window.met = Met(_window.newest, time.monotonic(), accounts, _overlaps(accounts))
    return _window.met


def _overlaps(accounts: dict[str, set[str]]) -> dict[str, list[tuple[str, float]]]:
    """Return by rule the others that met some of its accounts, with their share of them."""
    names = list(accounts)
    index = {account: k for k, account in enumerate(set().union(*accounts.values()))}
    table = np.zeros((len(index), len(names)), np.float32)
    for k, name in enumerate(names):
        table[[index[account] for account in accounts[name]], k] = 1
    counts = table.T @ table
    found = {}
    for k, name in enumerate(names):
        shares = [
            (other, float(counts[k, j] / counts[k, k]))
            for j, other in enumerate(names)
            if j != k and counts[k, j]
        ]
        found[name] = sorted(shares, key=lambda pair: (-pair[1], pair[0]))
    return found


def _verdicts() -> dict[str, str]:
    """Return people's newest verdict on each account: benign or abusive."""
    reviews = Review.objects.filter(verdict__in=_JUDGED, undone_ms=None)
    found = list(reviews.values_list("case__account", "verdict", "at_ms"))
    acts = PersonAct.objects.filter(verdict__in=_JUDGED, undone_ms=None)
    found += acts.values_list("account", "verdict", "at_ms")
    return {account: verdict for account, verdict, _ in sorted(found, key=lambda row: row[2])}


def _precision(accounts: set[str], judged: dict[str, str]) -> Precision:
    counts = Counter(judged[account] for account in accounts if account in judged)
    return Precision(counts["abusive"], counts.total())


def _appeals() -> dict[str, tuple[int, int]]:
    """Return by rule how many appeals were decided, and how many overturned it."""
    decided = Appeal.objects.unverified().filter(state=Appeal.DECIDED).exclude(rule="")
    counts = Counter(decided.values_list("rule", "result"))
    found: dict[str, tuple[int, int]] = {}
    for (rule, result), n in counts.items():
        total, overturned = found.get(rule, (0, 0))
        found[rule] = total + n, overturned + n * (result in (Appeal.REVERSED, Appeal.PARTIALLY))
    return found


def hits_over_time(acting: ActingUser, rule: str) -> list[tuple[int, int]]:
    """Return how many accounts a rule met by day of the log's time (ms), or by hour of few days."""
    met = [d for d in _decisions(_database(acting)) if rule in d.rules]
    if not met:
        return []
    first, last = min(d.ts for d in met), max(d.ts for d in met)
    step = HOUR_MS if last - first < HOURLY_DAYS * DAY_MS else DAY_MS
    found: dict[int, set[str]] = defaultdict(set)
    for decision in met:
        found[decision.ts // step].add(decision.account)
    span = range(first // step - 1, last // step + 2)[-366:]
    return [(at * step, len(found.get(at, ()))) for at in span]


def newest_accounts(acting: ActingUser, rule: str) -> list[SeenDecision]:
    """Return the newest decisions that named a rule, one an account."""
    found: dict[str, SeenDecision] = {}
    for decision in reversed(_decisions(_database(acting))):
        if rule in decision.rules and decision.account not in found:
            found[decision.account] = decision
            if len(found) == SHOWN_ACCOUNTS:
                break
    return list(found.values())


# Conditions in words

_WORDS = {
    ">=": msgid("{measure}: at least {value}"),
    "<=": msgid("{measure}: at most {value}"),
    ">": msgid("{measure}: more than {value}"),
    "<": msgid("{measure}: less than {value}"),
    "==": msgid("{measure}: exactly {value}"),
    "!=": msgid("{measure}: other than {value}"),
}
_SIMPLE = re.compile(r"([a-z][a-z0-9_]*)\s*(>=|<=|==|!=|>|<)\s*([\d_.*/ ()+-]+)")


class Condition(NamedTuple):
    """One condition in words, or alternatives.

    `any_of` are lists of conditions that must hold together, at least one list of them.
    """

    text: str
    words: str
    features: list[dict[str, str]]
    any_of: list[list[Any]]


def conditions_of(when: When) -> list[Condition]:
    """Return a rule's conditions, with what the catalog says about each feature."""
    entries = (when,) if isinstance(when, str) else when
    return [_condition(entry) for entry in entries]


def _condition(entry: str | AnyOf) -> Condition:
    if isinstance(entry, str):
        text = " ".join(entry.split())
        named = dict.fromkeys(re.findall(r"[a-z][a-z0-9_]*", text))
        features = [_feature(name) for name in named if name in catalog.INDEX]
        return Condition(text, condition_words(text), features, [])
    return Condition("", translate("any of these"), [], [conditions_of(a) for a in entry.any_of])


def condition_words(text: str) -> str:
    """Return a simple condition in words; "" for one that compares several features.

    >>> condition_words("age_s < 7 * 86_400"), condition_words("a + b > 3")
    ('age: less than 7 d', '')
    """
    found = _SIMPLE.fullmatch(text)
    if found is None or found[1] not in catalog.INDEX:
        return ""
    value = _number(ast.parse(found[3].strip(), mode="eval").body)
    if value is None:
        return ""
    language = page_language()
    return translate(
        _WORDS[found[2]],
        measure=feature_title(found[1], language),
        value=format_value(found[1], value, named=False, language=language),
    )


def _number(node: ast.expr) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _number(left), _number(right)
            if a is None or b is None:
                return None
            if isinstance(op, ast.Mult):
                return a * b
            if isinstance(op, ast.Div):
                return a / b if b else None
            return a + b if isinstance(op, ast.Add) else a - b
    return None


def _feature(name: str) -> dict[str, str]:
    feature = catalog.get_feature(name)
    return {
        "name": name,
        "title": feature_title(name, page_language()),
        "meaning": catalog.describe(name, page_language()),
        "window": feature.window,
        "false_positives": feature.false_positives,
        "blind_spots": feature.blind_spots,
    }


def examples_of(rule: Rule) -> list[tuple[bool, list[tuple[str, str, str]]]]:
    """Return a rule's examples: whether it fires, and features with their values."""
    read, language = features_read(rule), page_language()
    return [
        (fires, [(name, feature_title(name, language),
                  format_value(name, example[name], language=language))
                 for name in sorted(example, key=read.index)])
        for fires, examples in ((True, rule.fires_on), (False, rule.stays_quiet_on))
        for example in examples
    ]  # fmt: skip
