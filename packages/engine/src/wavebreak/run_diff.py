"""Differences between two runs over one log: a champion and a challenger, account by account.

`replay` runs the log of a run again under another policy or model; `compare` lists the accounts
whose outcome differs. An account counts at its worst outcome. "Actioned" is restrict or worse;
earlier and later compare the first such action of accounts that both runs actioned.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wavebreak import engine
from wavebreak.errors import FileError, UsageError
from wavebreak.evaluation import exact_interval, read_accounts, read_labels, share_interval
from wavebreak.evaluation.scoring_points import open_run
from wavebreak.outcomes import SILENCING, rank_of
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.reports.charts import Shares
from wavebreak.reports.report import Report, Section, Text
from wavebreak.reports.tables import Table, brief, count_of, interval, number
from wavebreak.rules import Policy

KINDS = ("newly actioned", "newly spared", "earlier", "later", "harsher", "milder")
"""Kinds of difference; an account has the first kind that applies."""


@dataclass(frozen=True)
class AccountResult:
    """One run's result for one account: worst outcome, first action (ms), unwanted messages."""

    worst: str
    action_ms: int | None
    unwanted: int

    @property
    def actioned(self) -> bool:
        """Whether it was restricted or worse."""
        return self.worst in SILENCING


NO_RESULT = AccountResult("allow", None, 0)


@dataclass(frozen=True)
class Change:
    """An account whose result differs.

    `decision` explains the difference: the challenger's first action, or the champion's where the
    challenger takes a milder one; None where there was no action.
    """

    account: str
    kind: str
    champion: AccountResult
    challenger: AccountResult
    label: str
    family: str
    decision: dict[str, Any] | None

    @property
    def score(self) -> float | None:
        """Calibrated probability of abuse at the deciding moment, where a model gave one."""
        return self.decision["score"] if self.decision else None


@dataclass(frozen=True)
class Differences:
    """The differences between two runs over the same log.

    Attributes:
        accounts: Accounts in either run.
        versions: Versions of champion and challenger.
        changes: Accounts that differ, sorted by kind and account.
        actioned: Accounts restricted or worse, by run and label ("" without a label).
        unwanted: Delivered messages to strangers from accounts labelled abusive, by run.
        labelled: Number of labels by kind.
        shadow: What each rule of the challenger in shadow would have done: its outcome, and how
            many accounts and decisions, by its id.
    """

    accounts: int
    versions: tuple[dict[str, Any], dict[str, Any]]
    changes: list[Change]
    actioned: tuple[dict[str, int], dict[str, int]]
    unwanted: tuple[int, int]
    labelled: dict[str, int] = field(default_factory=dict)
    shadow: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[Change]:
        """Return the changes of one kind."""
        return [change for change in self.changes if change.kind == kind]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of changed accounts by kind and label."""
        return {
            kind: dict(sorted(Counter(change.label for change in self.of_kind(kind)).items()))
            for kind in KINDS
        }

    def false_actions(self) -> dict[str, Any]:
        """Return the false actions among the newly actioned accounts.

        `labelled_benign` of `labelled` accounts are benign, with the 95 % interval of that share
        (Clopper-Pearson). `expected` is the sum of 1 - score over the `scored` accounts without a
        label; `unscored` accounts have neither label nor score.
        """
        new = self.of_kind("newly actioned")
        known = [change for change in new if change.label]
        benign = sum(change.label == "benign" for change in known)
        scores = [change.score for change in new if not change.label]
        scored = [score for score in scores if score is not None]
        return {
            "labelled": len(known),
            "labelled_benign": benign,
            "interval": list(exact_interval(benign, len(known))) if known else None,
            "expected": round(sum(1 - score for score in scored), 3) if scored else None,
            "scored": len(scored),
            "unscored": len(scores) - len(scored),
        }

    def as_json(self) -> dict[str, Any]:
        """Return the differences as plain JSON values, with all changes."""
        return {
            "accounts": self.accounts,
            "champion": self.versions[0],
            "challenger": self.versions[1],
            "counts": self.counts(),
            "actioned": {"champion": self.actioned[0], "challenger": self.actioned[1]},
            "unwanted": {"champion": self.unwanted[0], "challenger": self.unwanted[1]},
            "labelled": self.labelled,
            "false_actions": self.false_actions(),
            "shadow": self.shadow,
            "changes": [asdict(change) for change in self.changes],
        }


def compare(champion: Path, challenger: Path, labels: Path | None = None) -> Differences:
    """Compare two run directories over all accounts of either.

    Args:
        champion: Directory of the run as it was.
        challenger: Directory of the candidate's run.
        labels: Labels file, where there is one.

    Raises:
        FileError: A directory has no run, or the runs are over different logs.
    """
    summaries = [read_summary(directory) for directory in (champion, challenger)]
    # The log that a table became has its valid events alone.
    if summaries[0].get("accepted") != summaries[1].get("accepted"):
        raise FileError(
            f"{champion} and {challenger} are runs over different logs",
            fix="replay the run with `wavebreak replay` from the events that it read",
        )
    results = [_account_results(directory) for directory in (champion, challenger)]
    read = read_labels(labels) if labels else []
    known = {label.account: (label.label, label.family) for label in read}
    actioned = [_actioned(of, known) for of in results]
    abusive = [account for account, (label, _) in known.items() if label == "abusive"]
    unwanted = [sum(of.get(account, NO_RESULT).unwanted for account in abusive) for of in results]
    return Differences(
        len({**results[0], **results[1]}),
        (summaries[0]["versions"], summaries[1]["versions"]),
        _changes((champion, challenger), results, known),
        (actioned[0], actioned[1]),
        (unwanted[0], unwanted[1]),
        dict(sorted(Counter(label.label for label in read).items())),
        {
            rule: {"outcome": of["outcome"], "accounts": of["accounts"], "decisions": of["hits"]}
            for rule, of in summaries[1].get("rules", {}).items()
            if "accounts" in of
        },
    )


def _changes(
    runs: tuple[Path, Path],
    results: list[dict[str, AccountResult]],
    known: dict[str, tuple[str, str]],
) -> list[Change]:
    """Return every account whose result differs, sorted by kind and account."""
    different: dict[str, tuple[str, AccountResult, AccountResult]] = {}
    for account in {**results[0], **results[1]}:
        before, after = (of.get(account, NO_RESULT) for of in results)
        if kind := _kind(before, after):
            different[account] = (kind, before, after)
    why = [_actions(run, set(different)) for run in runs]
    changes = [
        Change(
            account,
            kind,
            before,
            after,
            *known.get(account, ("", "")),
            why[0 if kind in ("newly spared", "milder") else 1].get(account),
        )
        for account, (kind, before, after) in different.items()
    ]
    return sorted(changes, key=lambda change: (KINDS.index(change.kind), change.account))


def _actioned(
    results: dict[str, AccountResult], known: dict[str, tuple[str, str]]
) -> dict[str, int]:
    """Count accounts restricted or worse, by label ("" without a label)."""
    counts = Counter(known.get(a, ("", ""))[0] for a, result in results.items() if result.actioned)
    return dict(sorted(counts.items()))


def _kind(champion: AccountResult, challenger: AccountResult) -> str:
    """Return the kind of difference between two results; empty where there is none."""
    if champion.actioned != challenger.actioned:
        return "newly actioned" if challenger.actioned else "newly spared"
    if champion.actioned and champion.action_ms != challenger.action_ms:
        first, second = champion.action_ms or 0, challenger.action_ms or 0
        return "earlier" if second < first else "later"
    step = rank_of(challenger.worst) - rank_of(champion.worst)
    return "" if step == 0 else ("harsher" if step > 0 else "milder")


def _account_results(directory: Path) -> dict[str, AccountResult]:
    table = read_accounts(directory)
    columns = [
        table[name].to_pylist() for name in ("account", "worst", "first_action_ms", "unwanted")
    ]
    return {account: AccountResult(*result) for account, *result in zip(*columns, strict=True)}


def _actions(directory: Path, accounts: set[str]) -> dict[str, dict[str, Any]]:
    """Return the first action on each of the accounts, else the first decision."""
    first: dict[str, dict[str, Any]] = {}
    with (directory / "decisions.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            decision = json.loads(line)
            account = decision["account"]
            if account not in accounts:
                continue
            first_decision = first.get(account)
            if first_decision is None or (
                decision["outcome"] in SILENCING and first_decision["outcome"] not in SILENCING
            ):
                first[account] = decision
    return first


def read_summary(directory: Path) -> dict[str, Any]:
    """Read the summary of a run. Raises FileError where the directory holds none."""
    path = directory / "summary.json"
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(
            f"{path} cannot be read", fix="give the directory that `wavebreak run … -o DIR` wrote"
        ) from error
    return summary


def replay(
    run_dir: Path,
    out: Path,
    policy: Policy,
    pseudonymizer: Pseudonymizer,
    *,
    labels: Path | None = None,
    progress: Callable[[engine.Progress], None] = lambda _: None,
    **options: Any,
) -> Differences:
    """Run the log of a run again under a candidate policy or model, and compare the two.

    Mode and profile are the run's own.

    Args:
        run_dir: The directory of the run, the champion.
        out: The directory for the challenger's files.
        policy: The challenger's policy.
        pseudonymizer: Pseudonymizer with the key of the run.
        labels: Labels file, where there is one.
        progress: Called with the progress of the run.
        **options: Options of `engine.run` (model, workers, batch, ceiling).

    Raises:
        FileError: The log is missing, or is not the one that the run read.
        UsageError: `out` is the directory of the run.
    """
    champion = read_summary(run_dir)
    if out.resolve() == run_dir.resolve():
        raise UsageError(
            "-o is the directory of the run, which the replay would overwrite",
            fix="give another directory to -o",
        )
    source = open_run(run_dir).events
    profile = Path(champion["profile"]) if Path(champion["profile"]).is_file() else None
    engine.run(
        source,
        out,
        policy,
        pseudonymizer,
        profile_path=profile,
        enforce=champion["mode"] == "enforce",
        progress=progress,
        **options,
    )
    return compare(run_dir, out, labels)


MAX_EXAMPLES = 3
"""Examples of each kind of change; replay.json has all changes."""


def differences_report(differences: Differences) -> Report:
    """Return the differences as a report."""
    sections = [Section("Changes", [_changes_table(differences)])]
    if labels := [label for label, count in differences.labelled.items() if count]:
        sections.append(Section("Accounts actioned", [_actioned_chart(differences, labels)]))
    sections += [
        Section(
            kind.capitalize(), [_examples_table(differences, kind)], page_only=kind not in KINDS[:4]
        )
        for kind in KINDS
        if differences.of_kind(kind)
    ]
    if differences.shadow:
        sections.append(Section("Rules in shadow", [_shadow_table(differences)]))
    versions = [
        f"{name}: " + ", ".join(f"{key} {value}" for key, value in sorted(of.items()) if value)
        for name, of in zip(("champion", "challenger"), differences.versions, strict=True)
    ]
    sections.append(Section("Versions", [Text(versions, "note")], page_only=True))
    return Report("Replay", headline(differences), sections, data=differences.as_json())


def _actioned_chart(differences: Differences, labels: list[str]) -> Shares:
    return Shares(
        "replayed",
        "Share of accounts restricted or worse",
        "Share restricted or worse by label, champion and challenger, with 95 % Clopper-Pearson "
        "intervals.",
        labels,
        {
            name: [
                share_interval(of.get(label, 0), differences.labelled[label]) for label in labels
            ]
            for name, of in zip(("champion", "challenger"), differences.actioned, strict=True)
        },
    )


def headline(differences: Differences) -> list[str]:
    """Describe in sentences what the challenger changes, and its false actions."""
    champion, challenger = (sum(of.values()) for of in differences.actioned)
    changed = {kind: number(len(differences.of_kind(kind))) for kind in KINDS}
    lines = [
        f"Of {count_of(differences.accounts, 'account')}, the champion restricted "
        f"{number(champion)} or worse, the challenger {number(challenger)}: "
        f"{changed['newly actioned']} newly actioned, {changed['newly spared']} newly spared, "
        f"{changed['earlier']} earlier, {changed['later']} later."
    ]
    if differences.labelled.get("abusive"):
        before, after = differences.unwanted
        lines.append(
            f"Unwanted messages delivered by accounts labelled abusive: {number(before)} under "
            f"the champion, {number(after)} under the challenger."
        )
    return [*lines, _false_actions(differences)]


def _false_actions(differences: Differences) -> str:
    counts = differences.false_actions()
    if not differences.of_kind("newly actioned"):
        return "No account is newly actioned, so there is no new false action."
    parts = []
    if counts["labelled"]:
        low, high = counts["interval"]
        parts.append(
            f"{number(counts['labelled_benign'])} of the {number(counts['labelled'])} newly "
            f"actioned accounts with a label are benign ({interval(low, high)})"
        )
    if counts["expected"] is not None:
        parts.append(
            f"of the {number(counts['scored'])} without a label, "
            f"{number(counts['expected'], 2)} are expected to be benign by the model's calibration"
        )
    if counts["unscored"]:
        parts.append(
            f"{number(counts['unscored'])} have neither label nor score: check the examples"
        )
    return "False actions: " + "; ".join(parts) + "."


def _changes_table(differences: Differences) -> Table:
    labels = sorted({change.label for change in differences.changes})
    counts = differences.counts()
    return Table(
        "Changes",
        ("accounts", "all", *(label or "no label" for label in labels), "time gained\nmedian"),
        [
            (
                kind,
                len(differences.of_kind(kind)),
                *(counts[kind].get(label, 0) for label in labels),
                _median_gain(differences.of_kind(kind)),
            )
            for kind in KINDS
        ],
        "Actioned is restrict or worse. Earlier and later: the first such action. Harsher and "
        "milder: only the worst outcome differs.",
    )


def _shadow_table(differences: Differences) -> Table:
    return Table(
        "Rules of the challenger in shadow",
        ("rule", "outcome", "accounts", "decisions"),
        [
            (rule, of["outcome"], of["accounts"], of["decisions"])
            for rule, of in differences.shadow.items()
        ],
        "What each would have met, had it decided: so many accounts, with so many decisions.",
        words=frozenset({0, 1}),
    )


def _median_gain(changes: list[Change]) -> str:
    """Return the median time by which actions are earlier (negative: later), as text."""
    gains = sorted(
        change.champion.action_ms - change.challenger.action_ms
        for change in changes
        if change.champion.action_ms is not None and change.challenger.action_ms is not None
    )
    if not gains:
        return "–"
    middle = gains[len(gains) // 2]
    return brief(middle) if middle >= 0 else f"-{brief(-middle)}"


def _examples_table(differences: Differences, kind: str) -> Table:
    return Table(
        f"Examples: {kind}",
        ("account", "label", "champion", "challenger", "why"),
        [
            (
                change.account,
                change.family or change.label or "–",
                change.champion.worst,
                change.challenger.worst,
                _reason_text(change.decision),
            )
            for change in differences.of_kind(kind)[:MAX_EXAMPLES]
        ],
        words=frozenset(range(5)),
    )


def _reason_text(decision: dict[str, Any] | None) -> str:
    if decision is None:
        return "–"
    score = "" if decision["score"] is None else f"score {number(decision['score'], 3)}"
    reasons = [f"{r['feature']} {number(r['value'], 2)}" for r in decision["reasons"][:3]]
    return "\n".join(filter(None, [", ".join(decision["rules"][:2]), score, ", ".join(reasons)]))
