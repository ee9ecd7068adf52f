"""The list of real pages: no text, sources in one split, pages found by their digests."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

from experiments.claims_corpus import learn_pages, real_pages
from wavebreak.errors import UsageError
from wavebreak_cases.claims.classifier import grams


def rows() -> list[dict[str, str]]:
    with real_pages.LIST.open(encoding="utf-8", newline="") as listed:
        return list(csv.DictReader(listed))


def test_listed_pages_have_addresses_digests_and_no_text() -> None:
    for row in rows():
        assert set(row) == {"address", "sha256", "language", "label", "split", "source"}
        assert row["address"].startswith(("https://", "http://"))
        assert len(row["sha256"]) == 64
        assert row["label"] in ("claim", "benign")
    digests = [row["sha256"] for row in rows()]
    assert len(digests) == len(set(digests))


def test_pages_of_a_source_are_in_one_split() -> None:
    splits: dict[str, set[str]] = {}
    for row in rows():
        splits.setdefault(row["source"], set()).add(row["split"])
    assert all(len(names) == 1 for names in splits.values())
    assert set().union(*splits.values()) == {"learning", "held", "fresh"}


def test_letters_are_learned_from_pages_of_other_sources() -> None:
    words = {True: "bulk sender anti ban", False: "appointment reminder clinic"}
    made = [
        learn_pages.PageRow(frozenset(grams(words[claim])), claim, f"{at} {claim} {odds}", odds)
        for at in range(5)
        for claim in words
        for odds in (float(at), None)
    ]
    tested, odds = learn_pages.left_out_odds(made)
    assert len(tested) == 10
    assert all((value > 0) == row.claim for row, value in zip(tested, odds, strict=True))
    assert learn_pages.LetterModel(made).weights()["bulk"] > 0


def test_pages_are_found_by_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Bulk WhatsApp sender, anti-ban, $40, buy now. Write to @bulk_shop"
    digest = hashlib.sha256(text.encode()).hexdigest()
    listed = tmp_path / "list.csv"
    listed.write_text(
        "address,sha256,language,label,split,source\n"
        f"https://shop.example/,{digest},en,claim,held,web:shop.example\n",
        "utf-8",
    )
    monkeypatch.setattr(real_pages, "LIST", listed)
    pages = tmp_path / "pages"
    pages.mkdir()
    with pytest.raises(UsageError):
        real_pages.load_pages(pages)
    (pages / "any name.txt").write_text(text, "utf-8")
    (page,) = real_pages.load_pages(pages, "held")
    (result,) = real_pages.evaluate_pages([page])
    assert (result.file, result.family) == ("https://shop.example/", "web:shop.example")
    assert result.found
