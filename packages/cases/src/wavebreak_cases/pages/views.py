"""Legal cases: the list, a case with its tabs, its exhibits, the forms of acts, and bundles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO

from asgiref.sync import sync_to_async
from django.db import transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect

from wavebreak.errors import MissingExtraError, ServiceError, WavebreakError
from wavebreak.languages import LANGUAGES, get_language, msgid, offered_languages
from wavebreak.notices.platform import load_platform
from wavebreak_cases.acts import ACTS
from wavebreak_cases.acts.declaration import Act
from wavebreak_cases.cases.case import Case, Step
from wavebreak_cases.pages import acts, bundles, documents, exhibits, files, forms, redactions
from wavebreak_cases.pages.apps import current_store
from wavebreak_server.console.pages import (
    PAGE_SIZE,
    View,
    console_of,
    error_page,
    error_texts,
    number_of,
    page,
    reason_of,
    say,
    show,
    warn,
)
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.texts import translate

TABS = {
    "": msgid("Overview"),
    "parties": msgid("Parties"),
    "claims": msgid("Claims and exhibits"),
    "notices": msgid("Notices"),
    "determination": msgid("Determination"),
    "bundle": msgid("Bundle"),
}
DOCUMENTS = (
    ("report.pdf", msgid("Report")),
    ("exhibits.csv", msgid("Exhibits, CSV")),
    ("exhibits.docx", msgid("Exhibits, DOCX")),
    ("chronology.csv", msgid("Chronology, CSV")),
    ("chronology.docx", msgid("Chronology, DOCX")),
    ("deadlines.ics", msgid("Deadlines")),
)
CHUNK = 1 << 18


def case_page(permission: str, *methods: str) -> Callable[[View], View]:
    """Declare a page of cases; errors of cases and claims become pages that say what to do."""

    def decorate(view: View) -> View:
        @page(permission, *methods)
        @wraps(view)
        def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                return view(request, *args, **kwargs)
            except ApiError:
                raise
            except (MissingExtraError, ServiceError) as error:
                return error_page(request, 503, *error_texts(error))
            except WavebreakError as error:
                return error_page(request, 422, *error_texts(error))

        return wrapped

    return decorate


@case_page("view_cases")
def cases(request: HttpRequest) -> HttpResponse:
    """List the cases, the newest step first."""
    console = console_of(request)
    state = request.GET.get("state", "")[:16]
    rows, counts = files.list_cases(current_store(), console.now_ms, state)
    pages = max(1, -(-len(rows) // PAGE_SIZE))
    at = number_of(request.GET.get("page"), 1, pages, 1)
    return show(
        request,
        "console/cases.html",
        rows=rows[(at - 1) * PAGE_SIZE : at * PAGE_SIZE],
        counts=sorted((name, n) for name, n in counts.items() if name),
        total=sum(counts.values()),
        state=state,
        at=at,
        pages=pages,
    )


@case_page("work_on_cases", "GET", "POST")
def open_case(request: HttpRequest) -> HttpResponse:
    """Open a new case."""
    console, store = console_of(request), current_store()
    made = _form_class(request, ACTS["open_case"], Case(""))
    if request.method != "POST":
        year = datetime.fromtimestamp(console.now_ms / 1000, UTC).year
        return _show_form(request, made(initial={"id": files.next_case_id(store, year)}))
    form = made(request.POST, request.FILES)
    if not form.is_valid():
        return _show_form(request, form)
    try:
        case_id, failures = acts.open_case(_act(request, form.values, None))
    except WavebreakError as error:
        return _show_form(request, form, error=error)
    say(request, translate("Case {case_id} is open; its first step is sealed.", case_id=case_id))
    for failure in failures:
        warn(
            request,
            translate(
                "{source} is not in it: {what}.", source=failure.source, what=failure.error.what
            ),
        )
    return redirect("legal_case", case_id)


@case_page("view_cases")
def legal_case(request: HttpRequest, case_id: str, tab: str = "") -> HttpResponse:
    """Show a tab of a case."""
    if tab not in TABS:
        raise ApiError(
            404, translate("there is no such tab"), fix=translate("use the tabs of the case")
        )
    console, store = console_of(request), current_store()
    loaded = files.load(store, case_id)
    case, now = loaded.case, console.now_ms
    people = files.shown_people(case)
    shown: dict[str, Any] = {}
    match tab:
        case "":
            shown = {
                "steps": files.timeline(case, people),
                "deadlines": files.deadlines(case, now),
                "transitions": files.transitions(case, console.user, now),
                "gaps": files.missing_rows(case),
                "latest": files.determination_rows(case, console.user, people)[:1],
            }
        case "parties":
            shown = {
                "proposals": files.merge_proposals(store, case),
                "names": files.account_names(store, loaded),
            }
        case "claims":
            shown = {
                "exhibits": files.exhibit_rows(case, people),
                "evidence": files.evidence_rows(case, people),
            }
        case "notices":
            shown = {"notices": files.notice_rows(case, now)}
        case "determination":
            shown = {
                "determinations": files.determination_rows(case, console.user, people),
                "preparing": [
                    (p, files.preparing_checks(case, p.id))
                    for p in case.parties.values()
                    if not p.same_as
                ],
                "names": files.account_names(store, loaded),
            }
        case "bundle":
            shown = _bundle(case_id)
    return show(
        request,
        f"console/legal_case_{tab or 'overview'}.html",
        case_id=case_id,
        case=case,
        tab=tab,
        tabs=_tabs(case),
        people=people,
        now=now,
        stale=files.stale(case),
        **shown,
    )


def _tabs(case: Case) -> list[tuple[str, str, int | None]]:
    counts = {
        "parties": sum(not p.same_as for p in case.parties.values()),
        "claims": len(case.exhibits),
        "notices": len(case.notices),
        "determination": len(case.determinations),
    }
    return [(name, words, counts.get(name)) for name, words in TABS.items()]


@case_page("view_cases")
def exhibit(request: HttpRequest, case_id: str, exhibit_id: str) -> HttpResponse:
    """Show an exhibit: its picture, its text beside it, custody, and the evidence drawn from it."""
    loaded = files.load(current_store(), case_id)
    found = _exhibit(loaded, exhibit_id)
    people = files.shown_people(loaded.case)
    rows = {row.id: row for row in files.exhibit_rows(loaded.case, people)}
    return show(
        request,
        "console/legal_case_exhibit.html",
        case_id=case_id,
        case=loaded.case,
        exhibit=found,
        row=rows[found.id],
        evidence=files.evidence_rows(loaded.case, people, found.id),
        **exhibits.exhibit_page(loaded, found),
    )


def _exhibit(loaded: Any, exhibit_id: str) -> Any:
    found = loaded.case.exhibits.get(exhibit_id)
    if found is None:
        raise ApiError(
            404,
            translate("the case has no such exhibit"),
            fix=translate("see its list of exhibits"),
        )
    return found


@case_page("view_cases")
def exhibit_reading(request: HttpRequest, case_id: str, exhibit_id: str) -> HttpResponse:
    """Return the text of an exhibit with the sentences relied on, as a part of a page."""
    loaded = files.load(current_store(), case_id)
    found = _exhibit(loaded, exhibit_id)
    reading, why = exhibits.reading_or_reason(loaded, found)
    return show(request, "console/parts/case_reading.html", reading=reading, why=why, exhibit=found)


@case_page("view_cases")
def exhibit_image(request: HttpRequest, case_id: str, exhibit_id: str) -> HttpResponse:
    """Return the picture of an exhibit, which no browser takes for anything else."""
    loaded = files.load(current_store(), case_id)
    return _picture(*exhibits.image(loaded, _exhibit(loaded, exhibit_id)))


def _picture(raw: bytes, media: str) -> HttpResponse:
    response = HttpResponse(raw, content_type=media)
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    return response


@case_page("work_on_cases")
def exhibit_page(request: HttpRequest, case_id: str, exhibit_id: str, number: int) -> HttpResponse:
    """Return a page of an exhibit's original as a picture, for who redacts it."""
    loaded = files.load(current_store(), case_id)
    return _picture(redactions.page_picture(loaded, exhibit_id, number), "image/png")


@case_page("work_on_cases", "GET", "POST")
def redact_exhibit(request: HttpRequest, case_id: str, exhibit_id: str) -> HttpResponse:
    """Mark what is removed of an exhibit, show the copy, and put it in the exhibit's place."""
    loaded = files.load(current_store(), case_id)
    redactions.find_exhibit(loaded.case, exhibit_id)
    if request.method != "POST":
        form = redactions.read_form(loaded, exhibit_id)
        return _show_redaction(request, loaded, exhibit_id, form)
    form = redactions.read_form(loaded, exhibit_id, request.POST)
    seen = number_of(request.POST.get("seen"), 0, 20_000, -1)
    confirmed, shown = request.POST.get("confirmed") == "yes", None
    try:
        if request.POST.get("edit") == "yes":
            return _show_redaction(request, loaded, exhibit_id, form)
        marks = redactions.read_marks(form)
        act = _act(request, {}, seen, reason="" if confirmed else "preview")
        if not confirmed:
            shown = redactions.preview(loaded, exhibit_id, marks, act)
            return _show_redaction(request, loaded, exhibit_id, form, shown=shown)
        after = redactions.redact(case_id, exhibit_id, marks, act)
    except acts.StaleFormError as stale:
        return _show_redaction(
            request, loaded._replace(case=stale.case), exhibit_id, form, error=stale
        )
    except MissingExtraError:
        raise
    except WavebreakError as error:
        return _show_redaction(request, loaded, exhibit_id, form, error=error)
    _say_steps(request, after, 1)
    for remark in redactions.remarks(loaded._replace(case=after), exhibit_id, marks):
        warn(request, remark)
    return redirect("legal_exhibit", case_id, exhibit_id)


def _show_redaction(
    request: HttpRequest,
    loaded: Any,
    exhibit_id: str,
    form: Any,
    *,
    shown: Any = None,
    error: WavebreakError | None = None,
) -> HttpResponse:
    """Show the form of a redaction, with what is wrong; or the copy that it would make."""
    case, edges = loaded.case, redactions.shown_edges(form)
    people = files.shown_people(case)
    late = case.steps[error.seen :] if isinstance(error, acts.StaleFormError) else ()
    response = show(
        request,
        "console/legal_case_redact.html",
        case_id=case.id,
        case=case,
        exhibit=case.exhibits[exhibit_id],
        form=form,
        pages=[(number, edges.get(number, ())) for number in form.numbers],
        hidden=redactions.hidden_fields(form),
        shown=shown,
        reason=request.POST.get("reason", ""),
        error=error,
        way_out=forms.FORMS.get(error.code, "") if error else "",
        meanwhile=[files.shown_step(step, people) for step in late],
    )
    if error is not None:
        response.status_code = error.status if isinstance(error, ApiError) else 422
    return response


def _say_steps(request: HttpRequest, case: Case, number: int) -> None:
    people = files.shown_people(case)
    for step in case.steps[len(case.steps) - number :]:
        say(
            request,
            translate(
                "{words}. Sealed as step {shown}.",
                words=files.shown_step(step, people).words,
                shown=step.n,
            ),
        )


@case_page("work_on_cases", "GET", "POST")
def act(request: HttpRequest, case_id: str, name: str) -> HttpResponse:
    """Show the form of an act, or do it."""
    declared = ACTS.get(name)
    if declared is None or not declared.form or name == "open_case":
        raise ApiError(
            404, translate("there is no such act"), fix=translate("use the buttons of the case")
        )
    loaded = files.load(current_store(), case_id)
    made = _form_class(request, declared, loaded.case)
    if request.method != "POST":
        return _show_form(request, made(initial=_first_values(declared, loaded.case, request)))
    form = made(request.POST, request.FILES)
    if not form.is_valid():
        return _show_form(request, form)
    seen = number_of(request.POST.get("seen"), 0, 20_000, -1) if declared.ordered else None
    before = len(loaded.case.steps)
    try:
        if "reason" not in form.fields:
            return _preview(request, loaded, form)
        after = acts.perform(name, case_id, _act(request, form.values, seen))
    except MissingExtraError:
        raise
    except WavebreakError as error:
        return _show_form(request, form, error=error)
    _say_steps(request, after, min(3, len(after.steps) - before))
    return (
        redirect("legal_case_tab", case_id, declared.tab)
        if declared.tab and not _came_from(request)
        else redirect("legal_case", case_id)
    )


def _form_class(request: HttpRequest, declared: Act, case: Case) -> type[forms.ActForm]:
    """Return the form of an act; of a preview it asks for no reason yet."""
    reason = "Why"
    if declared.previewed:
        confirmed = request.POST.get("confirmed") == "yes"
        reason = translate("How it was sent, and by whom") if confirmed else ""
    policy, now = current_store().policy, console_of(request).now_ms
    return forms.act_form(declared, case, policy, now, reason=reason)


def _preview(request: HttpRequest, loaded: files.LoadedCase, form: forms.ActForm) -> HttpResponse:
    """Show the letter that an act would record, or return it as a file."""
    preview = _act(request, form.values, None, reason="preview")
    letter = acts.draft(loaded.case.id, preview)
    if ending := request.POST.get("download", ""):
        made = documents.draft_letter(loaded, preview, letter, ending)
        return _download(request, loaded.case.id, made)
    return _show_form(request, form, letter=letter)


def _came_from(request: HttpRequest) -> str:
    """Return "overview" where a form was opened from the list of what is missing, else ""."""
    asked = (request.POST if request.method == "POST" else request.GET).get("from", "")
    return "overview" if asked == "overview" else ""


def _act(
    request: HttpRequest, values: Mapping[str, Any], seen: int | None, reason: str = ""
) -> acts.ActRequest:
    console = console_of(request)
    return acts.ActRequest(
        console.user,
        reason or reason_of(request),
        values,
        console.service.clock,
        current_store(),
        seen,
    )


def _first_values(declared: Act, case: Case, request: HttpRequest) -> dict[str, str]:
    """Return what a form begins with: what the link named, and what is known already."""
    values = forms.first_values(declared, case, request.GET.dict())
    if declared.name == "send_notice":
        operator, english = load_platform(current_store().policy), get_language("en")
        shipped = load_platform()
        if operator.name != shipped.name:
            values.setdefault("operator", operator.name_in(english))
        if operator.contact != shipped.contact:
            values.setdefault("contact", operator.contact_in(english))
        values.setdefault("template", "cease_and_desist")
    return values


def _show_form(
    request: HttpRequest,
    form: forms.ActForm,
    *,
    error: WavebreakError | None = None,
    letter: Any = None,
) -> HttpResponse:
    """Show a form: with its values and what is wrong, or with the letter that it would record."""
    case, late = form.case, tuple[Step, ...]()
    # The console's script keeps the fields of files; a browser without it loses them.
    if (error or form.errors) and "X-Keeps-Files" not in request.headers:
        form.name_lost_files()
    if isinstance(error, acts.StaleFormError):
        case = error.case
        late = case.steps[error.seen :]
    people = files.shown_people(case) if case.steps else {}
    chosen = form.data or form.initial
    response = show(
        request,
        "console/legal_case_form.html",
        form=form,
        act=form.act,
        case=case,
        case_id=case.id or "cases",
        error=error,
        way_out=forms.FORMS.get(error.code, "") if error else "",
        meanwhile=[files.shown_step(step, people) for step in late],
        letter=letter,
        came_from=_came_from(request),
        evidence=next(
            (e for e in files.evidence_rows(case, people) if e.item.id == chosen.get("item")), None
        ),
        determination=next(
            (
                d
                for d in files.determination_rows(case, console_of(request).user, people)
                if d.prepared.id == chosen.get("determination")
            ),
            None,
        ),
        directory=current_store().directory / case.id,
    )
    if error or form.errors:
        response.status_code = error.status if isinstance(error, ApiError) else 422
    return response


def _bundle(case_id: str) -> dict[str, Any]:
    store = current_store()
    return {
        "job": bundles.newest_job(store, case_id),
        "stamped": bundles.stamp_file(store, case_id).exists(),
        "key": bundles.verifier_key(store),
        "languages": offered_languages(),
        "documents": DOCUMENTS,
    }


@case_page("view_cases")
def bundle_status(request: HttpRequest, case_id: str) -> HttpResponse:
    """Return how far a bundle is, as a part of a page."""
    loaded = files.load(current_store(), case_id)
    people = files.shown_people(loaded.case)
    return show(
        request,
        "console/parts/case_bundle.html",
        case_id=case_id,
        case=loaded.case,
        people=people,
        **_bundle(case_id),
    )


@case_page("work_on_cases", "POST")
def build_bundle(request: HttpRequest, case_id: str) -> HttpResponse:
    """Begin to build the bundle of a case, and to verify it."""
    files.load(current_store(), case_id)
    language = _language(request.POST.get("language", "en"))
    names = request.POST.get("with_names") == "yes"
    bundles.start(case_id, _act(request, {}, None), language, with_names=names)
    return redirect("legal_case_tab", case_id, "bundle")


@case_page("work_on_cases")
def download_bundle(request: HttpRequest, case_id: str) -> HttpResponse:
    """Return the bundle of a case, streamed, or its time stamp; the audit log has the download."""
    console, store = console_of(request), current_store()
    files.load(store, case_id)
    stamp = request.GET.get("of") == "stamp"
    done = "download_bundle_stamp" if stamp else "download_bundle"
    path = bundles.download(
        case_id,
        store,
        lambda: write_audit_entry(console.now_ms, console.user.actor, done, case_id, "downloaded"),
        stamp=stamp,
    )
    media = "application/timestamp-reply" if stamp else "application/zip"
    response = StreamingHttpResponse(_chunks(path), content_type=media)
    response["Content-Length"] = str(path.stat().st_size)
    response["Content-Disposition"] = f'attachment; filename="{path.name}"'
    return response


@case_page("work_on_cases")
def document(request: HttpRequest, case_id: str, name: str) -> HttpResponse:
    """Return a document of a case in a language; the download is in the audit log."""
    loaded = files.load(current_store(), case_id)
    language = _language(request.GET.get("language", "en"))
    made = documents.make_document(
        loaded, _act(request, {}, None, reason="download"), name, language
    )
    return _download(request, case_id, made)


def _language(asked: str) -> Any:
    if asked not in LANGUAGES:
        raise ApiError(
            422,
            translate("there is no report in that language"),
            fix=translate("choose {names}", names=" or ".join(LANGUAGES)),
        )
    return asked


def _download(request: HttpRequest, case_id: str, made: Any) -> HttpResponse:
    """Return a file that no browser opens as a page, once its download is in the audit log."""
    console = console_of(request)
    with transaction.atomic():
        write_audit_entry(
            console.now_ms, console.user.actor, "download_document", case_id, made.name
        )
    response = HttpResponse(made.content, content_type=made.media)
    response["Content-Disposition"] = f'attachment; filename="{made.name}"'
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    return response


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    file: BinaryIO = await sync_to_async(lambda: path.open("rb"))()
    try:
        while chunk := await sync_to_async(file.read)(CHUNK):
            yield chunk
    finally:
        await sync_to_async(file.close)()
