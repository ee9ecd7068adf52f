"""Pages drawn and copies made in a process of its own: the same bytes, within limits."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
import typst
from PIL import Image

from wavebreak.errors import ClaimError
from wavebreak_cases.claims import redaction, redaction_process
from wavebreak_cases.claims.config import load_limits
from wavebreak_cases.claims.exhibits import Actor, add_file
from wavebreak_cases.claims.redaction import Marks, PagePictures, Region, TextMark

NOA = Actor("Noa", "here", "a customer, no party", "order 4")
AT = "2026-03-02T09:00:00Z"
MARKS = Marks((TextMark("name", "Dana Levi"),), (Region(2, (0, 0, 200, 200)),))


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """An exhibit of two pages, the second without text."""
    source = tmp_path / "letter.typ"
    source.write_text("Dana Levi ordered it.\n#pagebreak()\n#rect(fill: red)", "utf-8")
    place = tmp_path / "original"
    add_file(bytes(typst.compile(source)), place, NOA, AT, source="a letter")
    return place


def test_copy_of_a_process_has_the_same_bytes(letter: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    made = redaction.redact_exhibit(letter, here, MARKS, NOA, AT)
    assert redaction_process.redact_exhibit(letter, there, MARKS, NOA, AT) == made
    assert made.covered == (1, 2)
    names = sorted(path.name for path in here.iterdir())
    assert [path.name for path in sorted(there.iterdir())] == names
    assert redaction.PDF in names
    for name in names:
        assert (there / name).read_bytes() == (here / name).read_bytes(), name


def test_page_is_drawn_as_the_copy_draws_it(letter: Path, tmp_path: Path) -> None:
    assert redaction.page_pictures(letter) == PagePictures(2, (2,))
    drawn = Image.open(io.BytesIO(redaction_process.draw_page(letter, 2)))
    assert drawn.format == "PNG"
    redaction.redact_exhibit(letter, tmp_path / "copy", MARKS, NOA, AT)
    raw, media = redaction.copy_pictures(tmp_path / "copy", [2])[2]
    assert (Image.open(io.BytesIO(raw)).size, media) == (drawn.size, "image/jpeg")


def test_error_of_a_process_is_the_same(letter: Path, tmp_path: Path) -> None:
    with pytest.raises(ClaimError, match="no page 3"):
        redaction_process.draw_page(letter, 3)
    nowhere = Marks((TextMark("name", "Zed"),), pictures_seen=True)
    with pytest.raises(ClaimError, match="nowhere in the text"):
        redaction_process.redact_exhibit(letter, tmp_path / "copy", nowhere, NOA, AT)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("given", [{"memory_kb": 60_000}, {"seconds": 0}])
def test_process_over_its_limits_is_an_error(
    letter: Path, given: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = load_limits()
    less = msgspec.structs.replace(limits.redaction, **given)
    changed = msgspec.structs.replace(limits, redaction=less)
    monkeypatch.setattr(redaction_process, "load_limits", lambda: changed)
    with pytest.raises(ClaimError, match=r"within its|more memory|at once") as refused:
        redaction_process.draw_page(letter, 1)
    assert refused.value.fix


def test_picture_is_its_page_one_and_a_text_has_none(tmp_path: Path) -> None:
    held = io.BytesIO()
    Image.new("RGB", (40, 20), "red").save(held, "PNG")
    add_file(held.getvalue(), tmp_path / "picture", NOA, AT, source="a photograph")
    add_file(b"Dana Levi", tmp_path / "text", NOA, AT, source="a text")
    assert redaction.page_pictures(tmp_path / "picture") == PagePictures(1, (1,))
    assert Image.open(io.BytesIO(redaction.draw_page(tmp_path / "picture", 1))).size == (40, 20)
    assert redaction.page_pictures(tmp_path / "text") == PagePictures(0, ())
    for place, number in (("picture", 2), ("text", 1)):
        with pytest.raises(ClaimError, match="no page"):
            redaction.draw_page(tmp_path / place, number)
