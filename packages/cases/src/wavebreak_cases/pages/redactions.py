"""Redaction of an exhibit from the console: what is marked, a preview of the copy, and the step.

Pages are drawn, and copies made, in processes of their own (`claims.redaction_process`). A preview
is the copy itself, made in a directory that is removed at once; nothing of it is kept.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from django.db import transaction

from wavebreak.errors import ClaimError
from wavebreak_cases.bundles import exhibit_redaction
from wavebreak_cases.bundles.workspace import CaseWorkspace
from wavebreak_cases.cases.case import Case, Exhibit
from wavebreak_cases.cases.date_ranges import format_instant
from wavebreak_cases.claims import redaction, redaction_process
from wavebreak_cases.claims.personal_data import KINDS
from wavebreak_cases.claims.redaction import Marks, PagePictures, Suggestion
from wavebreak_cases.pages import files
from wavebreak_cases.pages.acts import ActRequest, StaleFormError
from wavebreak_cases.pages.files import LoadedCase
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.texts import translate

EDGES = ("page", "left", "top", "right", "bottom")
"""Fields of a region, in the order in which a region is written."""
MAX_REGIONS = 120
BLANK_REGIONS = 2
"""Empty rows for regions that a page begins with."""
MAX_PREVIEWED = 12
"""Pages of a copy that a preview shows."""
MAX_SHOWN = 200_000
"""Characters of a copy's text that a preview shows."""
PAGES_KEPT = 16
_MAX_LINES = 20_000


class RegionRow(NamedTuple):
    """A region as the form shows it: page and edges in thousandths, as they were typed."""

    page: str = ""
    left: str = ""
    top: str = ""
    right: str = ""
    bottom: str = ""


class SuggestedMark(NamedTuple):
    """A suggestion as the form shows it, and whether it is chosen."""

    value: str
    suggestion: Suggestion
    chosen: bool


class RedactionForm(NamedTuple):
    """What the form of a redaction holds."""

    suggested: tuple[SuggestedMark, ...]
    names: str
    texts: str
    regions: tuple[RegionRow, ...]
    seen_pictures: bool
    pages: PagePictures

    @property
    def numbers(self) -> range:
        """The numbers of the pages that can be drawn."""
        return range(1, self.pages.total + 1)

    @property
    def rows(self) -> tuple[RegionRow, ...]:
        """The regions, and empty rows for more."""
        return (*self.regions, *[RegionRow()] * BLANK_REGIONS)


class PreviewedCopy(NamedTuple):
    """A redacted copy as a preview shows it: pictures as data URIs, the text in parts."""

    counts: tuple[tuple[str, int], ...]
    regions: int
    left_out: tuple[str, ...]
    pictures: tuple[tuple[int, str], ...]
    more: int
    text: tuple[tuple[str, bool], ...]
    naming: tuple[int, ...]


def find_exhibit(case: Case, exhibit_id: str) -> Exhibit:
    """Return an exhibit that can be redacted; raises ApiError (404) where there is none."""
    found = case.exhibits.get(exhibit_id)
    if found is None or found.kind == "platform_run":
        raise ApiError(
            404,
            translate("the case has no such exhibit to redact"),
            fix=translate("see its exhibits"),
        )
    return found


def read_form(loaded: LoadedCase, exhibit_id: str, posted: Any = None) -> RedactionForm:
    """Return what a form holds: as it was sent, or as it begins.

    Args:
        loaded: The case.
        exhibit_id: The exhibit.
        posted: The fields that were sent (None: none; every suggestion is chosen).
    """
    place = exhibit_redaction.original_directory(loaded, exhibit_id)
    chosen = None if posted is None else set(posted.getlist("suggested"))
    suggested = []
    for each in exhibit_redaction.suggest_marks(loaded, exhibit_id):
        value = f"{each.what}:{each.text}"
        suggested.append(SuggestedMark(value, each, chosen is None or value in chosen))
    given = posted or {}
    return RedactionForm(
        tuple(suggested),
        given.get("names", ""),
        given.get("texts", ""),
        () if posted is None else _regions(posted),
        given.get("seen_pictures") == "yes",
        redaction.page_pictures(place),
    )


def _regions(posted: Any) -> tuple[RegionRow, ...]:
    columns = [[text.strip()[:4] for text in posted.getlist(f"region_{edge}")] for edge in EDGES]
    rows = [RegionRow(*row) for row in zip(*columns, strict=False)]
    return tuple(row for row in rows if any((row.left, row.top, row.right, row.bottom)))


def read_marks(form: RedactionForm) -> Marks:
    """Return what a form marks.

    Raises:
        ApiError: A field is too long (422).
        CaseError: Nothing is marked.
        ClaimError: A region is none.
    """
    if len(form.names) + len(form.texts) > _MAX_LINES or len(form.regions) > MAX_REGIONS:
        raise ApiError(
            422,
            translate("more is marked than one form takes"),
            fix=translate("redact it by command"),
        )
    marks = exhibit_redaction.make_marks(
        [each.suggestion for each in form.suggested if each.chosen],
        kinds=KINDS,
        names=_lines(form.names),
        texts=_lines(form.texts),
        regions=[f"{r.page or 1}:{r.left},{r.top},{r.right},{r.bottom}" for r in form.regions],
        pictures_seen=form.seen_pictures,
    )
    exhibit_redaction.require_marks(marks)
    return marks


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def preview(loaded: LoadedCase, exhibit_id: str, marks: Marks, act: ActRequest) -> PreviewedCopy:
    """Make the copy as it would be kept, and return what is shown of it; nothing is kept.

    Raises:
        ClaimError: As the redaction would.
    """
    source = exhibit_redaction.original_directory(loaded, exhibit_id)
    with tempfile.TemporaryDirectory(prefix="wavebreak-redaction-") as directory:
        place = Path(directory) / "copy"
        at = format_instant(act.clock())
        made = redaction_process.redact_exhibit(source, place, marks, act.actor(), at)
        pictures = redaction.copy_pictures(place, made.covered[:MAX_PREVIEWED])
        kept = place / redaction.TEXT
        text = kept.read_text("utf-8") if kept.exists() else ""
    return PreviewedCopy(
        tuple(sorted((str(what), n) for what, n in made.counts.items())),
        len(made.regions),
        made.left_out,
        tuple((number, _inline_picture(*picture)) for number, picture in pictures.items()),
        len(made.covered) - len(pictures),
        tuple(_parts(text[:MAX_SHOWN])),
        tuple(exhibit_redaction.steps_that_name(loaded.case.steps, marks)),
    )


def _inline_picture(raw: bytes, media: str) -> str:
    return f"data:{media};base64,{base64.b64encode(raw).decode('ascii')}"


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """A text in parts, and whether each is a mark of what was removed.

    >>> list(_parts("Ask [redacted: name]."))
    [('Ask ', False), ('[redacted: name]', True), ('.', False)]
    """
    at = 0
    for mark in redaction.MARK.finditer(text):
        yield text[at : mark.start()], False
        yield mark[0], True
        at = mark.end()
    yield text[at:], False


def redact(case_id: str, exhibit_id: str, marks: Marks, act: ActRequest) -> Case:
    """Redact an exhibit as the command does; return the case after it.

    The copy is made under the case's lock and outside of the transaction, which would keep the
    service from writing meanwhile.

    Raises:
        ApiError: Somebody else writes to the case, or the form is stale.
        CaseError: The case does not allow the step.
        ClaimError: A mark is nowhere in the exhibit, or it could not be drawn within the limits.
    """
    with files.open_for_act(act.store, case_id, act.clock) as workspace:
        if act.seen is not None and len(workspace.case.steps) != act.seen:
            raise StaleFormError(act.seen, workspace.case)
        exhibit_redaction.redact_exhibit(
            workspace,
            exhibit_id,
            marks,
            act.actor(),
            act.user.role,
            copy=redaction_process.redact_exhibit,
            recording=_audited(workspace, act),
        )
        return workspace.case


@contextmanager
def _audited(workspace: CaseWorkspace, act: ActRequest) -> Iterator[None]:
    with transaction.atomic():
        case_id = workspace.case.id
        write_audit_entry(act.clock(), act.user.actor, "redact_exhibit", case_id, act.reason)
        yield


MAX_PLACES = 12
"""Places that a remark names at most."""


def remarks(loaded: LoadedCase, exhibit_id: str, marks: Marks) -> list[str]:
    """Return what a person should know after a redaction, a sentence each."""
    case, said = loaded.case, []
    if others := exhibit_redaction.exhibits_that_name(loaded, marks, exhibit_id):
        places = ", ".join(map(str, others[:MAX_PLACES]))
        said.append(f"It stands elsewhere too: {places}. Redact these as well.")
    if naming := exhibit_redaction.steps_that_name(case.steps, marks):
        numbers = ", ".join(map(str, naming))
        said.append(f"Steps are not redacted: {numbers} still name what was removed.")
    if exhibit_redaction.is_guessable(case, exhibit_id):
        said.append(
            "An earlier version took the original in: whoever has the bundle can test guesses at "
            "a short text against its sealed digest. Take it in again as another exhibit."
        )
    return said


def page_picture(loaded: LoadedCase, exhibit_id: str, number: int) -> bytes:
    """Return a page of an original as a PNG picture; raises ApiError (404) where it has none."""
    find_exhibit(loaded.case, exhibit_id)
    place = exhibit_redaction.original_directory(loaded, exhibit_id)
    try:
        return _drawn_page(place, number)
    except ClaimError:
        none = translate("the exhibit has no page {number} that can be drawn", number=number)
        raise ApiError(404, none, fix=translate("see the exhibit's files")) from None


@lru_cache(maxsize=PAGES_KEPT)
def _drawn_page(place: Path, number: int) -> bytes:
    return redaction_process.draw_page(place, number)


def hidden_fields(form: RedactionForm) -> Sequence[tuple[str, str]]:
    """Return the fields of a form, so that what was previewed is what is done."""
    fields = [("suggested", each.value) for each in form.suggested if each.chosen]
    fields += [("names", form.names), ("texts", form.texts)]
    fields += [("seen_pictures", "yes")] if form.seen_pictures else []
    for row in form.regions:
        fields += [(f"region_{edge}", value) for edge, value in zip(EDGES, row, strict=True)]
    return fields


def shown_edges(form: RedactionForm) -> Mapping[int, Sequence[tuple[int, int, int, int]]]:
    """Return the regions of each page as left, top, width and height, of those that are whole."""
    by_page: dict[int, list[tuple[int, int, int, int]]] = {}
    for row in form.regions:
        try:
            region = redaction.read_region(f"{row.page or 1}:{','.join(row[1:])}")
        except ClaimError:
            continue
        left, top, right, bottom = region.box
        by_page.setdefault(region.page, []).append((left, top, right - left, bottom - top))
    return by_page
