"""The labelled claims corpus of `experiments/claims_corpus`, and its command line."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

from experiments.claims_corpus import corpus
from wavebreak_cases import claims
from wavebreak_cases.claims.lexicon import LANGUAGES

ROOT = Path(__file__).parents[2]


def test_corpus_pages_are_many_varied_and_reproducible() -> None:
    pages = list(corpus.generate_pages())
    assert len(pages) >= 400
    assert pages == list(corpus.generate_pages())
    for label in ("claim", "benign"):
        ours = [page for page in pages if page.label == label]
        assert len({page.family for page in ours}) >= 40
        assert {page.language for page in ours} == set(LANGUAGES)


def test_corpus_families_have_unique_names() -> None:
    names = [family.name for source in corpus.read_files().values() for family in source.family]
    assert len(names) == len(set(names))


def test_corpus_sample_reaches_documented_precision_and_recall() -> None:
    pages = list(corpus.generate_pages())
    some = sorted({page.family for page in pages})[::12]
    both = [page for page in pages if page.family in some]
    # A reading takes a tenth of a second: of each text one page, of the next the other one.
    results = list(corpus.evaluate_corpus(page for at, page in enumerate(both) if at % 4 in (0, 3)))
    counts = claims.count_results(r for r in results if r.split == "development")
    assert (counts.precision or 0) >= 0.95
    assert (counts.recall or 0) >= 0.90
    precision, recall = claims.bootstrap_by_family(results)
    assert 0 < precision[0] <= precision[1] <= 1
    assert 0 < recall[0] <= recall[1] <= 1


def test_corpus_command_writes_pages_with_labels(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "experiments.claims_corpus", "pages", "-o", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    rows = list(csv.DictReader((tmp_path / "labels.csv").read_text("utf-8").splitlines()))
    assert len(rows) == len(list(corpus.generate_pages()))
    few = [row for row in rows if row["family"] in ("sender-software", "job-ad")]
    with (tmp_path / "few.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(few)
    results = list(claims.evaluate_pages(tmp_path, tmp_path / "few.csv"))
    assert claims.count_results(results).precision == 1.0
