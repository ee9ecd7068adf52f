"""What was first caught after fifty messages is caught sooner next time: weeks of retraining.

Each week brings a campaign that was never seen, beside the one that came the week before. A week is
decided under the model of all weeks before it. People then look at who was challenged or worse, or
reported, and confirm or clear them; so they do with those whom the model that learned from this
doubts though nobody had looked at them. Those words, and nothing else of the truth, train the next
model. A campaign's second week is decided twice, with the model that has learned from its first
week and with the one that has not.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from wavebreak import engine
from wavebreak import model as models
from wavebreak.errors import UsageError
from wavebreak.evaluation import Evaluation, Label, evaluate, read_labels
from wavebreak.evaluation.label_votes import Key, LabelVote
from wavebreak.evaluation.scoring_points import world_of
from wavebreak.features.catalog import NAMES
from wavebreak.outcomes import reaches
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy
from wavebreak_lab import training
from wavebreak_lab.simulation import CAMPAIGNS, START_MS, simulate, write

WEEK_MS = 7 * 86_400_000
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Setting:
    """The weeks to simulate.

    `families`: campaigns, a new one a week; each comes with `operators` operators of `accounts`
    accounts, and again the week after. `people` ordinary people, over `days` days of each week.
    """

    families: tuple[str, ...]
    people: int = 1500
    operators: int = 6
    accounts: int = 10
    days: float = 7.0
    seed: int = 0


@dataclass(frozen=True)
class Faced:
    """A family in one week: accounts, how many were actioned, unwanted messages an account."""

    family: str
    accounts: int
    actioned: int
    unwanted: float


@dataclass(frozen=True)
class Week:
    """One week.

    `model` is the version that decided (None: rules alone). `faced` are the families under it;
    `unlearned` the family in its second week under the model that had not seen its first.
    `false_actions` of `benign` accounts were restricted or worse, `false_actions_before` under that
    earlier model. `confirmed` and `cleared` count the reviewed accounts by verdict, `suspected`
    those of them that only the next model's training named.
    """

    number: int
    model: str | None
    faced: tuple[Faced, ...]
    unlearned: Faced | None
    benign: int
    false_actions: int
    false_actions_before: int
    confirmed: int
    cleared: int
    suspected: int = 0


@dataclass(frozen=True)
class Cut:
    """A family's first week against its second: unwanted messages an account, and the share cut.

    `unlearned` is the second week under the model that had not seen the first.
    """

    family: str
    first: float
    second: float
    unlearned: float

    @property
    def share(self) -> float:
        """Share of unwanted messages that the second week was spared, of the first week's."""
        return 1 - self.second / self.first if self.first else 0.0


def simulate_weeks(
    out: Path, policy: Policy, settings: training.Settings, setting: Setting, *,
    progress: Progress = lambda *_: None,
) -> list[Week]:  # fmt: skip
    """Simulate the weeks; files of each go into `out`/week-N. One week more than families.

    Raises UsageError for a family that is not a campaign.
    """
    if unknown := [name for name in setting.families if name not in CAMPAIGNS]:
        raise UsageError(
            f"{unknown[0][:40]!r} is no campaign", fix=f"choose from {', '.join(CAMPAIGNS)}"
        )
    weeks: list[Week] = []
    known: list[Path | None] = [None]  # models, oldest first; none yet
    count = len(setting.families) + 1
    for number in range(count):
        place = out / f"week-{number + 1}"
        week_progress = _part(progress, number, count)
        weeks.append(_week(place, policy, setting, number, known, week_progress))
        if number + 1 < count:
            lived = [out / f"week-{n + 1}" for n in range(number + 1)]
            review = _Review(lived)
            training.train(
                lived, place / "model", policy, settings, name=f"week{number + 1}",
                # Of a simulated stream it is known that no feature holds the label: where one alone
                # tells thirty accounts of a week apart, that is the campaign.
                seed=setting.seed, allow=NAMES, unlabelled_benign=True, review=review.says,
                progress=_part(week_progress, 1, 2),
            )  # fmt: skip
            weeks[-1] = review.counted(weeks[-1])
            known.append(place / "model")
    progress(1.0, "")
    return weeks


def _part(progress: Progress, number: int, count: int) -> Progress:
    """Progress of one of `count` equal parts, as progress of the whole."""
    return lambda share, words: progress((number + share) / count, words)


def _week(
    place: Path, policy: Policy, setting: Setting, number: int, known: Sequence[Path | None],
    progress: Progress,
) -> Week:  # fmt: skip
    families = setting.families[max(0, number - 1) : number + 1]
    world = simulate(
        people=setting.people, days=setting.days, personas=["all"],
        campaigns=[(name, setting.accounts) for name in families] * setting.operators,
        seed=setting.seed + number, start_ms=START_MS + number * WEEK_MS,
        progress=lambda share: progress(0.1 * share, f"week {number + 1}, simulated"),
    )  # fmt: skip
    write(world, place)
    truth = (place / "labels.csv").rename(place / "truth.csv")
    latest = known[-1]
    decided = _decided(place, policy, latest, truth, progress)
    before, second = None, None
    if number and latest is not None:
        before = _decided(place, policy, known[-2], truth, progress, name="unlearned")
        second = _faced(before)[families[0]]
    confirmed, cleared = _reviewed(place, truth)
    faced = _faced(decided)
    return Week(
        number + 1, models.load(latest).version if latest else None,
        tuple(faced[name] for name in families), second,
        sum(p.accounts for p in decided.personas.values()), _false_actions(decided),
        _false_actions(before or decided), confirmed, cleared,
    )  # fmt: skip


def _decided(
    place: Path, policy: Policy, latest: Path | None, truth: Path, progress: Progress,
    name: str = "run",
) -> Evaluation:  # fmt: skip
    """Run a week's log under a model, enforced, and hold it against the truth."""
    engine.run(
        place, place / name, policy, Pseudonymizer(b"weeks of retraining, no secret"), enforce=True,
        model=models.load(latest) if latest else None,
        progress=lambda p: progress(0.1 + 0.3 * p.share, f"{place.name}, {p.events:,} events"),
    )  # fmt: skip
    return evaluate(place / name, truth)


def _faced(found: Evaluation) -> dict[str, Faced]:
    return {
        name: Faced(name, f.accounts, f.actioned, f.unwanted_mean)
        for name, f in found.families.items()
    }


def _false_actions(found: Evaluation) -> int:
    return sum(p.actioned for p in found.personas.values())


def _reviewed(place: Path, truth: Path) -> tuple[int, int]:
    """Write what people find who look at every account challenged or worse, or reported."""
    table = pq.read_table(place / "run" / "accounts.parquet")
    looked_at = {
        row["account"]
        for row in table.select(["account", "worst", "reports"]).to_pylist()
        if row["reports"] or reaches(row["worst"], "challenge")
    }
    found = [label for label in read_labels(truth) if label.account in looked_at]
    with (place / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["account", "label", "family", "operator", "source"])
        lines.writerows(map(_line, found))
    confirmed = sum(label.label == "abusive" for label in found)
    return confirmed, len(found) - confirmed


def _line(label: Label) -> list[str]:
    # Of an operator nobody knows at this point.
    return [label.account, label.label, "", "", "analyst"]


class _Review:
    """What people find who look at the accounts that a training doubts, in the weeks `lived`.

    `found` are their labels.
    """

    def __init__(self, lived: Sequence[Path]) -> None:
        self.lived = {world_of(place): place for place in lived}
        self.found: list[Label] = []

    def says(self, keys: Sequence[Key]) -> list[LabelVote]:
        """Look at accounts, and write down what was found beside their week's labels."""
        votes = []
        for world, place in self.lived.items():
            asked = {name for where, name in keys if where == world}
            mine = [one for one in read_labels(place / "truth.csv") if one.account in asked]
            with (place / "labels.csv").open("a", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(map(_line, mine))
            votes += [LabelVote(world, one.account, one.label, "", "", "analyst") for one in mine]
            self.found += mine
        return votes

    def counted(self, week: Week) -> Week:
        """The week, with what was found counted."""
        bad, suspected = sum(one.label == "abusive" for one in self.found), len(self.found)
        return replace(
            week, confirmed=week.confirmed + bad, cleared=week.cleared + suspected - bad,
            suspected=suspected,
        )  # fmt: skip


def cuts(weeks: Sequence[Week]) -> list[Cut]:
    """Each family's first week against its second."""
    made = []
    for first, second in pairwise(weeks):
        name = first.faced[-1].family
        again = next(one for one in second.faced if one.family == name)
        unlearned = second.unlearned or again
        made.append(Cut(name, first.faced[-1].unwanted, again.unwanted, unlearned.unwanted))
    return made


def as_json(weeks: Sequence[Week]) -> dict[str, Any]:
    """Give the weeks and what they cut as plain JSON values."""
    return {
        "weeks": [asdict(week) for week in weeks],
        "cuts": [asdict(cut) | {"share": round(cut.share, 4)} for cut in cuts(weeks)],
    }
