"""Champion and challenger: what two runs over one log decided otherwise, account by account.

An account counts at its worst outcome. "Actioned" is restrict or worse; earlier and later compare
the first such action, which both runs took.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wavebreak.errors import FileError
from wavebreak.evaluation import exact_interval, read_accounts, read_labels
from wavebreak.rules import OUTCOMES

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
