"""Labels by persons, the project's own pages, and how readings are measured."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from wavebreak import claims
from wavebreak.claims.inventing import sources
from wavebreak.claims.lexicon import LANGUAGES
from wavebreak.errors import ClaimError, FileError

ACTOR, AT = claims.Actor("A. Rao", "bench", "triage", "mandate 12"), "2026-03-04T05:06:07Z"


def test_the_own_pages_are_many_varied_and_always_the_same() -> None:
    pages = list(claims.invented())
    assert len(pages) >= 400
    assert pages == list(claims.invented())
    for label in ("claim", "innocent"):
        ours = [page for page in pages if page.label == label]
        assert len({page.family for page in ours}) >= 40
        assert {page.language for page in ours} == set(LANGUAGES)


def test_no_family_stands_in_two_parts() -> None:
    names = [family.name for source in sources() for family in source.family]
    assert len(names) == len(set(names))


def test_the_own_pages_are_told_apart_as_is_said() -> None:
    pages = list(claims.invented())
    some = sorted({page.family for page in pages})[::12]  # a reading takes a tenth of a second
    judged = list(claims.own(page for page in pages if page.family in some))
    known = claims.rate(j for j in judged if j.half == "known")
    assert (known.precision or 0) >= 0.95
    assert (known.recall or 0) >= 0.90
    precision, recall = claims.by_family(judged)
    assert 0 < precision[0] <= precision[1] <= 1
    assert 0 < recall[0] <= recall[1] <= 1


def test_a_folder_of_labelled_pages_is_measured_and_what_cannot_be_read_is_said(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.html").write_text("<p>Bulk WhatsApp sender, anti-ban, $40, buy now", "utf-8")
    (tmp_path / "b.txt").write_text("Our bakery takes orders on WhatsApp.", "utf-8")
    (tmp_path / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    rows = "a.html,abusive,x,en\nb.txt,benign,y,en\nc.png,claim,x,\nd.html,1,x,\n../e,0,,\n"
    (tmp_path / "labels.csv").write_text("file,label,family,language\n" + rows, "utf-8")
    judged = list(claims.given(tmp_path))
    assert [j.called for j in judged] == [True, False, False, False, False]
    errors = [j.error for j in judged]
    assert errors[:2] == ["", ""]
    assert "not read" in errors[2]
    assert errors[3:] == ["it is not there", "it leads outside the folder"]
    assert claims.rate(judged) == claims.Rate(5, 3, 1, 1)
    assert claims.by(judged, lambda j: j.family)["y"].recall is None


def test_what_a_label_says_of_a_page_is_measured_field_by_field(tmp_path: Path) -> None:
    text = "We send 80,000 WhatsApp messages a day, anti-ban, $40. Write to Sales@shop.example"
    (tmp_path / "a.txt").write_text(text, "utf-8")
    header = "file,label,kind,offers,capacities,prices,contacts,channels,published\n"
    row = "a.txt,claim,ad,bulk; evasion,80000/day; 9/hour,40 USD,sales@shop.example,whatsapp,-\n"
    (tmp_path / "labels.csv").write_text(header + row, "utf-8")
    (judged,) = claims.given(tmp_path)
    assert judged.kind == "ad"
    assert "offers evasion" in judged.why or "words" in judged.why
    found = claims.added([judged.fields])
    assert found["capacities"][::2] == (2, 1)
    assert found["prices"] == found["channels"] == (1, 1, 1)
    assert found["contacts"].both == 1
    assert found["published"] == (0, 0, 0)
    assert found["offers"] == (2, 1, 1)


def test_families_are_drawn_together_so_that_few_of_them_tell_little() -> None:
    def pages(family: str, count: int, called: bool) -> list[claims.Judgement]:
        return [claims.Judgement("f", "claim", family, "en", "", "", 0.9, called)] * count

    many = [page for n in range(50) for page in pages(str(n), 1, n % 10 > 0)]
    few = pages("a", 45, called=True) + pages("b", 5, called=False)
    assert claims.by_family(many) == claims.by_family(many)
    assert claims.by_family(many)[1][0] > 0.75
    assert claims.by_family(few)[1] == (0.0, 1.0)


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "file,label\nx,perhaps\n", "file,label,prices\nx,1,cheap\n"]
)
def test_labels_that_cannot_be_used_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(text, "utf-8")
    with pytest.raises(FileError):
        list(claims.given(tmp_path))


def test_a_person_s_word_is_kept_with_custody_and_the_last_one_stands(tmp_path: Path) -> None:
    claims.take_in(b"bulk sender", tmp_path / "e", ACTOR, AT)
    claims.put_label(tmp_path / "e", "claim", ACTOR, AT, "offers bulk sending", 0.9)
    claims.put_label(tmp_path / "e", "innocent", ACTOR, AT, "it is a quotation")
    assert [label.label for label in claims.labels_of(tmp_path / "e")] == ["claim", "innocent"]
    assert [line.what for line in claims.custody(tmp_path / "e")] == [
        "taken in: upload", "confirmed as a claim", "rejected: no claim",
    ]  # fmt: skip
    assert claims.doubts(tmp_path / "e") == []
    with pytest.raises(ClaimError, match="who gives it and why"):
        claims.put_label(tmp_path / "e", "claim", ACTOR, AT, " ")


def wavebreak(*arguments: str, code: int = 0) -> str:
    command = [str(Path(sys.executable).with_name("wavebreak")), "claim", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_command_takes_reads_labels_and_checks(tmp_path: Path) -> None:
    page, made = tmp_path / "p.html", str(tmp_path / "e")
    text = "<p>We send 80,000 WhatsApp messages a day, no opt-in, anti-ban. $40. "
    page.write_text(text + "80k messages per day! sales@shop.example", "utf-8")
    wavebreak("add", str(page), "-o", made, "--kind", "test_purchase", "--detail", "account=p-1")
    said = wavebreak("read", made, "--html", str(tmp_path / "read.html"))
    assert "claim, " in said
    assert len(re.findall(r"capacity +80,000 messages a day", said)) == 1
    assert max(map(len, said.splitlines())) <= 80
    assert "sales@shop.example" in said
    assert "<mark>" in (tmp_path / "read.html").read_text("utf-8")
    wavebreak("confirm", made, "--reason", "offers bulk sending", "--by", "A. Rao")
    assert "claim by A. Rao" in wavebreak("check", made)
    (tmp_path / "e" / "original.html").write_text("changed", "utf-8")
    assert "SHA-256 differs" in wavebreak("check", made, code=1)
    assert "private ones" in wavebreak("capture", "http://127.0.0.1/", "-o", made + "2", code=2)
    assert "not well formed" in wavebreak(
        "add", str(page), "-o", made + "3", "--detail", "x", code=2
    )


def test_the_command_writes_pages_that_it_can_measure(tmp_path: Path) -> None:
    wavebreak("pages", "-o", str(tmp_path))
    rows = list(csv.DictReader((tmp_path / "labels.csv").read_text("utf-8").splitlines()))
    assert len(rows) == len(list(claims.invented()))
    few = [row for row in rows if row["family"] in ("sender-software", "job-ad")]
    with (tmp_path / "few.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(few)
    said = wavebreak("evaluate", str(tmp_path), "--labels", str(tmp_path / "few.csv"), "--json")
    assert '"precision": 1.0' in said
    half = ("evaluate", str(tmp_path), "--labels", str(tmp_path / "few.csv"), "--half")
    assert "half: known" in wavebreak(*half, "known")
    assert "no such pages" in wavebreak(*half, "new", code=2)
