"""Evaluation of readings against labelled pages, and its command."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.claim_commands import claim
from wavebreak.errors import FileError
from wavebreak_cases import claims


def test_evaluation_counts_unreadable_pages_as_not_flagged(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>Bulk WhatsApp sender, anti-ban, $40, buy now", "utf-8")
    (tmp_path / "b.txt").write_text("Our bakery takes orders on WhatsApp.", "utf-8")
    (tmp_path / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    rows = "a.html,abusive,x,en\nb.txt,benign,y,en\nc.png,claim,x,\nd.html,1,x,\n../e,0,,\n"
    (tmp_path / "labels.csv").write_text("file,label,family,language\n" + rows, "utf-8")
    results = list(claims.evaluate_pages(tmp_path))
    assert [page.flagged for page in results] == [True, False, False, False, False]
    errors = [page.error for page in results]
    assert errors[:2] == ["", ""]
    assert "not recognised" in errors[2]
    assert errors[3:] == ["there is no such file", "the path leads outside the folder"]
    assert claims.count_results(results) == claims.Counts(5, 3, 1, 1, 1, 0)
    assert claims.count_by(results, lambda page: page.family)["y"].recall is None


def test_evaluation_counts_labelled_fields(tmp_path: Path) -> None:
    text = "We send 80,000 WhatsApp messages a day, anti-ban, $40. Write to Sales@shop.example"
    (tmp_path / "a.txt").write_text(text, "utf-8")
    header = "file,label,kind,offers,capacities,prices,contacts,channels,published\n"
    row = "a.txt,claim,ad,bulk; evasion,80000/day; 9/hour,40 USD,sales@shop.example,whatsapp,-\n"
    (tmp_path / "labels.csv").write_text(header + row, "utf-8")
    (result,) = claims.evaluate_pages(tmp_path)
    assert result.kind == "ad"
    assert "offers evasion" in result.why or "words" in result.why
    counts = claims.sum_field_counts([result.fields])
    assert counts["capacities"][::2] == (2, 1)
    assert counts["prices"] == counts["channels"] == (1, 1, 1)
    assert counts["contacts"].matched == 1
    assert counts["published"] == (0, 0, 0)
    assert counts["offers"] == (2, 1, 1)


def test_family_bootstrap_with_few_families_gives_wide_interval() -> None:
    def pages(family: str, count: int, flagged: bool) -> list[claims.PageResult]:
        return [claims.PageResult("f", "claim", family, "en", "", "", 0.9, flagged)] * count

    many = [page for n in range(50) for page in pages(str(n), 1, n % 10 > 0)]
    few = pages("a", 45, flagged=True) + pages("b", 5, flagged=False)
    assert claims.bootstrap_by_family(many) == claims.bootstrap_by_family(many)
    assert claims.bootstrap_by_family(many)[1][0] > 0.75
    assert claims.bootstrap_by_family(few)[1] == (0.0, 1.0)


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "file,label\nx,perhaps\n", "file,label,prices\nx,1,cheap\n"]
)
def test_evaluation_with_invalid_labels_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(text, "utf-8")
    with pytest.raises(FileError):
        list(claims.evaluate_pages(tmp_path))


def test_evaluate_command_filters_by_split(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>Bulk WhatsApp sender, anti-ban, $40, buy now", "utf-8")
    (tmp_path / "b.txt").write_text("Our bakery takes orders on WhatsApp.", "utf-8")
    rows = "a.html,claim,heldout\nb.txt,benign,development\n"
    (tmp_path / "labels.csv").write_text("file,label,split\n" + rows, "utf-8")
    evaluate = ("evaluate", str(tmp_path))
    assert '"precision": 1.0' in claim(*evaluate, "--json")
    assert "split: heldout" in claim(*evaluate, "--split", "heldout")
    assert claim(*evaluate, "--half", "held-out") == claim(*evaluate, "--split", "heldout")
    assert "development" in claim(*evaluate, "--split", "new", code=2)


def test_labels_of_0_1_with_halves_are_read_as_splits(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("Our bakery takes orders on WhatsApp.", "utf-8")
    (tmp_path / "labels.csv").write_text("file,label,half\nb.txt,innocent,known\n", "utf-8")
    (result,) = claims.evaluate_pages(tmp_path)
    assert (result.label, result.split) == ("benign", "development")
