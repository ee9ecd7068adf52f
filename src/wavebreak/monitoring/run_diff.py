"""Champion and challenger: what two runs over one log decided otherwise, account by account.

An account counts at its worst outcome. "Actioned" is restrict or worse; earlier and later compare
the first such action, which both runs took.

A replay: the log of a run once more, under another policy or model, on the same path.

Differences as people read them: a table, examples, a page with a picture.
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
from wavebreak.evaluation import exact_interval, read_accounts, read_labels
from wavebreak.privacy.pseudonymizer import Edge
from wavebreak.reports.charts import Interval, shares
from wavebreak.reports.html import html_figure, html_table, page, paragraphs
from wavebreak.reports.tables import (
    Console,
    Table,
    brief,
    count_of,
    interval,
    number,
    print_lines,
    print_table,
)
from wavebreak.rules import OUTCOMES, Policy
from wavebreak.training.dataset import open_run

KINDS = ("newly actioned", "newly spared", "earlier", "later", "harsher", "milder")
"""Ways in which an account's fate may differ, each exclusive of those before it."""
_RESTRICT = OUTCOMES.index("restrict")


@dataclass(frozen=True)
class Fate:
    """What one run decided on one account: worst outcome, first action (ms), unwanted delivered."""

    worst: str
    action_ms: int | None
    unwanted: int

    @property
    def actioned(self) -> bool:
        """Whether it was restricted or worse."""
        return OUTCOMES.index(self.worst) >= _RESTRICT


NOTHING = Fate("allow", None, 0)


@dataclass(frozen=True)
class Change:
    """An account whose fate differs.

    `decision` is the one that tells why: the challenger's first action, or the champion's for an
    account that is spared; absent where no action was taken. `score` is the calibrated probability
    of abuse there, absent without a model.
    """

    account: str
    kind: str
    champion: Fate
    challenger: Fate
    label: str
    family: str
    decision: dict[str, Any] | None

    @property
    def score(self) -> float | None:
        """Calibrated probability of abuse at the deciding moment, where a model gave one."""
        return self.decision["score"] if self.decision else None


@dataclass(frozen=True)
class Differences:
    """Two runs over the same log.

    `versions` of champion and challenger; `changes` in order of kind and account; `actioned` are
    counts of accounts restricted or worse, by run and by label ("" where there is none), `unwanted`
    the messages to strangers that reached someone, by run, from accounts labelled abusive.
    """

    accounts: int
    versions: tuple[dict[str, Any], dict[str, Any]]
    changes: list[Change]
    actioned: tuple[dict[str, int], dict[str, int]]
    unwanted: tuple[int, int]
    labelled: dict[str, int] = field(default_factory=dict)

    def of(self, kind: str) -> list[Change]:
        """The changes of one kind."""
        return [change for change in self.changes if change.kind == kind]

    def counts(self) -> dict[str, dict[str, int]]:
        """How many accounts changed, by kind and label."""
        return {
            kind: dict(sorted(Counter(change.label for change in self.of(kind)).items()))
            for kind in KINDS
        }

    def false_actions(self) -> dict[str, Any]:
        """What the newly actioned would cost the innocent.

        `labelled_benign` of `labelled` newly actioned accounts, with the 95 % interval of that
        share (Clopper-Pearson); `expected` is the sum of what the model leaves open (1 - score)
        over those without a label that have a score, `unscored` how many have neither.
        """
        new = self.of("newly actioned")
        known = [change for change in new if change.label]
        benign = sum(change.label == "benign" for change in known)
        scores = [change.score for change in new if not change.label]
        given = [score for score in scores if score is not None]
        return {
            "labelled": len(known),
            "labelled_benign": benign,
            "interval": list(exact_interval(benign, len(known))) if known else None,
            "expected": round(sum(1 - score for score in given), 3) if given else None,
            "scored": len(given),
            "unscored": len(scores) - len(given),
        }

    def as_json(self) -> dict[str, Any]:
        """Give the differences as plain JSON values; changes in full."""
        return {
            "accounts": self.accounts,
            "champion": self.versions[0],
            "challenger": self.versions[1],
            "counts": self.counts(),
            "actioned": {"champion": self.actioned[0], "challenger": self.actioned[1]},
            "unwanted": {"champion": self.unwanted[0], "challenger": self.unwanted[1]},
            "labelled": self.labelled,
            "false_actions": self.false_actions(),
            "changes": [asdict(change) for change in self.changes],
        }


def compare(champion: Path, challenger: Path, labels: Path | None = None) -> Differences:
    """Hold two run directories against each other, over all accounts that either of them saw.

    Raises `FileError` where a directory is not one that a run wrote, or the two are of other logs.
    """
    told = [read_summary(directory) for directory in (champion, challenger)]
    if told[0].get("events") != told[1].get("events"):
        raise FileError(
            f"{champion} and {challenger} are runs over different logs",
            fix="replay the run again from the events that it read",
        )
    fates = [_fates(directory) for directory in (champion, challenger)]
    read = read_labels(labels) if labels else []
    known = {label.account: (label.label, label.family) for label in read}
    actioned = [_actioned(of, known) for of in fates]
    abusive = [account for account, (label, _) in known.items() if label == "abusive"]
    unwanted = [sum(of.get(account, NOTHING).unwanted for account in abusive) for of in fates]
    return Differences(
        len({**fates[0], **fates[1]}), (told[0]["versions"], told[1]["versions"]),
        _changes((champion, challenger), fates, known), (actioned[0], actioned[1]),
        (unwanted[0], unwanted[1]), dict(sorted(Counter(label.label for label in read).items())),
    )  # fmt: skip


def _changes(
    runs: tuple[Path, Path], fates: list[dict[str, Fate]], known: dict[str, tuple[str, str]]
) -> list[Change]:
    """Every account whose fate differs, in order of kind and account."""
    found: dict[str, tuple[str, Fate, Fate]] = {}
    for account in {**fates[0], **fates[1]}:
        before, after = (of.get(account, NOTHING) for of in fates)
        if kind := _kind(before, after):
            found[account] = (kind, before, after)
    why = [_actions(run, set(found)) for run in runs]
    changes = [
        Change(
            account, kind, before, after, *known.get(account, ("", "")),
            why[0 if kind in ("newly spared", "milder") else 1].get(account),
        )
        for account, (kind, before, after) in found.items()
    ]  # fmt: skip
    return sorted(changes, key=lambda change: (KINDS.index(change.kind), change.account))


def _actioned(fates: dict[str, Fate], known: dict[str, tuple[str, str]]) -> dict[str, int]:
    """Accounts restricted or worse, by label ("" where there is none)."""
    counted = Counter(known.get(a, ("", ""))[0] for a, fate in fates.items() if fate.actioned)
    return dict(sorted(counted.items()))


def _kind(champion: Fate, challenger: Fate) -> str:
    """Name how two fates differ; empty where they do not."""
    if champion.actioned != challenger.actioned:
        return "newly actioned" if challenger.actioned else "newly spared"
    if champion.actioned and champion.action_ms != challenger.action_ms:
        first, second = champion.action_ms or 0, challenger.action_ms or 0
        return "earlier" if second < first else "later"
    step = OUTCOMES.index(challenger.worst) - OUTCOMES.index(champion.worst)
    return "" if step == 0 else ("harsher" if step > 0 else "milder")


def _fates(directory: Path) -> dict[str, Fate]:
    table = read_accounts(directory)
    columns = [table[name].to_pylist() for name in (
        "account", "worst", "first_action_ms", "unwanted"
    )]  # fmt: skip
    return {account: Fate(*fate) for account, *fate in zip(*columns, strict=True)}


def _actions(directory: Path, accounts: set[str]) -> dict[str, dict[str, Any]]:
    """The first action on each of some accounts; else their first decision."""
    first: dict[str, dict[str, Any]] = {}
    with (directory / "decisions.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            decision = json.loads(line)
            account = decision["account"]
            if account not in accounts:
                continue
            rank = OUTCOMES.index(decision["outcome"])
            held = first.get(account)
            if held is None or (rank >= _RESTRICT > OUTCOMES.index(held["outcome"])):
                first[account] = decision
    return first


def read_summary(directory: Path) -> dict[str, Any]:
    """Read the summary of a run. Raises FileError where the directory holds none."""
    path = directory / "summary.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(
            f"{path} cannot be read", fix="give the directory that `wavebreak run … -o DIR` wrote"
        ) from error
    return found


def replay(
    run_dir: Path, out: Path, policy: Policy, edge: Edge, *, labels: Path | None = None,
    progress: Callable[[engine.Progress], None] = lambda _: None, **options: Any,
) -> Differences:  # fmt: skip
    """Run the log of `run_dir` again under a candidate policy or model; say what would differ.

    The challenger's files are written into `out`; the champion's are those of the run. Mode,
    lateness and profile are the run's own; `options` go to `pipeline.run` (model, workers, batch).
    Raises FileError where the log is gone or is not the one the run read.
    """
    told = read_summary(run_dir)
    if out.resolve() == run_dir.resolve():
        raise UsageError("the replay would overwrite the run", fix="give another directory to -o")
    source = open_run(run_dir).events
    profile = Path(told["profile"]) if Path(told["profile"]).is_file() else None
    engine.run(
        source, out, policy, edge, profile_path=profile, enforce=told["mode"] == "enforce",
        progress=progress, **options,
    )  # fmt: skip
    return compare(run_dir, out, labels)


EXAMPLES = 3
"""Examples shown of each kind of change; all of them stand in replay.json."""


def headline(found: Differences) -> list[str]:
    """Say in sentences what the challenger would change, and what it would cost."""
    champion, challenger = (sum(of.values()) for of in found.actioned)
    lines = [
        f"Of {count_of(found.accounts, 'account')}, the champion restricted {number(champion)} or "
        f"worse, the challenger {number(challenger)}: "
        f"{number(len(found.of('newly actioned')))} newly actioned, "
        f"{number(len(found.of('newly spared')))} newly spared, "
        f"{number(len(found.of('earlier')))} earlier, {number(len(found.of('later')))} later."
    ]
    if found.labelled.get("abusive"):
        before, after = found.unwanted
        lines.append(
            f"Unwanted messages delivered by accounts labelled abusive: {number(before)} under "
            f"the champion, {number(after)} under the challenger."
        )
    return [*lines, _false_actions(found)]


def _false_actions(found: Differences) -> str:
    told = found.false_actions()
    if not found.of("newly actioned"):
        return "Nobody is newly actioned, so no innocent is."
    parts = []
    if told["labelled"]:
        low, high = told["interval"]
        parts.append(
            f"{number(told['labelled_benign'])} of the {number(told['labelled'])} newly actioned "
            f"accounts with a label are benign ({interval(low, high)})"
        )
    if told["expected"] is not None:
        parts.append(
            f"of the {number(told['scored'])} without a label, "
            f"{number(told['expected'], 2)} are expected to be innocent by the model's calibration"
        )
    if told["unscored"]:
        parts.append(
            f"{number(told['unscored'])} have neither label nor score: look at the examples"
        )
    return "False actions: " + "; ".join(parts) + "."


def _changes_table(found: Differences) -> Table:
    labels = sorted({change.label for change in found.changes})
    counts = found.counts()
    return Table(
        "What would change",
        ("accounts", "all", *(label or "no label" for label in labels), "time gained\nmedian"),
        [
            (
                kind, number(len(found.of(kind))),
                *(number(counts[kind].get(label, 0)) for label in labels),
                _gained(found.of(kind)),
            )
            for kind in KINDS
        ],
        "Actioned is restrict or worse. Earlier and later: the first such action. Harsher and "
        "milder: accounts whose worst outcome alone differs.",
    )  # fmt: skip


def _gained(changes: list[Change]) -> str:
    """Write the median time by which accounts are acted on earlier (or later, negative)."""
    both = sorted(
        change.champion.action_ms - change.challenger.action_ms
        for change in changes
        if change.champion.action_ms is not None and change.challenger.action_ms is not None
    )
    if not both:
        return "–"
    middle = both[len(both) // 2]
    return brief(middle) if middle >= 0 else f"-{brief(-middle)}"


def _examples(found: Differences, kind: str) -> Table:
    return Table(
        f"Examples: {kind}",
        ("account", "label", "champion", "challenger", "why"),
        [
            (
                change.account, change.family or change.label or "–", change.champion.worst,
                change.challenger.worst, _why(change.decision),
            )
            for change in found.of(kind)[:EXAMPLES]
        ],
        words=frozenset({0, 1, 2, 3, 4}),
    )  # fmt: skip


def _why(decision: dict[str, Any] | None) -> str:
    if decision is None:
        return "–"
    score = "" if decision["score"] is None else f"score {number(decision['score'], 3)}"
    reasons = [f"{r['feature']} {number(r['value'], 2)}" for r in decision["reasons"][:3]]
    return "\n".join(filter(None, [", ".join(decision["rules"][:2]), score, ", ".join(reasons)]))


def print_differences(found: Differences, console: Console) -> None:
    """Print what would change: sentences, the table, a few examples of each kind."""
    print_lines(headline(found), console)
    print_table(_changes_table(found), console)
    for kind in KINDS[:4]:
        if found.of(kind):
            print_table(_examples(found, kind), console)


def write_html(found: Differences, path: Path) -> None:
    """Write the differences as one self-contained page; the same ones give the same bytes."""
    sections = [("What would change", html_table(_changes_table(found)))]
    if picture := _picture(found):
        sections.append((
            "Who is actioned",
            html_figure(
                picture, "Share restricted or worse by label, champion and challenger, with 95 % "
                "Clopper-Pearson intervals.",
            ),
        ))  # fmt: skip
    sections += [
        (kind.capitalize(), html_table(_examples(found, kind))) for kind in KINDS if found.of(kind)
    ]
    made = [
        f"{name}: " + ", ".join(f"{key} {value}" for key, value in sorted(of.items()) if value)
        for name, of in zip(("champion", "challenger"), found.versions, strict=True)
    ]
    sections.append(("Made with", paragraphs(made, "note")))
    path.write_text(page("Replay", headline(found), sections), encoding="utf-8")


def _picture(found: Differences) -> str:
    labels = [label for label, of in found.labelled.items() if of]
    if not labels:
        return ""

    def series(of: dict[str, int]) -> list[Interval]:
        made = []
        for label in labels:
            count, total = of.get(label, 0), found.labelled[label]
            low, high = exact_interval(count, total)
            words = f"{number(count)} of {number(total)}"
            made.append(Interval(count / total, low, high, words))
        return made

    champion, challenger = (series(of) for of in found.actioned)
    return shares(
        "replayed", "Share of accounts restricted or worse", labels,
        {"champion": champion, "challenger": challenger},
    )  # fmt: skip
