"""Learning what real pages add to the reader: weights of runs of four letters (`pages.toml`).

The rules, concepts and meanings are learned from pages that the project wrote (`learn_weights`).
Real pages speak otherwise. Here a logistic regression over runs of letters learns from the real
pages of the split `learning` and the project's own pages of the development split, both with the
same total weight; sources and families weigh alike, however many pages they have.

Its sum is scaled to vary as much as the rules' does over real pages, and added to it. Both the
scale and the shift come from pages whose source was left out: the shift puts the lowest score at
which the precision is still `PRECISION` at one half. Split `held` is never read here.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from experiments.claims_corpus import corpus, real_pages
from experiments.claims_corpus.learn_weights import OUT, PRECISION
from wavebreak_cases.claims.classifier import (
    LETTERS_OF_PAGES,
    MIN_FEATURES,
    leading_grams,
    load_lexicon,
)
from wavebreak_cases.claims.evaluation import READ_AT
from wavebreak_cases.claims.normalize import fold
from wavebreak_cases.claims.page_text import parse_html, parse_text
from wavebreak_cases.claims.reader import read

Floats = NDArray[np.float64]
STRENGTH, SEEN_IN, FOLDS, STEP = 5.0, 3, 10, 0.25
# scikit-learn has no types.
_VECTORS: Any = DictVectorizer
_MODEL: Any = LogisticRegression
HEAD = """\
# Learned by experiments/claims_corpus/learn_pages.py, see claims/classifier.py: by weight in log
# odds the runs of four letters (_ is a word's edge) of the beginnings of real pages. Their sum is
# divided by the root of how many runs a page has; `base` is added to every page.
"""


@dataclass(frozen=True)
class PageRow:
    """A page: its runs of letters, whether it is a claim, its source or family, the rules' sum.

    The rules' log odds are of real pages only.
    """

    marks: frozenset[str]
    claim: bool
    group: str
    rules: float | None = None


def page_rows(directory: Path) -> list[PageRow]:
    """Return the real pages of the split `learning` that a folder has, and the project's own."""
    rows = []
    for page in real_pages.load_pages(directory, "learning"):
        reading = read(parse_text(page.text), READ_AT)
        odds = load_lexicon().base + math.fsum(
            reason.adds for reason in reading.reasons if reason.name != LETTERS_OF_PAGES
        )
        marks = frozenset(leading_grams(fold(reading.text).text))
        rows.append(PageRow(marks, page.label == "claim", page.source, odds))
    first: dict[tuple[str, str], corpus.CorpusPage] = {}
    for own in corpus.generate_pages():
        if own.split == "development":
            first.setdefault((own.family, own.language), own)
    for own in first.values():
        marks = frozenset(leading_grams(fold(parse_html(own.html).text).text))
        rows.append(PageRow(marks, own.label == "claim", f"family {own.family}"))
    return rows


class LetterModel:
    """A logistic regression over runs of letters; those that few sources have are scaled up."""

    def __init__(self, rows: list[PageRow]) -> None:
        groups = Counter(row.group for row in rows)
        seen = Counter(mark for mark, _ in {(m, row.group) for row in rows for m in row.marks})
        self.scale = {
            mark: 1 + math.log((1 + len(groups)) / (1 + n))
            for mark, n in seen.items()
            if n >= SEEN_IN
        }
        weight = np.array([1 / groups[row.group] for row in rows])
        real = np.array([row.rules is not None for row in rows])
        for part in (real, ~real):
            weight[part] *= real.sum() / weight[part].sum()
        self.shape: Any = _VECTORS()
        self.model: Any = _MODEL(C=STRENGTH, max_iter=500)
        flat = self.shape.fit_transform([self._flat(row) for row in rows])
        self.model.fit(flat, [row.claim for row in rows], sample_weight=weight)

    def _flat(self, row: PageRow) -> dict[str, float]:
        root = math.sqrt(max(MIN_FEATURES["grams"], len(row.marks)))
        return {mark: self.scale[mark] / root for mark in row.marks if mark in self.scale}

    def odds(self, rows: list[PageRow]) -> Floats:
        """Return the log odds of pages."""
        flat = self.shape.transform([self._flat(row) for row in rows])
        return np.asarray(self.model.decision_function(flat))

    def weights(self) -> dict[str, float]:
        """Return the weight of each run of letters."""
        names = self.shape.get_feature_names_out()
        return {
            mark: float(weight) * self.scale[mark]
            for mark, weight in zip(names, self.model.coef_[0], strict=True)
        }


def left_out_odds(rows: list[PageRow], seed: int = 1) -> tuple[list[PageRow], Floats]:
    """Return the real pages, and their log odds by weights learned without their source."""
    groups = sorted({row.group for row in rows})
    random.Random(seed).shuffle(groups)
    tested: list[PageRow] = []
    odds: list[float] = []
    for start in range(FOLDS):
        left = set(groups[start::FOLDS])
        test = [row for row in rows if row.group in left and row.rules is not None]
        model = LetterModel([row for row in rows if row.group not in left])
        tested += test
        odds += model.odds(test).tolist() if test else []
    return tested, np.array(odds)


def learn(directory: Path, out: Path = OUT) -> tuple[Path, str]:
    """Learn from a folder of real pages, write `pages.toml`, and return its path and what it says.

    What it says is the recall of pages whose source was left out, at the precision `PRECISION`.
    """
    rows = page_rows(directory)
    tested, letters = left_out_odds(rows)
    rules = np.array([row.rules for row in tested], float)
    scale = float(rules.std() / letters.std())
    combined = rules + scale * letters
    order = np.argsort(-combined)
    claims = np.array([row.claim for row in tested])[order]
    precision = np.cumsum(claims) / np.arange(1, len(claims) + 1)
    last = int(np.flatnonzero(precision >= PRECISION)[-1])
    model = LetterModel(rows)
    base = scale * float(model.model.intercept_[0]) - float(combined[order][last])
    by_weight: dict[int, list[str]] = {}
    for mark, weight in sorted(model.weights().items()):
        by_weight.setdefault(round(scale * weight / STEP), []).append(mark)
    lines = [f"{HEAD}base = {base:.3f}", "", "[grams]"]
    lines += [
        f'"{step * STEP:+.2f}" = "{" ".join(by_weight[step])}"'
        for step in sorted(by_weight)
        if step
    ]
    path = out / "pages.toml"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    recall = float(claims[: last + 1].sum() / claims.sum())
    return (
        path,
        f"recall {recall:.3f} at precision {PRECISION} of {len(tested)} left-out real pages",
    )
