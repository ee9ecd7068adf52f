"""Redaction of an exhibit from the console: marks, preview, the sealed step; by counsel alone."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

import typst
from PIL import Image, ImageDraw

from support.console_harness import RunningConsole, Visitor
from support.legal_cases import PAGE, case_visits, queried, served_case, store_of, text_of
from wavebreak_cases.cases.case import ExhibitRedacted
from wavebreak_cases.claims import redaction
from wavebreak_cases.claims.exhibits import Actor
from wavebreak_cases.claims.redaction import Marks, Region, TextMark
from wavebreak_cases.pages.demo_case import CASE_ID
from wavebreak_server.storage.models import AuditEntry

AT = "2026-03-02T09:00:00Z"
REDACT = f"{PAGE}/exhibits/E4/redact"
LETTER = """
Our customer Dana Levi, +972 50-123-4567, dana.levi\\@home.example, ordered it. Call 03-555-0100.
#pagebreak()
#rect(width: 100%, height: 30%, fill: red)
"""
REGION = {"page": "2", "left": "0", "top": "0", "right": "1000", "bottom": "500"}


async def audited() -> list[tuple[str, str, str]]:
    """Who redacted what and why, as the audit log says."""
    return await queried(
        lambda: list(
            AuditEntry.objects.filter(action="redact_exhibit")
            .order_by("number")
            .values_list("key", "object", "reason")
        )
    )


async def take_in(counsel: Visitor, directory: Path, text: str = LETTER) -> bytes:
    """Take a letter in as E4, a PDF; return it."""
    source = directory / "letter.typ"
    source.write_text(text, "utf-8")
    raw = bytes(typst.compile(source))
    await upload(counsel, raw)
    return raw


async def upload(counsel: Visitor, raw: bytes) -> None:
    page = f"{PAGE}/act/add_exhibit"
    fields = {"kind": "claim", "title": "A letter", "authority": "order 4", "reason": "an answer"}
    answer = await counsel.client.post(
        page,
        data={"csrfmiddlewaretoken": await counsel.token(page)} | fields,
        files={"file": ("letter.pdf", raw)},
    )
    assert answer.status_code == 302, text_of(answer.text)


def form_of(page: str) -> dict[str, list[str]]:
    """The hidden fields of a page's form that confirms."""
    form = next(f for f in re.findall(r"<form.*?</form>", page, re.DOTALL) if "confirmed" in f)
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form):
        found.setdefault(name, []).append(unescape(value))
    return found


async def send(visitor: Visitor, fields: Mapping[str, Any], at: str = REDACT) -> Any:
    token = {"csrfmiddlewaretoken": await visitor.token("/console/profile")}
    return await visitor.client.post(at, data={**fields, **token})


def region_fields(**edges: str) -> dict[str, str]:
    return {f"region_{name}": value for name, value in {**REGION, **edges}.items()}


@case_visits
async def test_pdf_is_previewed_then_redacted_as_by_command(
    console: RunningConsole, tmp_path: Path
) -> None:
    counsel = await console.person("counsel", "dana")
    await take_in(counsel, tmp_path)
    before = len(served_case(console).steps)
    page = (await counsel.get(REDACT)).text
    assert f'href="{REDACT}"' in (await counsel.get(f"{PAGE}/exhibits/E4")).text
    assert f'src="{PAGE}/exhibits/E4/pages/2"' in page
    assert page.count("no text to search") == 1
    suggested = [unescape(v) for v in re.findall(r'name="suggested" value="([^"]+)"', page)]
    assert sorted(suggested) == [
        "mail:dana.levi@home.example", "phone:+972 50-123-4567", "phone:03-555-0100",
    ]  # fmt: skip
    drawn = await counsel.get(f"{PAGE}/exhibits/E4/pages/2")
    assert Image.open(io.BytesIO(drawn.content)).format == "PNG"
    assert drawn.headers["content-security-policy"] == "default-src 'none'; sandbox"

    chosen = [value for value in suggested if "03-555" not in value]
    fields = {"suggested": chosen, "names": "dana levi\n\n", "seen": str(before)}
    shown = await send(counsel, fields | region_fields())
    assert shown.status_code == 200, text_of(shown.text)
    words = text_of(shown.text)
    assert "Mail 1 in the text Name 1 in the text Phone 1 in the text Regions 1" in words
    assert "Page 1 of the copy" in words
    assert "03-555-0100" in words
    copies = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', shown.text)
    assert len(copies) == 2
    second = Image.open(io.BytesIO(base64.b64decode(copies[1]))).convert("L")
    half = second.crop((20, 20, second.width - 20, second.height // 2 - 20))
    assert max(half.tobytes()) < 40
    assert len(served_case(console).steps) == before
    assert await audited() == []

    confirmed = form_of(shown.text)
    assert confirmed["suggested"] == chosen
    done = await send(counsel, confirmed | {"reason": "a customer, no party"})
    assert done.headers["location"] == f"{PAGE}/exhibits/E4", text_of(done.text)
    case = served_case(console)
    step = case.steps[-1]
    assert isinstance(step.did, ExhibitRedacted)
    assert (step.by, step.role, step.why) == ("user:dana", "counsel", "a customer, no party")
    assert await audited() == [("user:dana", CASE_ID, "a customer, no party")]
    assert "A redacted copy." in (await counsel.get(f"{PAGE}/exhibits/E4")).text
    place = store_of(console).directory / CASE_ID / "exhibits"
    marks = Marks(
        (
            TextMark("phone", "+972 50-123-4567"),
            TextMark("mail", "dana.levi@home.example"),
            TextMark("name", "dana levi"),
        ),
        (Region(2, (0, 0, 1000, 500)),),
    )
    actor = Actor("Noa", "here", "as by command", "order 4")
    redaction.redact_exhibit(place / "E4", tmp_path / "copy", marks, actor, AT)
    for name in (redaction.PDF, redaction.TEXT):
        assert (place / "E4R1" / name).read_bytes() == (tmp_path / "copy" / name).read_bytes()
    kept = next((place / "E4").glob("original*")).name
    assert kept not in case.exhibits["E4"].sha256


@case_visits
async def test_picture_is_redacted_by_a_region(console: RunningConsole, tmp_path: Path) -> None:
    counsel = await console.person("counsel")
    picture = Image.new("RGB", (400, 200), "white")
    ImageDraw.Draw(picture).text((20, 20), "Dana Levi", fill="black")
    picture.save(tmp_path / "scan.png")
    await upload(counsel, (tmp_path / "scan.png").read_bytes())
    shown = await send(counsel, region_fields(page="1"))
    assert "data:image/png;base64," in shown.text
    done = await send(counsel, form_of(shown.text) | {"reason": "no party"})
    assert done.status_code == 302, text_of(done.text)
    place = store_of(console).directory / CASE_ID / served_case(console).exhibits["E4"].path
    copy = Image.open(place / redaction.PICTURE)
    assert copy.crop((10, 10, 390, 90)).convert("L").getextrema() == (0, 0)
    again = (await counsel.get(REDACT)).text
    assert "It is redacted already." in again


@case_visits
async def test_marks_that_are_wrong_change_nothing(console: RunningConsole, tmp_path: Path) -> None:
    counsel = await console.person("counsel")
    await take_in(counsel, tmp_path)
    steps = len(served_case(console).steps)
    for fields, said in (
        ({"names": ""}, "Nothing is marked"),
        ({"names": "Omer Katz", "seen_pictures": "yes"}, "“Omer Katz” is nowhere in the text"),
        ({"names": "Dana Levi"}, "page 2, which has no text that can be searched"),
        (region_fields(right="0"), "is no region"),
        (region_fields(page="7") | {"seen_pictures": "yes"}, "has no page 7"),
        (region_fields(left="1e3"), "is no region"),
        ({"names": "a" * 20_001}, "more is marked than one form takes"),
    ):
        answer = await send(counsel, fields)
        assert answer.status_code == 422, said
        words = text_of(answer.text)
        assert said.casefold() in words.casefold(), words
        assert "--" not in words
        assert "Nothing was changed" in words
    kept = await send(counsel, {"names": "Omer Katz"} | region_fields())
    assert ">Omer Katz</textarea>" in kept.text
    assert '<rect x="0" y="0" width="1000" height="500">' in kept.text
    marked = {"names": "Dana Levi", "seen_pictures": "yes", "confirmed": "yes", "reason": "no"}
    stale = await send(counsel, marked | {"seen": str(steps - 1)})
    assert stale.status_code == 409
    assert "The case changed while you wrote" in stale.text
    assert f"Step {steps}:" in stale.text
    reasonless = await send(counsel, marked | {"seen": str(steps), "reason": " "})
    assert "A reason is missing" in reasonless.text
    named = await send(counsel, marked | {"seen": str(steps), "reason": "asked by Dana Levi"})
    assert "say why without naming it" in named.text.casefold()
    assert len(served_case(console).steps) == steps
    assert await audited() == []
    exhibits = store_of(console).directory / CASE_ID / "exhibits"
    assert sorted(path.name for path in exhibits.iterdir()) == ["E1", "E2", "E3", "E4"]


@case_visits
async def test_marks_can_be_changed_after_a_preview(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    page = f"{PAGE}/exhibits/E1/redact"
    shown = await send(counsel, {"texts": "chess club"}, page)
    assert "<mark>[redacted: text]</mark>" in shown.text
    edited = await send(counsel, form_of(shown.text) | {"confirmed": "", "edit": "yes"}, page)
    assert ">chess club</textarea>" in edited.text
    assert "data-redaction" in edited.text


@case_visits
async def test_steps_that_still_name_it_are_said(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    page = f"{PAGE}/exhibits/E1/redact"
    steps = len(served_case(console).steps)
    fields = {"texts": "80,000", "confirmed": "yes", "seen": str(steps), "reason": "too much"}
    done = await send(counsel, fields, page)
    assert done.status_code == 302, text_of(done.text)
    said = text_of((await counsel.get(f"{PAGE}/exhibits/E1")).text)
    assert "Steps are not redacted: 1" in said


@case_visits
async def test_only_counsel_redacts_and_sees_originals(console: RunningConsole) -> None:
    steps = len(served_case(console).steps)
    for role in ("lead", "auditor", "analyst"):
        visitor = await console.person(role)
        for path in (f"{PAGE}/exhibits/E1/redact", f"{PAGE}/exhibits/E1/pages/1"):
            assert (await visitor.get(path)).status_code == 403, (role, path)
        fields = {"texts": "80,000", "confirmed": "yes", "seen": str(steps), "reason": "x"}
        assert (await send(visitor, fields, f"{PAGE}/exhibits/E1/redact")).status_code == 403
        assert "/redact" not in (await visitor.get(f"{PAGE}/exhibits/E1")).text
    counsel = await console.person("counsel")
    bare = await counsel.client.post(f"{PAGE}/exhibits/E1/redact", data={"texts": "80,000"})
    assert bare.status_code == 403
    for path in ("exhibits/E9/redact", "exhibits/E1/pages/1", "exhibits/E9/pages/1"):
        assert (await counsel.get(f"{PAGE}/{path}")).status_code == 404, path
    assert len(served_case(console).steps) == steps
    assert await audited() == []
