"""An assessment: read under pseudonyms, decided in shadow, learned from, and measured.

Honest-looking is who strangers answer: as often, and so much oftener than they complain, as
learning at home asks for (`policy/learning.toml`). Where labels are given, they say it instead.
Nobody is honest-looking for silence: who wrote to no stranger is neither.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from wavebreak import engine
from wavebreak.assessment.sources import Reading, store_log
from wavebreak.errors import MissingExtraError, TrainingError
from wavebreak.evaluation import home_learning, read_accounts
from wavebreak.evaluation.labels import read_labels
from wavebreak.explain.narrative import basis_clause, describe_score
from wavebreak.extras import load_home_fit
from wavebreak.features.catalog import FEATURES
from wavebreak.io import Source, Table
from wavebreak.languages import ENGLISH
from wavebreak.linking import Operator, storage
from wavebreak.model import Model
from wavebreak.notices.reasons import decision_facts
from wavebreak.outcomes import BY_RANK, MEETING, rank_of
from wavebreak.privacy.names import Names
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.reports.tables import span
from wavebreak.rules import Policy, Rule, features_read
from wavebreak.schema import coverage
from wavebreak.schema.coverage import Profile
from wavebreak.schema.events import TYPES

_FEATURES = {feature.name: feature for feature in FEATURES}

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Options:
    """Settings of an assessment.

    Attributes:
        policy: The rules that would decide.
        model: The model that would score (None: rules alone).
        key: The secret key of pseudonyms.
        labels: A CSV of labels, by the accounts' own names (None: there are none).
        ip_database: A local file with AS numbers and countries.
        workers: Threads.
    """

    policy: Policy
    model: Model | None
    key: bytes
    labels: Path | None = None
    ip_database: Path | None = None
    workers: int = 1


class MetAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account that would have been met.

    Attributes:
        account: Its pseudonym.
        outcome: The most severe outcome.
        rules: The rules of the first decision; empty if the score decided.
        why: The reasons in words, with the reactions of recipients.
        first_ms: Time of the first decision.
        held_ms: How long something would have been refused or delivered as requests, until the
            last event.
        sends: Messages sent.
        strangers: People written to first.
        reports: Reports and blocks against the account.
        refused: People who would not have received the account's first message.
        honest: Whether the account looks honest (None: unknown).
        operator: The account's probable operator ("": none).
    """

    account: str
    outcome: str
    rules: tuple[str, ...]
    why: str
    first_ms: int
    held_ms: int
    sends: int
    strangers: int
    answered: int
    reports: int
    refused: int
    honest: bool | None
    operator: str


class OutcomeCount(msgspec.Struct, frozen=True):
    """Accounts by their most severe outcome; of the honest-looking ones also for how long (ms)."""

    outcome: str
    accounts: int
    honest: int
    median_ms: float | None
    p90_ms: float | None
    refused: int


class RuleCount(msgspec.Struct, frozen=True):
    """A rule, or the score: the number of accounts met, and of honest-looking ones among these."""

    rule: str
    about: str
    outcome: str
    accounts: int
    honest: int


class Gap(msgspec.Struct, frozen=True):
    """A missing field or event type, and the rules that cannot hold without this input."""

    lacks: str
    rules: tuple[str, ...]


class Learning(msgspec.Struct, frozen=True, kw_only=True):
    """Effect of learning at home.

    Attributes:
        why_not: The reason for learning no score ("": a score was learned).
        lesson: The result of learning; None without a scoring point.
        new: Accounts that the score would meet beside a complaint, and the policy did not.
        reactions: Complaints and blocks in the data.
    """

    why_not: str
    lesson: home_learning.Lesson | None
    new: int = 0
    reactions: int = 0


@dataclass(frozen=True)
class Assessment:
    """Effect of the policy on the data.

    Attributes:
        source: The name of the source.
        counts: The summary of the run in shadow.
        senders: Accounts that wrote to somebody first, or sent anything.
        honest: Honest-looking senders.
        labelled: Whether labels decide on honesty, not answers.
        first_messages: People written to first by honest-looking accounts.
        outcomes: Accounts by outcome, most severe first.
        rules: Rules that met accounts, by the number of accounts, largest first.
        met: Accounts that would have been met, most severe first.
        operators: Accounts that seem to be of one hand.
        gaps: Missing inputs, by the number of rules that need each, largest first.
        learning: Effect of learning at home.
    """

    source: str
    reading: Reading
    counts: dict[str, Any]
    senders: int
    honest: int
    labelled: bool
    first_messages: int
    outcomes: tuple[OutcomeCount, ...]
    rules: tuple[RuleCount, ...]
    met: tuple[MetAccount, ...]
    operators: tuple[Operator, ...]
    gaps: tuple[Gap, ...]
    learning: Learning

    @property
    def honest_met(self) -> tuple[MetAccount, ...]:
        """Honest-looking accounts that would have been met."""
        return tuple(account for account in self.met if account.honest)

    @property
    def rules_off(self) -> tuple[str, ...]:
        """Rules that cannot hold, because the data lacks an input."""
        return tuple(self.counts["rules_not_covered"])


def assess(
    source: Source, options: Options, progress: Progress = lambda _, __: None
) -> tuple[Assessment, Names]:
    """Assess a platform's own data in shadow: no event is refused, and no name is kept.

    Args:
        source: A file or directory of events, - for JSON Lines on standard input, or a table.
        options: Policy, model, key and labels.
        progress: Called with the completed share and the current step.

    Returns:
        The assessment, and the accounts behind the pseudonyms.

    Raises:
        UsageError: The table lacks a column of the mapping.
        FileError: The source cannot be read, or holds no valid event.
    """
    names, edge = Names(options.key), Pseudonymizer(options.key, options.ip_database)
    labels = _honest_by_labels(options.labels, names)
    with tempfile.TemporaryDirectory(prefix="wavebreak-assess-") as private:
        log, run_dir = Path(private) / "events.arrow", Path(private) / "run"
        reading = store_log(
            source, log, names, edge, lambda share: progress(0.3 * share, "reading")
        )
        recorder = home_learning.DayRecorder()
        counts = engine.run(
            log,
            run_dir,
            policy=options.policy,
            edge=edge,
            model=options.model,
            workers=options.workers,
            recorder=recorder,
            progress=lambda p: progress(0.3 + 0.6 * p.share, f"deciding, {p.events:,} events"),
        )
        profile = coverage.load(coverage.sidecar_path(log))
        progress(0.9, "learning")
        days = _days(recorder)
        terms = home_learning.load_terms()
        home = home_learning.label_days(days, terms) if days is not None else None
        honest = labels if labels is not None else _answered_accounts(days, home)
        rows = read_accounts(run_dir).to_pylist()
        operators = tuple(storage.load(run_dir))
        by_labels, end_ms = labels is not None, reading.last_ms or 0
        met = tuple(
            _met_accounts(run_dir, rows, operators, options.policy, honest, by_labels, end_ms)
        )
        progress(0.95, "learning")
        learning = _learning(days, home, terms, profile, {account.account for account in met})
    senders = {
        row["account"]: row for row in rows if row["sends"] or row["first_contacts_attempted"]
    }
    honest_senders = senders.keys() & (honest or set())
    file = (source.path or source.name) if isinstance(source, Table) else source
    source_name = "standard input" if str(source) == "-" else Path(file).name
    assessed = Assessment(
        source=source_name,
        reading=reading,
        counts=counts,
        senders=len(senders),
        honest=len(honest_senders),
        labelled=labels is not None,
        first_messages=sum(senders[name]["first_contacts_attempted"] for name in honest_senders),
        outcomes=_outcome_counts(met),
        rules=_rule_counts(met, options.policy),
        met=met,
        operators=operators,
        gaps=_gaps(options.policy, counts["rules_not_covered"], profile),
        learning=learning,
    )
    return assessed, names


def _honest_by_labels(path: Path | None, names: Names) -> set[str] | None:
    if path is None:
        return None
    return {
        names.pseudonym(label.account) for label in read_labels(path) if label.label == "benign"
    }


# Learning at home


def _days(recorder: home_learning.DayRecorder) -> home_learning.HomeDays | None:
    """Return the platform's days for learning at home; None without a scoring point."""
    try:
        return recorder.days()
    except TrainingError:
        return None


def _answered_accounts(
    days: home_learning.HomeDays | None, labels: home_learning.HomeLabels | None
) -> set[str]:
    """Return the accounts that count as answered in learning at home."""
    if days is None or labels is None:
        return set()
    return {days.points.accounts[k][1] for k in np.flatnonzero(labels.answered).tolist()}


def _learning(
    days: home_learning.HomeDays | None,
    labels: home_learning.HomeLabels | None,
    terms: home_learning.Terms,
    profile: Profile,
    met_accounts: Collection[str],
) -> Learning:
    """Return the effect of a score of these days beside the policy."""
    if days is None or labels is None:
        return Learning(why_not="No event of the data can be scored.", lesson=None)
    reactions = int(sum(profile.types.get(name, 0) for name in ("user.reported", "user.blocked"))
                    * profile.events)  # fmt: skip
    try:
        fit = load_home_fit()
    except MissingExtraError as error:
        reason = f"{labels.too_few(terms) or 'There are labels enough.'} {error.what}: {error.fix}."
        return Learning(why_not=reason, lesson=None, reactions=reactions)
    lesson, model, margins = home_learning.learn(days, terms, fit, name="assessment")
    if lesson.line is None or model is None or margins is None:
        return Learning(why_not=lesson.no_line, lesson=lesson, reactions=reactions)
    new_rows = home_learning.measure_met(
        margins, home_learning.line_of(model), days, labels.answered, -1
    ).accounts
    new = {days.points.accounts[k][1] for k in new_rows.tolist()} - set(met_accounts)
    return Learning(why_not="", lesson=lesson, new=len(new), reactions=reactions)


# Who is met


def _met_accounts(
    run_dir: Path, accounts: Collection[dict[str, Any]], operators: Collection[Operator],
    policy: Policy, honest: Collection[str], labelled: bool, end_ms: int,
) -> Iterator[MetAccount]:  # fmt: skip
    """Yield the accounts that would be met, by severity and then by messages sent."""
    operator_of = {a: o.id for o in operators for a in o.accounts}
    abouts = {rule.id: rule.about for rule in policy.rules}
    rows = [row for row in accounts if row["worst"] in MEETING]
    rows.sort(key=lambda row: (-rank_of(row["worst"]), -row["sends"], row["account"]))
    decisions = _decisions_by_account(run_dir, {row["account"] for row in rows})
    for row in rows:
        of_account = decisions.get(row["account"], [])
        first = next((d for d in of_account if d["outcome"] in MEETING), None)
        worst = next((d for d in of_account if d["outcome"] == row["worst"]), first)
        if first is None or worst is None:
            continue
        strangers = row["first_contacts_attempted"]
        is_judged = labelled or (strangers > 0 and row["replied_contacts"] + row["reports"] > 0)
        yield MetAccount(
            account=row["account"],
            outcome=row["worst"],
            rules=tuple(worst.get("rules") or ()),
            why=_reason_text(worst, abouts),
            first_ms=int(first["ts"]),
            held_ms=time_held(of_account, end_ms),
            sends=row["sends"],
            strangers=strangers,
            answered=row["replied_contacts"],
            reports=row["reports"],
            refused=row["first_contacts_refused"],
            honest=(row["account"] in honest) if is_judged else None,
            operator=operator_of.get(row["account"], ""),
        )


def _decisions_by_account(
    run_dir: Path, accounts: Collection[str]
) -> dict[str, list[dict[str, Any]]]:
    """Return the decisions about some accounts, in order."""
    decisions = defaultdict[str, list[dict[str, Any]]](list)
    with (run_dir / "decisions.jsonl").open("rb") as lines:
        for line in lines:
            decision = json.loads(line)
            if decision["account"] in accounts:
                decisions[decision["account"]].append(decision)
    return decisions


def _reason_text(decision: dict[str, Any], abouts: Mapping[str, str]) -> str:
    """Return the reasons of a decision: rules or score, reactions of recipients, basis."""
    sentences = [abouts.get(rule, rule) for rule in decision.get("rules") or ()]
    if not sentences:
        sentences = [describe_score(decision).strip().capitalize() or "The score asked for it"]
    sentences += decision_facts(decision, "analyst", ENGLISH)
    if clause := basis_clause(decision):
        sentences.append(f"{clause[0].upper()}{clause[1:]}")
    return " ".join(text if text.endswith(".") else f"{text}." for text in sentences)


def time_held(decisions: Collection[Mapping[str, Any]], end_ms: int) -> int:
    """Return for how long an account would have been met (ms), until the last event.

    Each decision holds until the next decision, or until the end of the outcome if that is earlier.

    >>> time_held([{"ts": 0, "outcome": "limit", "until": 50},
    ...     {"ts": 20, "outcome": "allow", "until": None}], 100)
    20
    >>> time_held([{"ts": 40, "outcome": "ban", "until": None}], 100)
    60
    """
    ordered = sorted(decisions, key=lambda decision: int(decision["ts"]))
    ends = [int(decision_after["ts"]) for decision_after in ordered[1:]] + [end_ms]
    total_ms = 0
    for decision, following in zip(ordered, ends, strict=True):
        if decision["outcome"] in MEETING:
            end_of_outcome = decision.get("until")
            end = min(following, end_ms if end_of_outcome is None else int(end_of_outcome))
            total_ms += max(0, end - int(decision["ts"]))
    return total_ms


def _outcome_counts(accounts: Collection[MetAccount]) -> tuple[OutcomeCount, ...]:
    counts = []
    for outcome in reversed(BY_RANK):
        rows = [account for account in accounts if account.outcome == outcome]
        if not rows:
            continue
        honest = [account for account in rows if account.honest]
        durations = [account.held_ms for account in honest]
        median, p90 = np.percentile(durations, [50, 90]).tolist() if durations else (None, None)
        refused_count = sum(account.refused for account in honest)
        counts.append(OutcomeCount(outcome, len(rows), len(honest), median, p90, refused_count))
    return tuple(counts)


def _rule_counts(met: Collection[MetAccount], policy: Policy) -> tuple[RuleCount, ...]:
    declarations: dict[str, Rule] = {rule.id: rule for rule in policy.rules}
    accounts, honest, worst = Counter[str](), Counter[str](), dict[str, str]()
    for account in met:
        for rule in account.rules or ("score",):
            accounts[rule] += 1
            honest[rule] += bool(account.honest)
            worst[rule] = max(worst.get(rule, "allow"), account.outcome, key=rank_of)
    abouts = {name: rule.about for name, rule in declarations.items()} | {
        "score": "The model's score."
    }
    return tuple(
        RuleCount(rule, abouts.get(rule, rule), worst[rule], count, honest[rule])
        for rule, count in sorted(accounts.items(), key=lambda item: (-item[1], item[0]))
    )


# Coverage


def _gaps(policy: Policy, off: Collection[str], profile: Profile) -> tuple[Gap, ...]:
    """Return missing inputs and the rules that need them, by the number of rules."""
    rules = defaultdict[str, list[str]](list)
    for rule in policy.rules:
        if rule.id in off:
            for name in missing_sources(features_read(rule), profile):
                rules[name].append(rule.id)
    ordered = sorted(rules.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(Gap(name, tuple(rule_ids)) for name, rule_ids in ordered)


def missing_sources(features: Collection[str], profile: Profile) -> list[str]:
    """Return the types and fields that some features read and a stream does not carry.

    A feature that either of two sources gives names the first. Of a type that is absent, its fields
    go without saying. A clock that is too coarse lacks finer times.

    >>> seen = Profile({"message.sent": 1.0}, {"message.sent.peer": 1.0}, 60_000, 10)
    >>> missing_sources(["typed_share_32"], seen), missing_sources(["gap_sd"], seen)
    (['typing.started'], ['times to 1 s'])
    """
    lacking = dict[str, None]()
    for feature in (_FEATURES[name] for name in features if name in _FEATURES):
        for source in feature.sources:
            if not any(profile.covers(name) for name in source.split("|")):
                name = source.split("|")[0]
                kind = name if name in TYPES else name.rpartition(".")[0]
                lacking[name if profile.covers(kind) else kind] = None
        if feature.resolution_ms < profile.resolution_ms:
            lacking[f"times to {span(feature.resolution_ms)}"] = None
    return list(lacking)
