"""Learn the weights of the claims' reading from the known parts of the project's own pages.

Writes `src/wavebreak/policy/claims/learned.toml`: run it after pages, vocabulary or concepts were
changed. The part that is held out is never read. Families weigh alike, however many pages they
have. The bar is the lowest score at which families that were left out are called claims with the
wanted precision; the base is shifted so that it lies at one half.

With `--check` nothing is written: both weights and bar are learned without a tenth of the families
(the bar by leaving out families of the rest again), which are then judged, ten times over. Printed
are precision and recall of all these judgements with intervals by drawing families, and what was
judged wrongly. Vocabulary and concepts were written with the known parts in sight, so that this is
still a fair-weather guide.
"""

from __future__ import annotations

import math
import random
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from wavebreak.claims.contacts import contacts
from wavebreak.claims.folding import fold
from wavebreak.claims.inventing import Invented, invented
from wavebreak.claims.judging import judge
from wavebreak.claims.learned import FEWEST, Lexicon, marks
from wavebreak.claims.measuring import Judgement, by, by_family, rate
from wavebreak.claims.texts import from_html

OUT = Path(__file__).resolve().parent.parent / "src/wavebreak/policy/claims/learned.toml"
WANTED = 0.95
STRENGTH = 5.0
SCALE = {"manner": 1.0, "concepts": 1.0, "pairs": 2.2, "grams": 2.2}
SEEN_IN = {"manner": 1, "concepts": 2, "pairs": 3, "grams": 3}
STEP = {"concepts": 0.1, "pairs": 0.1, "grams": 0.25}
OUTER, INNER = 10, 8
# scikit-learn has no types.
_VECTORS: Any = DictVectorizer
_MODEL: Any = LogisticRegression
HEAD = """\
# Learned by docs/learn_claim_words.py from the known pages, see wavebreak.claims.learned: weights
# in log odds of the page's manner, and by weight the marks that have it: concepts, pairs of them in
# a sentence, runs of four letters (_ is a word's edge). Each of these three sums is divided by the
# root of how many marks of the kind a page has.
"""


@dataclass(frozen=True)
class Row:
    """A page, its manner, its marks by kind, and the divisor of each kind."""

    page: Invented
    having: dict[str, dict[str, float]]

    @property
    def claim(self) -> bool:
        """Whether it is labelled a claim."""
        return self.page.label == "claim"


def row(page: Invented) -> Row:
    """Read what a page's score is made of, as `judge` and `weigh` do."""
    document = from_html(page.html)
    folded = fold(document.text)
    manner = judge(folded, bool(contacts(document.text, document.links))).manner
    having = {"manner": {name: value for name, value in manner.items() if value > 0}}
    for kind, present in marks(folded.text).items():
        value = 1 / math.sqrt(max(FEWEST[kind], len(present)))
        having[kind] = dict.fromkeys(present, value)
    return Row(page, having)


class Learner:
    """A logistic regression over manner and marks, which rare marks enter more strongly."""

    def __init__(self, rows: list[Row]) -> None:
        seen = Counter(
            (kind, mark)
            for kind, mark, _ in {
                (kind, mark, row.page.family)
                for row in rows
                for kind in SCALE
                for mark in row.having[kind]
            }
        )
        families = Counter(row.page.family for row in rows)
        self.scale = {
            (kind, mark): SCALE[kind]
            * (1 + math.log((1 + len(families)) / (1 + n)) if kind == "grams" else 1.0)
            for (kind, mark), n in seen.items()
            if n >= SEEN_IN[kind]
        }
        self.shape: Any = _VECTORS()
        self.model: Any = _MODEL(C=STRENGTH, max_iter=3000)
        self.model.fit(
            self.shape.fit_transform([self._flat(row) for row in rows]),
            [row.claim for row in rows],
            sample_weight=[2 / families[row.page.family] for row in rows],
        )

    def _flat(self, row: Row) -> dict[str, float]:
        return {
            f"{kind} {mark}": value * self.scale[kind, mark]
            for kind, marked in row.having.items()
            for mark, value in marked.items()
            if (kind, mark) in self.scale
        }

    def odds(self, rows: list[Row]) -> list[float]:
        """Give the log odds of pages."""
        flat = self.shape.transform([self._flat(row) for row in rows])
        return [float(value) for value in self.model.decision_function(flat)]

    def weights(self, bar: float) -> Lexicon:
        """Give the weights as they are shipped, with the bar at one half."""
        made: dict[str, dict[str, float]] = {kind: {} for kind in SCALE}
        for name, weight in zip(
            self.shape.get_feature_names_out(), self.model.coef_[0], strict=True
        ):
            kind, _, mark = name.partition(" ")
            made[kind][mark] = float(weight) * self.scale[kind, mark]
        return Lexicon(float(self.model.intercept_[0]) - bar, made.pop("manner"), made)


def parts(rows: list[Row], count: int, seed: int) -> list[tuple[list[Row], list[Row]]]:
    """Part the families: what is learned from, and what is left out."""
    families = sorted({row.page.family for row in rows})
    random.Random(seed).shuffle(families)
    made = []
    for part in range(count):
        left = set(families[part::count])
        made.append(
            (
                [r for r in rows if r.page.family not in left],
                [r for r in rows if r.page.family in left],
            )
        )
    return made


def bar_of(rows: list[Row], seed: int) -> float:
    """The lowest odds from which left-out families are called with the wanted precision."""
    scored: list[tuple[float, bool]] = []
    for kept, left in parts(rows, INNER, seed):
        odds = Learner(kept).odds(left)
        scored += zip(odds, [row.claim for row in left], strict=True)
    scored.sort(reverse=True)
    right = np.cumsum([claim for _, claim in scored])
    shares = right / np.arange(1, len(scored) + 1)
    last = int(np.flatnonzero(shares >= WANTED)[-1])
    return scored[last][0]


def check(rows: list[Row]) -> None:
    """Judge each family by weights and a bar that were learned without it, and print how well."""
    judged: list[Judgement] = []
    for seed, (kept, left) in enumerate(parts(rows, OUTER, 1)):
        bar = bar_of(kept, seed)
        for row, odds in zip(left, Learner(kept).odds(left), strict=True):
            page = row.page
            judged.append(
                Judgement(
                    page.file, page.label, page.family, page.language, page.half, page.kind,
                    odds - bar, odds >= bar,
                )
            )  # fmt: skip
    groups = {"all": rate(judged)} | by(judged, lambda j: j.language) | by(judged, lambda j: j.kind)
    for name, told in groups.items():
        print(f"{name:22} {told.pages:4} pages: precision {told.precision or 0:.3f}, ", end="")
        print(f"recall {told.recall if told.recall is not None else math.nan:.3f}")
    precision, recall = by_family(judged)
    print("95 % by families: precision {:.3f}–{:.3f}, recall ".format(*precision), end="")
    print("{:.3f}–{:.3f}".format(*recall))
    for wrong in sorted((j for j in judged if not j.right), key=lambda j: j.score):
        print(f"{wrong.score:+.2f} {wrong.label:8} {wrong.file}")


def written(made: Lexicon) -> str:
    """Give the file: of each kind a line a weight."""
    lines = [f"{HEAD}base = {made.base:.3f}", "", "[manner]"]
    lines += [f'"{name}" = {weight:.2f}' for name, weight in sorted(made.manner.items())]
    for kind, table in made.marks.items():
        rows: dict[int, list[str]] = {}
        for mark, weight in sorted(table.items()):
            rows.setdefault(round(weight / STEP[kind]), []).append(mark)
        lines += ["", f"[{kind}]"]
        lines += [
            f'"{step * STEP[kind]:+.2f}" = "{" ".join(rows[step])}"'
            for step in sorted(rows)
            if step
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Learn and write, or check."""
    rows = [row(page) for page in invented() if page.half != "held-out"]
    if "--check" in sys.argv[1:]:
        check(rows)
        return
    made = Learner(rows).weights(bar_of(rows, 1))
    OUT.write_text(written(made), encoding="utf-8")
    print(f"{len(rows)} pages, {OUT.stat().st_size:,} bytes written to {OUT.name}")


if __name__ == "__main__":
    main()
