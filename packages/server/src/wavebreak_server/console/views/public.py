"""Public pages: a statement of reasons, an appeal against it, and help; nobody signs in.

Links to statements are signed and cannot be guessed; a forged one, one that is over and one that
is not due yet get the same answer. One that an erasure has ended says so. No page sets a cookie.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse

from wavebreak import notices
from wavebreak.durations import DAY_MS
from wavebreak.notices.texts import PUBLIC_REASONS, public_text, public_texts
from wavebreak_server.console import public_access
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import AppContext
from wavebreak_server.http.peer_networks import peer_network
from wavebreak_server.http.responses import problem_response
from wavebreak_server.pipeline.platform_messages import one_time_code
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.appeals import service as appeals
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.config import settings_of
from wavebreak_server.slices.erasure.service import ErasedError
from wavebreak_server.slices.help import service as help_answers
from wavebreak_server.slices.statements import service as statements

BUILDERS: dict[str, Callable[..., notices.HelpPage]] = {
    "help": notices.help_page,
    "business": notices.business_page,
}


class Public:
    """What a public page needs: the service, the operator's texts, and the visitor's language."""

    def __init__(self, request: HttpRequest, language: str = "") -> None:
        scope: Any = getattr(request, "scope")  # noqa: B009 - not in Django's type
        self.request = request
        self.service: Service = scope["wavebreak"]
        self.app: AppContext = scope["wavebreak.context"]
        self.notices = self.app.holder_notices
        self.platform = self.notices.platform
        wanted = language or request.GET.get("lang", "")
        if wanted not in self.platform.languages:
            wanted = notices.negotiate(
                request.headers.get("Accept-Language", ""),
                self.platform.languages,
                self.platform.default_language,
            )
        self.language: notices.Language = notices.get_language(wanted)

    @property
    def now_ms(self) -> int:
        """The service's clock, in milliseconds."""
        return int(self.service.clock())

    def text(self, name: str, **values: object) -> str:
        """Return a text of the public pages in the visitor's language."""
        return str(public_text(self.language, name, **values))

    def instant(self, ms: int) -> str:
        """Return an instant in words."""
        return str(self.language.format_instant(ms, self.platform.time_zone))

    def contact(self) -> str:
        """Return whom a holder can contact."""
        return str(self.platform.contact_in(self.language))

    def render(self, template: str, status: int = 200, **values: Any) -> HttpResponse:
        """Render a page: without the request, so that no session is read and no cookie set."""
        code = self.language.code
        values |= {
            "lang": code,
            "direction": self.language.direction,
            "t": public_texts(self.language),
            "name": self.platform.name_in(self.language),
            "languages": [
                self._choice(other) for other in self.platform.languages if other != code
            ],
            "help_url": reverse("help", args=[code]),
            "business_url": reverse("business", args=[code]),
        }
        return HttpResponse(render_to_string(f"public/{template}.html", values), status=status)

    def _choice(self, code: str) -> dict[str, str]:
        path = self.request.path
        match = self.request.resolver_match
        if match is not None and match.url_name in BUILDERS:
            return {"code": code, "name": notices.get_language(code).name,
                    "url": reverse(match.url_name, args=[code])}  # fmt: skip
        return {"code": code, "name": notices.get_language(code).name, "url": f"{path}?lang={code}"}

    def message(self, status: int, heading: str, paragraph: str) -> HttpResponse:
        """Return a page that says one thing."""
        return self.render("message", status, heading=heading, paragraph=paragraph)

    def nothing(self) -> HttpResponse:
        """Return the one answer to every address that leads nowhere."""
        why = self.text("nothing_why", contact=self.contact())
        return self.message(404, self.text("nothing"), why)


def _refuse(request: HttpRequest, status: int) -> HttpResponse:
    page = Public(request)
    if status == 413:
        words = page.text("too_long", count=page.language.format_number(appeals.MAX_STATEMENT))
        return page.message(413, page.text("stale"), words)
    if status == 410:
        words = page.text("erased_why", contact=page.contact())
        return page.message(410, page.text("erased"), words)
    return page.message(status, page.text("too_often"), page.text("too_often_why"))


def _refuse_json(_request: HttpRequest, status: int) -> HttpResponse:
    if status == 410:
        return problem_response(ErasedError())
    what = "rate limit exceeded" if status == 429 else "the request is too large"
    return problem_response(ApiError(status, what, fix="try again later"))


_APPEALED = {Appeal.OPEN: "received", Appeal.DECIDED: "answered"}
"""What the link to an appeal says once there is one, by its state."""


@public_access.public(_refuse)
def notice(request: HttpRequest, token: str) -> HttpResponse:
    """Show a statement of reasons."""
    page = Public(request)
    decision = statements.decision_of(page.notices, token, page.now_ms)
    if decision is None:
        return page.nothing()
    statement = _shown(page, decision)
    found = appeals.appeal_of(str(decision["id"]))
    state = found.state if found else ""
    return page.render(
        "notice",
        statement=statement,
        appealed=page.text(_APPEALED[state]) if state in _APPEALED else "",
        corrections=[s for s in statement.sections if s.id.startswith("correction")],
        sections=[s for s in statement.sections if not s.id.startswith("correction")],
        json_url=f"{reverse('notice_json', args=[token])}?lang={page.language.code}",
    )


def _shown(page: Public, decision: Mapping[str, Any]) -> notices.Statement:
    statement = statements.statement_of(page.notices, decision, page.language, page.now_ms)
    if page.request.method == "GET":
        statements.keep_shown(decision, statement, page.now_ms)
    return statement


@public_access.public(_refuse_json)
def notice_json(request: HttpRequest, token: str) -> HttpResponse:
    """Return a statement of reasons as JSON."""
    page = Public(request)
    decision = statements.decision_of(page.notices, token, page.now_ms)
    if decision is None:
        return problem_response(ApiError(404, "there is nothing at this address"))
    body = msgspec.json.encode(_shown(page, decision))
    return HttpResponse(body, content_type="application/json")


@public_access.public(_refuse, "GET", "POST")
def appeal(request: HttpRequest, token: str) -> HttpResponse:
    """Take an appeal in two steps, statement and code; then show what became of it."""
    page = Public(request)
    decision = statements.decision_of(page.notices, token, page.now_ms)
    if decision is None or decision["outcome"] == "allow":
        return page.nothing()
    found = appeals.appeal_of(str(decision["id"]))
    if found is not None and found.state != Appeal.UNVERIFIED:
        return _status(page, token, decision, found)
    if not appeals.may_appeal(page.notices, decision, page.now_ms):
        until = page.instant(appeals.appeal_until(page.notices, decision))
        return page.message(200, page.text("appeal"), page.text("ended", instant=until))
    if request.method == "POST":
        return _take(page, token, decision, found)
    if found is not None and found.code_message and not request.GET.get("edit"):
        return _code_page(page, token, found)
    error = ""
    if not (page.app.shows_codes or appeals.can_send_codes()):
        # Said before somebody writes a text that could not be sent.
        error = page.text("no_channel_yet", contact=page.contact())
    return _form_page(page, token, decision, error)


def _take(
    page: Public, token: str, decision: Mapping[str, Any], found: Appeal | None
) -> HttpResponse:
    form = page.request.POST
    purpose = f"appeal {decision['id']}"
    known = public_access.read_form_token(purpose, form.get("form", "")) is not None
    if not known or public_access.from_elsewhere(page.request):
        return _form_page(page, token, decision, page.text("stale"), form.get("statement", ""), 403)
    step = form.get("step", "")
    if step == "code" and found is not None:
        return _take_code(page, token, found, form.get("code", ""))
    if step == "again" and found is not None:
        return _again(page, token, found)
    return _take_statement(page, token, decision, form.get("statement", ""))


def _take_statement(
    page: Public, token: str, decision: Mapping[str, Any], text: str
) -> HttpResponse:
    try:
        statement = appeals.clean_statement(text)
    except ApiError:
        count = page.language.format_number(appeals.MAX_STATEMENT)
        error = page.text("too_long", count=count) if text.strip() else page.text("empty")
        return _form_page(page, token, decision, error, text, 422)
    try:
        with transaction.atomic():
            appeals.submit(
                decision,
                statement,
                page.language.code,
                page.now_ms,
                shows_codes=page.app.shows_codes,
            )
    except ApiError as problem:
        if problem.status == 503:
            error = page.text("no_channel", contact=page.contact())
            return _form_page(page, token, decision, error, text, 503)
        if problem.status == 429:
            return _form_page(page, token, decision, page.text("codes_used"), text, 429)
    return _again_here(page, token)


def _again(page: Public, token: str, found: Appeal) -> HttpResponse:
    try:
        with transaction.atomic():
            locked = Appeal.objects.select_for_update().get(id=found.id)
            appeals.send_code(locked, page.now_ms, shows_codes=page.app.shows_codes)
    except ApiError as problem:
        if problem.status == 429:
            return _code_page(page, token, found, page.text("codes_used"), 429)
        words = page.text("no_channel", contact=page.contact())
        return _code_page(page, token, found, words, 503)
    return _again_here(page, token)


def _take_code(page: Public, token: str, found: Appeal, typed: str) -> HttpResponse:
    code = "".join(c for c in typed if c.isdecimal())
    code = "".join(str(int(c)) for c in code)[:12]
    if not appeals.check_code(found, code, page.app.webhook_key, page.now_ms):
        over = not appeals.code_usable(found, page.now_ms)
        return _code_page(page, token, found, page.text("code_over" if over else "wrong_code"), 422)
    appeals.confirm(page.service, found, page.now_ms, settings_of(page.app).appeals)
    return _again_here(page, token)


def _again_here(page: Public, token: str) -> HttpResponse:
    url = f"{reverse('appeal_page', args=[token])}?lang={page.language.code}"
    response = HttpResponseRedirect(url)
    response.status_code = 303
    return response


def _form_page(
    page: Public,
    token: str,
    decision: Mapping[str, Any],
    error: str = "",
    text: str = "",
    status: int = 200,
) -> HttpResponse:
    statement = statements.statement_of(page.notices, decision, page.language, page.now_ms)
    days = settings_of(page.app).appeals.statement_days
    return page.render(
        "appeal",
        status,
        about=page.text("appeal_about", title=statement.title),
        until=next((s.paragraphs[0] for s in statement.sections if s.id == "appeal"), ""),
        hint=page.text(
            "statement_hint",
            count=page.language.format_number(appeals.MAX_STATEMENT),
            time=page.language.format_duration(days * DAY_MS),
        ),
        error=error,
        faulty=status == 422,
        text=text[: 2 * appeals.MAX_STATEMENT],
        most=appeals.MAX_STATEMENT,
        form=public_access.form_token(f"appeal {decision['id']}"),
        action=_action(page, token),
        notice_url=_notice_url(page, token),
    )


def _code_page(
    page: Public, token: str, found: Appeal, error: str = "", status: int = 200
) -> HttpResponse:
    usable = appeals.code_usable(found, page.now_ms)
    if not usable and not error:
        error = page.text("code_over")
    return page.render(
        "appeal_code",
        status,
        sent=page.text("code_sent", instant=page.instant(found.code_expires_ms)) if usable else "",
        shown=_shown_code(page, found) if usable else "",
        error=error,
        form=public_access.form_token(f"appeal {found.decision}"),
        action=_action(page, token),
        edit=f"{reverse('appeal_page', args=[token])}?lang={page.language.code}&edit=1",
        notice_url=_notice_url(page, token),
    )


def _shown_code(page: Public, found: Appeal) -> str:
    """Return a sentence with the code, in a demonstration; empty elsewhere."""
    if not page.app.shows_codes:
        return ""
    return page.text("shown_code", code=one_time_code(page.app.webhook_key, found.code_message))


def _action(page: Public, token: str) -> str:
    return f"{reverse('appeal_page', args=[token])}?lang={page.language.code}"


def _notice_url(page: Public, token: str) -> str:
    return f"{reverse('notice', args=[token])}?lang={page.language.code}"


def _status(page: Public, token: str, decision: Mapping[str, Any], found: Appeal) -> HttpResponse:
    statement = statements.statement_of(page.notices, decision, page.language, page.now_ms)
    waiting = found.state == Appeal.OPEN
    deadline = found.deadline_ms or page.now_ms
    return page.render(
        "appeal_status",
        about=page.text("appeal_about", title=statement.title),
        waiting=waiting,
        received=page.text("received_on", instant=page.instant(found.opened_ms or 0)),
        due=page.text("due_by", instant=page.instant(deadline)),
        late=page.text("late") if waiting and page.now_ms > deadline else "",
        # Their last sentence is about the notice below, which this page does not show.
        answers=[
            msgspec.structs.replace(s, paragraphs=s.paragraphs[:-1])
            for s in statement.sections
            if s.id.startswith("correction")
        ],
        notice_url=_notice_url(page, token),
    )


def help_view(request: HttpRequest, lang: str, page_name: str) -> HttpResponse:
    """Show a help page, and count whether it helped."""
    page = Public(request, lang)
    if lang not in page.platform.languages:
        return page.nothing()
    thanks = request.GET.get("thanks") == "1"
    error = ""
    if request.method == "POST":
        if _count(page, page_name):
            url = f"{reverse(page_name, args=[lang])}?thanks=1#answer"
            response = HttpResponseRedirect(url)
            response.status_code = 303
            return response
        error = page.text("stale")
    return page.render(
        "help",
        403 if error else 200,
        page=BUILDERS[page_name](page.platform, page.language),
        action=reverse(page_name, args=[lang]),
        form=public_access.form_token(f"help {page_name}"),
        reasons=[(name, page.text(name)) for name in PUBLIC_REASONS],
        thanks=thanks,
        error=error,
    )


def _count(page: Public, page_name: str) -> bool:
    """Count an answer once a viewer; False if the form is not of this page."""
    form = page.request.POST
    nonce = public_access.read_form_token(f"help {page_name}", form.get("form", ""))
    helped, reason = form.get("helped", ""), form.get("reason", "")
    if nonce is None or helped not in ("yes", "no") or public_access.from_elsewhere(page.request):
        return False
    agent = page.request.headers.get("User-Agent", "")[:400]
    viewer = f"viewer\0{page_name}\0{peer_network(public_access.peer_of(page.request))}\0{agent}"
    if page.app.state_of(public_access.OnceADay).first(f"form\0{nonce}", viewer):
        given = reason if helped == "no" and reason in PUBLIC_REASONS else ""
        help_answers.count_answer(
            page.now_ms, page_name, page.language.code, helped == "yes", given
        )
    return True


@public_access.public(_refuse, "GET", "POST", index=True)
def help_article(request: HttpRequest, lang: str) -> HttpResponse:
    """Show the page on automated and bulk messaging."""
    return help_view(request, lang, "help")


@public_access.public(_refuse, "GET", "POST", index=True)
def business_article(request: HttpRequest, lang: str) -> HttpResponse:
    """Show the page for companies."""
    return help_view(request, lang, "business")
