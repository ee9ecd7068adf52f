"""Learn the word weights of the claims' reading from the known parts of the project's own pages.

Writes `src/wavebreak/policy/claims/words.toml`: run it after pages were added or changed. The part
that is held out is never read. Families weigh alike, however many pages they have. With `--check`
nothing is written: weights are learned without a twelfth of the families, which they then judge,
twelve times over, and precision and recall of all these judgements are printed. The vocabulary and
the concepts were written with the known parts in sight, so that this is still a fair-weather guide.
"""

from __future__ import annotations

import math
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from wavebreak.claims.folding import fold
from wavebreak.claims.inventing import Invented, invented
from wavebreak.claims.judging import weights
from wavebreak.claims.learned import FEWEST, Lexicon, marks, weigh
from wavebreak.claims.reading import read
from wavebreak.claims.texts import from_html

OUT = Path(__file__).resolve().parent.parent / "src/wavebreak/policy/claims/words.toml"
STRENGTH = 10.0
SCALE = {"stems": 1.0, "concepts": 1.5, "pairs": 1.2}
SEEN_IN = {"stems": 2, "concepts": 2, "pairs": 3}
PARTS = 12
# scikit-learn has no types.
_VECTORS: Any = DictVectorizer
_MODEL: Any = LogisticRegression
HEAD = """# Learned by docs/learn_claim_words.py from the known parts of the page set: weights in
# log odds of the first letters of words, of concepts, and of pairs of concepts within a sentence,
# before each sum is divided by the root of how many of its kind are known.
"""


def lexicon(pages: list[Invented], seen: dict[str, dict[str, set[str]]]) -> Lexicon:
    """Fit a logistic regression over the presence of marks."""
    families = Counter(
        (kind, mark)
        for kind, mark, _ in {
            (kind, mark, page.family)
            for page in pages
            for kind in FEWEST
            for mark in seen[page.file][kind]
        }
    )
    rows = [_row(seen[page.file], families) for page in pages]
    shape: Any = _VECTORS()
    counts = Counter(page.family for page in pages)
    model: Any = _MODEL(C=STRENGTH, max_iter=3000)
    model.fit(
        shape.fit_transform(rows),
        [page.label == "claim" for page in pages],
        sample_weight=[2 / counts[page.family] for page in pages],
    )
    made: dict[str, dict[str, float]] = {kind: {} for kind in FEWEST}
    for name, weight in zip(shape.get_feature_names_out(), model.coef_[0], strict=True):
        kind, _, mark = name.partition(" ")
        made[kind][mark] = round(float(weight) * SCALE[kind], 2)
    return Lexicon(round(float(model.intercept_[0]), 3), **made)


def _row(having: dict[str, set[str]], families: Counter[tuple[str, str]]) -> dict[str, float]:
    row: dict[str, float] = {}
    for kind in FEWEST:
        kept = [mark for mark in having[kind] if families[kind, mark] >= SEEN_IN[kind]]
        row |= {
            f"{kind} {mark}": SCALE[kind] / math.sqrt(max(FEWEST[kind], len(kept))) for mark in kept
        }
    return row


def check(pages: list[Invented], seen: dict[str, dict[str, set[str]]]) -> None:
    """Judge each family by weights that were learned without it, and print how well."""
    families = sorted({page.family for page in pages})
    random.Random(1).shuffle(families)
    judged: list[tuple[str, bool, bool]] = []
    for part in range(PARTS):
        left_out = set(families[part::PARTS])
        known = lexicon([page for page in pages if page.family not in left_out], seen)
        judged += [
            (page.half, page.label == "claim", called(page, known))
            for page in pages
            if page.family in left_out
        ]
    for half in ["", *sorted({half for half, _, _ in judged})]:
        ours = [(claim, said) for of, claim, said in judged if half in ("", of)]
        both = sum(claim and said for claim, said in ours)
        print(
            f"{half or 'all':12} {len(ours):4} pages: "
            f"precision {both / max(1, sum(said for _, said in ours)):.3f}, "
            f"recall {both / sum(claim for claim, _ in ours):.3f}"
        )


def called(page: Invented, known: Lexicon) -> bool:
    """Whether a page is called a claim by other words than those that are shipped."""
    by, text = weights(), from_html(page.html)
    reasons = read(text, "2026-01-01T00:00:00Z").reasons
    rest = sum(reason.adds for reason in reasons if not reason.name.startswith("words"))
    odds, _ = weigh(fold(text.text).text, known)
    total = by.score["base"] + rest + by.score["words"] * odds
    return total >= math.log(by.verdict.claim / (1 - by.verdict.claim))


def main() -> None:
    """Learn and write, or check."""
    pages = [page for page in invented() if page.half != "held-out"]
    seen = {page.file: marks(fold(from_html(page.html).text).text) for page in pages}
    if "--check" in sys.argv[1:]:
        check(pages, seen)
        return
    made = lexicon(pages, seen)
    lines = [f"base = {made.base:.3f}"]
    for kind in FEWEST:
        kept = {m: w for m, w in getattr(made, kind).items() if abs(w) >= 0.05}
        lines += [f"\n[{kind}]", *(f'"{mark}" = {weight:.2f}' for mark, weight in kept.items())]
    OUT.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(pages)} pages, {len(lines):,} lines written to {OUT.name}")


if __name__ == "__main__":
    main()
