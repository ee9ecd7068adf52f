"""Learning the shipped weights of the claims reader from the development split of the corpus.

`learn` writes `learned.toml` and `meaning.toml` in the shipped `policy/claims`; run it after pages,
vocabulary or concepts have changed. It takes minutes and never reads the heldout split.
Families weigh alike, however many pages they have. Words and meaning are learned separately, then
added. The threshold is the lowest score at which the precision over left-out families is still
`PRECISION`; the intercept is shifted so that this threshold is one half.

`cross_validate` writes nothing: weights and threshold are learned without a tenth of the families
(the threshold by leaving out families of the rest again), which are then classified, ten times
over. Vocabulary and concepts were written with the development split in sight, so the result is
optimistic. `leave_part_out` learns from all files but those of one part (the first word of a
file's name: `nineteenth`) and classifies that one.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from experiments.claims_corpus.corpus import CorpusPage, generate_pages, read_files
from wavebreak.errors import UsageError
from wavebreak_cases.claims import embeddings
from wavebreak_cases.claims.classifier import (
    MIN_FEATURES,
    Lexicon,
    extract_features,
    original_sentences,
    text_features,
)
from wavebreak_cases.claims.evaluation import PageResult
from wavebreak_cases.claims.normalize import fold
from wavebreak_cases.claims.page_text import find_contacts, parse_html

OUT = Path(__file__).resolve().parents[2] / "packages/engine/src/wavebreak/policy/claims"
PRECISION = 0.95
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
# Learned by experiments/claims_corpus/learn_weights.py, see claims/classifier.py: weights
# in log odds of the page's manner, and by weight the marks that have it: concepts, pairs of them in
# a sentence, runs of four letters (_ is a word's edge). Each of these three sums is divided by the
# root of how many marks of the kind a page has.
"""
MEANING_HEAD = """\
# Learned by experiments/claims_corpus/learn_weights.py, see claims/embeddings.py. Numbers
# are whole steps: how far sentences vary, the weight of each wave, the mean of each language.
"""


@dataclass(frozen=True)
class Row:
    """The features of a page: its manner, its tokens by kind, the waves of its meaning."""

    page: CorpusPage
    having: dict[str, dict[str, float]]
    waves: embeddings.Floats

    @property
    def claim(self) -> bool:
        """Whether it is labelled a claim."""
        return self.page.label == "claim"


def feature_rows(pages: list[CorpusPage]) -> tuple[list[Row], embeddings.MeaningModel]:
    """Return the features of pages, as `classify` computes them, with means and spread."""
    having, spoken, said_there = [], [], []
    for page in pages:
        document = parse_html(page.html)
        folded = fold(document.text)
        seen = extract_features(folded, bool(find_contacts(document.text, document.links)))
        values = {"manner": {name: value for name, value in seen.manner.items() if value > 0}}
        for kind, present in text_features(seen.text).items():
            value = 1 / math.sqrt(max(MIN_FEATURES[kind], len(present)))
            values[kind] = dict.fromkeys(present, value)
        having.append(values)
        spoken.append(seen.language)
        said_there.append(original_sentences(document.text, folded, seen.weighed))
    scale = embedding_scale(dict(zip(map(tuple, said_there), spoken, strict=True)))
    waved = [
        embeddings.page_features(embeddings.sentence_features(one, language, scale))[0]
        for one, language in zip(said_there, spoken, strict=True)
    ]
    return [Row(*one) for one in zip(pages, having, waved, strict=True)], scale


def embedding_scale(spoken: dict[tuple[str, ...], str]) -> embeddings.MeaningModel:
    """Return the mean of each language's sentences and the spread around it, each sentence once."""
    by_language: dict[str, dict[str, None]] = {}
    for page, language in spoken.items():
        by_language.setdefault(language, {}).update(dict.fromkeys(map(embeddings.clean_text, page)))
    found = {name: embeddings.embed(texts) for name, texts in by_language.items() if name}
    means = {name: _stepped(made.mean(axis=0), "means") for name, made in found.items()}
    left = np.vstack([made - means[name] for name, made in found.items()])
    whole = np.vstack(list(found.values())).mean(axis=0)
    return embeddings.MeaningModel(
        {"": _stepped(whole, "means"), **dict(sorted(means.items()))},
        _stepped(left.std(axis=0), "spread"),
        np.zeros(embeddings.FEATURES, np.float32),
    )


def _stepped(made: embeddings.Floats, what: str) -> embeddings.Floats:
    step = np.float32(MEANING_STEP[what])
    return np.asarray(np.rint(made / step) * step, np.float32)


class Learner:
    """A logistic regression over manner and tokens; rare tokens are scaled up."""

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
        """Return the log odds of pages."""
        flat = self.shape.transform([self._flat(row) for row in rows])
        words = flat @ self.model.coef_[0]
        meant = np.array([row.waves for row in rows]) @ self.meant
        return [float(value) + self.base for value in words + meant]

    def weights(self, threshold: float) -> Lexicon:
        """Return the weights to ship, with the threshold at one half."""
        made: dict[str, dict[str, float]] = {kind: {} for kind in SCALE}
        for name, weight in zip(
            self.shape.get_feature_names_out(), self.model.coef_[0], strict=True
        ):
            kind, _, mark = name.partition(" ")
            made[kind][mark] = float(weight) * self.scale[kind, mark]
        return Lexicon(self.base - threshold, made.pop("manner"), made)


def split_families(rows: list[Row], count: int, seed: int) -> list[tuple[list[Row], list[Row]]]:
    """Split the families into `count` folds: rows to learn from, and rows left out."""
    families = sorted({row.page.family for row in rows})
    random.Random(seed).shuffle(families)
    folds = []
    for start in range(count):
        left = set(families[start::count])
        folds.append(
            (
                [r for r in rows if r.page.family not in left],
                [r for r in rows if r.page.family in left],
            )
        )
    return folds


def find_threshold(rows: list[Row], seed: int) -> float:
    """Return the lowest log odds at which the precision over left-out families is `PRECISION`."""
    scored: list[tuple[float, bool]] = []
    for train, test in split_families(rows, INNER, seed):
        odds = Learner(train).odds(test)
        scored += zip(odds, [row.claim for row in test], strict=True)
    scored.sort(reverse=True)
    true_positives = np.cumsum([claim for _, claim in scored])
    precision = true_positives / np.arange(1, len(scored) + 1)
    last = int(np.flatnonzero(precision >= PRECISION)[-1])
    return scored[last][0]


def cross_validate(rows: list[Row]) -> list[PageResult]:
    """Classify every family by weights that were learned without it."""
    return _classify(split_families(rows, OUTER, 1))


def leave_part_out(rows: list[Row], part: str) -> list[PageResult]:
    """Classify one part of the corpus by weights that were learned from all others."""
    parts = family_parts()
    if part not in parts.values():
        known = ", ".join(dict.fromkeys(parts.values()))
        raise UsageError(f"there is no part `{part[:40]}`", fix=f"choose from {known}")
    train = [row for row in rows if parts[row.page.family] != part]
    test = [row for row in rows if parts[row.page.family] == part]
    return _classify([(train, test)])


def _classify(folds: list[tuple[list[Row], list[Row]]]) -> list[PageResult]:
    results: list[PageResult] = []
    for seed, (train, test) in enumerate(folds):
        threshold = find_threshold(train, seed)
        for row, odds in zip(test, Learner(train).odds(test), strict=True):
            page = row.page
            results.append(
                PageResult(
                    page.file, page.label, page.family, page.language, page.split, page.kind,
                    odds - threshold, odds >= threshold,
                )
            )  # fmt: skip
    return results


def encode_words(made: Lexicon) -> str:
    """Return the content of `learned.toml`: by kind one line a weight."""
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


def encode_meaning(known: embeddings.MeaningModel, weights: embeddings.Floats) -> str:
    """Return the content of `meaning.toml`: whole numbers of steps."""

    def row(made: embeddings.Floats, what: str) -> str:
        return " ".join(str(int(one)) for one in np.rint(made / MEANING_STEP[what]))

    steps = ", ".join(f"{name} = {step}" for name, step in MEANING_STEP.items())
    digest = hashlib.sha256(embeddings.model_path().read_bytes()).hexdigest()
    lines = [MEANING_HEAD, f'model = "{digest}"', f"step = {{ {steps} }}"]
    lines += [f'spread = "{row(known.spread, "spread")}"']
    lines += [f'weights = "{row(weights, "weights")}"', "", "[means]"]
    lines += [f'"{name}" = "{row(made, "means")}"' for name, made in known.means.items()]
    return "\n".join(lines) + "\n"


def family_parts() -> dict[str, str]:
    """Return the part of the corpus that each family belongs to."""
    return {
        family.name: name.partition("-")[0]
        for name, source in read_files().items()
        for family in source.family
    }


def development_rows() -> tuple[list[Row], embeddings.MeaningModel]:
    """Return the features of the development split, and the scaling of sentence embeddings."""
    return feature_rows([page for page in generate_pages() if page.split == "development"])


def learn(directory: Path = OUT) -> list[Path]:
    """Learn the weights and write both files into a directory; return their paths."""
    rows, scale = development_rows()
    learner = Learner(rows)
    words, meaning = directory / "learned.toml", directory / "meaning.toml"
    lexicon = learner.weights(find_threshold(rows, 1))
    words.write_text(encode_words(lexicon), encoding="utf-8")
    meaning.write_text(encode_meaning(scale, learner.meant), encoding="utf-8")
    return [words, meaning]
