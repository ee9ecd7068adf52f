"""Learn the word weights of the claims' reading from the known parts of the project's own pages.

Writes `src/wavebreak/policy/claims/words.toml`: run it after pages were added or changed. The part
that is held out is never read. Families weigh alike, however many pages they have.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from wavebreak.claims.folding import fold
from wavebreak.claims.inventing import invented
from wavebreak.claims.learned import stems
from wavebreak.claims.texts import from_html

OUT = Path(__file__).resolve().parent.parent / "src/wavebreak/policy/claims/words.toml"
STRENGTH = 10.0
# scikit-learn has no types.
_VECTORS: Any = TfidfVectorizer
_MODEL: Any = LogisticRegression
HEAD = """# Learned by docs/learn_claim_words.py from the known parts of the page set: a word's
# first letters and its weight in log odds, before the sum is divided by the root of how many
# are known.
"""


def main() -> None:
    """Fit a logistic regression over the presence of word stems, and write its weights."""
    pages = [page for page in invented() if page.half != "held-out"]
    texts = [fold(from_html(page.html).text).text for page in pages]
    counts = Counter(page.family for page in pages)
    shape: Any = _VECTORS(analyzer=stems, binary=True, use_idf=False, min_df=2)
    seen = shape.fit_transform(texts)
    model: Any = _MODEL(C=STRENGTH, max_iter=2000)
    model.fit(
        seen,
        [page.label == "claim" for page in pages],
        sample_weight=[6 / counts[page.family] for page in pages],
    )
    rows = zip(shape.get_feature_names_out(), model.coef_[0], strict=True)
    lines = [f'"{word}" = {weight:.2f}' for word, weight in rows if abs(weight) >= 0.05]
    base = f"base = {model.intercept_[0]:.3f}\n\n[words]\n"
    OUT.write_text(HEAD + base + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(pages)} pages, {len(lines):,} words written to {OUT.name}")


if __name__ == "__main__":
    main()
