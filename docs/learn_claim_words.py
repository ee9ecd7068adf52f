"""Learn the weights of the claims' reading from the known parts of the project's own pages.

Writes `learned.toml` and `meaning.toml` under `src/wavebreak/policy/claims`: run it after pages,
vocabulary or concepts were changed; it takes minutes. The part that is held out is never read.
Families weigh alike, however many pages they have. Words and meaning are learned each by itself,
then added. The bar is the lowest score at which families that were left out are called claims with
the wanted precision; the base is shifted so that it lies at one half.

With `--check` nothing is written: both weights and bar are learned without a tenth of the families
(the bar by leaving out families of the rest again), which are then judged, ten times over. Printed
are precision and recall of all these judgements with intervals by drawing families, and what was
judged wrongly. Vocabulary and concepts were written with the known parts in sight, so that this is
still a fair-weather guide. `--without PART` (as files of pages begin: nineteenth)
learns from all other parts and judges that one.
"""

from __future__ import annotations

import hashlib
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

from wavebreak import config
from wavebreak.claims import embeddings
from wavebreak.claims.classifier import FEWEST, Lexicon, look, marks, said
from wavebreak.claims.evaluation import Judgement, by, by_family, rate
from wavebreak.claims.inventing import Invented, Source, invented
from wavebreak.claims.normalize import fold
from wavebreak.claims.page_text import contacts, from_html

OUT = Path(__file__).resolve().parent.parent / "src/wavebreak/policy/claims"
WANTED = 0.95
STRENGTH = 5.0
SCALE = {"manner": 1.0, "concepts": 1.0, "pairs": 2.2, "grams": 2.2}
SEEN_IN = {"manner": 1, "concepts": 2, "pairs": 3, "grams": 3}
STEP = {"concepts": 0.1, "pairs": 0.1, "grams": 0.25}
OUTER, INNER = 10, 8
MEANING_STRENGTH, MEANING_COUNTS = 30.0, 0.5
MEANING_STEP = {"means": 0.001, "spread": 0.0001, "weights": 0.02}
# scikit-learn has no types.
_VECTORS: Any = DictVectorizer
_MODEL: Any = LogisticRegression
HEAD = """\
# Learned by docs/learn_claim_words.py from the known pages, see claims/classifier.py: weights
# in log odds of the page's manner, and by weight the marks that have it: concepts, pairs of them in
# a sentence, runs of four letters (_ is a word's edge). Each of these three sums is divided by the
# root of how many marks of the kind a page has.
"""
MEANING_HEAD = """\
# Learned by docs/learn_claim_words.py from the known pages, see claims/embeddings.py. Numbers
# are whole steps: how far sentences vary, the weight of each wave, the mean of each language.
"""


@dataclass(frozen=True)
class Row:
    """A page, its manner and its marks by kind with their values, and the waves of its meaning."""

    page: Invented
    having: dict[str, dict[str, float]]
    waves: embeddings.Floats

    @property
    def claim(self) -> bool:
        """Whether it is labelled a claim."""
        return self.page.label == "claim"


def rows_of(pages: list[Invented]) -> tuple[list[Row], embeddings.Learned]:
    """Read what pages' scores are made of, as `judge` does; give also means and spread."""
    having, spoken, said_there = [], [], []
    for page in pages:
        document = from_html(page.html)
        folded = fold(document.text)
        seen = look(folded, bool(contacts(document.text, document.links)))
        values = {"manner": {name: value for name, value in seen.manner.items() if value > 0}}
        for kind, present in marks(folded.text).items():
            value = 1 / math.sqrt(max(FEWEST[kind], len(present)))
            values[kind] = dict.fromkeys(present, value)
        having.append(values)
        spoken.append(seen.language)
        said_there.append(said(document.text, folded, seen.sentences))
    scale = scale_of(dict(zip(map(tuple, said_there), spoken, strict=True)))
    waved = [
        embeddings.page(embeddings.waved(one, language, scale))[0]
        for one, language in zip(said_there, spoken, strict=True)
    ]
    return [Row(*one) for one in zip(pages, having, waved, strict=True)], scale


def scale_of(spoken: dict[tuple[str, ...], str]) -> embeddings.Learned:
    """Give the mean of each language's sentences and what is left of variation, each once."""
    by_language: dict[str, dict[str, None]] = {}
    for page, language in spoken.items():
        by_language.setdefault(language, {}).update(dict.fromkeys(map(embeddings.cleaned, page)))
    found = {name: embeddings.vectors(texts) for name, texts in by_language.items() if name}
    means = {name: _stepped(made.mean(axis=0), "means") for name, made in found.items()}
    left = np.vstack([made - means[name] for name, made in found.items()])
    whole = np.vstack(list(found.values())).mean(axis=0)
    return embeddings.Learned(
        {"": _stepped(whole, "means"), **dict(sorted(means.items()))},
        _stepped(left.std(axis=0), "spread"),
        np.zeros(embeddings.WAVES, np.float32),
    )


def _stepped(made: embeddings.Floats, what: str) -> embeddings.Floats:
    step = np.float32(MEANING_STEP[what])
    return np.asarray(np.rint(made / step) * step, np.float32)


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
        claim = [row.claim for row in rows]
        weight = [2 / families[row.page.family] for row in rows]
        self.shape: Any = _VECTORS()
        self.model: Any = _MODEL(C=STRENGTH, max_iter=3000)
        flat = self.shape.fit_transform([self._flat(row) for row in rows])
        self.model.fit(flat, claim, sample_weight=weight)
        waved = np.array([row.waves for row in rows])
        middle = waved.mean(axis=0)
        meant: Any = _MODEL(C=MEANING_STRENGTH, max_iter=1000)
        meant.fit(waved - middle, claim, sample_weight=weight)
        self.meant = _stepped(MEANING_COUNTS * meant.coef_[0], "weights")
        self.base = float(self.model.intercept_[0] + MEANING_COUNTS * meant.intercept_[0])
        self.base -= float(middle @ self.meant)

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
        words = flat @ self.model.coef_[0]
        meant = np.array([row.waves for row in rows]) @ self.meant
        return [float(value) + self.base for value in words + meant]

    def weights(self, bar: float) -> Lexicon:
        """Give the weights as they are shipped, with the bar at one half."""
        made: dict[str, dict[str, float]] = {kind: {} for kind in SCALE}
        for name, weight in zip(
            self.shape.get_feature_names_out(), self.model.coef_[0], strict=True
        ):
            kind, _, mark = name.partition(" ")
            made[kind][mark] = float(weight) * self.scale[kind, mark]
        return Lexicon(self.base - bar, made.pop("manner"), made)


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


def check(split: list[tuple[list[Row], list[Row]]]) -> None:
    """Judge what is left out by weights and a bar that are learned without, and print how well."""
    judged: list[Judgement] = []
    for seed, (kept, left) in enumerate(split):
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


def written_meaning(known: embeddings.Learned, weights: embeddings.Floats) -> str:
    """Give the file of what sentences mean: whole numbers of steps."""

    def row(made: embeddings.Floats, what: str) -> str:
        return " ".join(str(int(one)) for one in np.rint(made / MEANING_STEP[what]))

    steps = ", ".join(f"{name} = {step}" for name, step in MEANING_STEP.items())
    digest = hashlib.sha256(embeddings.model_path().read_bytes()).hexdigest()
    lines = [MEANING_HEAD, f'model = "{digest}"', f"step = {{ {steps} }}"]
    lines += [f'spread = "{row(known.spread, "spread")}"']
    lines += [f'weights = "{row(weights, "weights")}"', "", "[means]"]
    lines += [f'"{name}" = "{row(made, "means")}"' for name, made in known.means.items()]
    return "\n".join(lines) + "\n"


def part_of() -> dict[str, str]:
    """Give the part that each family stands in."""
    found = {}
    for path in sorted(config.chosen("claims/pages").glob("*.toml")):
        for family in config.read(path, Source).family:
            found[family.name] = path.stem.partition("-")[0]
    return found


def main() -> None:
    """Learn and write, or check."""
    rows, scale = rows_of([page for page in invented() if page.half != "held-out"])
    match sys.argv[1:]:
        case ["--check"]:
            check(parts(rows, OUTER, 1))
        case ["--without", part]:
            of = part_of()
            left = [row for row in rows if of[row.page.family] == part]
            check([([row for row in rows if of[row.page.family] != part], left)])
        case _:
            made = Learner(rows)
            words, meant = OUT / "learned.toml", OUT / "meaning.toml"
            words.write_text(written(made.weights(bar_of(rows, 1))), encoding="utf-8")
            meant.write_text(written_meaning(scale, made.meant), encoding="utf-8")
            sizes = words.stat().st_size, meant.stat().st_size
            print(f"{len(rows)} pages, {sizes[0]:,} and {sizes[1]:,} bytes written")


if __name__ == "__main__":
    main()
