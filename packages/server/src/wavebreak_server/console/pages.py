"""What all pages share: who may see them, the service that they ask, navigation, errors, CSV."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from itertools import islice
from typing import Any
from urllib.parse import urlencode, urlsplit

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, StreamingHttpResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import get_resolver, reverse
from django.utils.html import format_html
from django.utils.safestring import mark_safe
from django.views.decorators.debug import sensitive_post_parameters

from wavebreak import __version__
from wavebreak.csv_files import CsvWriter
from wavebreak.errors import WavebreakError
from wavebreak.languages import SOURCE_LANGUAGE, get_language, msgid
from wavebreak_server.console.forms import MAX_REASON as MAX_REASON
from wavebreak_server.console.forms import ReasonForm
from wavebreak_server.console.plugins import NavigationItem, with_plugin_links
from wavebreak_server.console.script_texts import script_texts
from wavebreak_server.console.translations import console_languages
from wavebreak_server.errors import PROBLEMS, ApiError, DomainError, fix_for
from wavebreak_server.http.operations import RequestContext
from wavebreak_server.pipeline.pending_requests import BusyError
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.users.models import User
from wavebreak_server.texts import page_language, translate

View = Callable[..., HttpResponse]
PAGE_SIZE = 50
NAVIGATION = (
    NavigationItem("overview", msgid("Overview"), "overview", "view_overview", "g o"),
    NavigationItem("queue", msgid("Queue"), "queue", "view_queue", "g q"),
    NavigationItem("accounts", msgid("Accounts"), "account", "view_accounts", "g a"),
    NavigationItem("operators", msgid("Operators"), "operators", "view_accounts", "g p"),
    NavigationItem("appeals", msgid("Appeals"), "appeals", "view_appeals", "g e"),
    NavigationItem("policy", msgid("Policy"), "policy", "view_policy", "g r"),
    NavigationItem("reports", msgid("Reports"), "reports", "view_reports", "g t"),
    NavigationItem("settings", msgid("Settings"), "settings", "view_settings", "g s"),
)
CSV_LINES = 500
_PLAIN, _ENGLISH = mark_safe(""), mark_safe(' lang="en" dir="ltr"')


class Console(ActingUser):
    """What a page needs: the person, the service, and its functions from synchronous code."""

    def __init__(self, request: HttpRequest) -> None:
        scope: Any = getattr(request, "scope")  # noqa: B009 - not in Django's type
        user: User = request.user
        context = RequestContext(scope["wavebreak"], scope["wavebreak.context"], user.actor)
        super().__init__(user, context)
        self.request = request


def console_of(request: HttpRequest) -> Console:
    """Return the console of a request that a `page` has let through."""
    made: Console = request.console
    return made


def page(permission: str, *methods: str) -> Callable[[View], View]:
    """Declare a view: the permission that it needs, and its methods (default: GET).

    Who is not signed in goes to sign in; who lacks the permission gets 403; an error of the service
    becomes a page, or for a form a message, that says what to do.
    """
    allowed = methods or ("GET",)

    def decorate(view: View) -> View:
        @wraps(view)
        @sensitive_post_parameters()
        def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method not in (*allowed, "HEAD"):
                return HttpResponseNotAllowed(allowed)
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if not request.user.may(permission):
                return error_page(
                    request, 403, translate("Your role does not include this"), translate(FORBIDDEN)
                )
            request.console = Console(request)
            try:
                return view(request, *args, **kwargs)
            except WavebreakError as error:
                status = error.status if isinstance(error, ApiError) else 503
                return error_page(request, status, *error_texts(error))

        wrapped.permission = permission  # type: ignore[attr-defined]
        wrapped.methods = allowed  # type: ignore[attr-defined]
        return wrapped

    return decorate


def error_texts(error: WavebreakError) -> tuple[str, str]:
    """Return what is wrong and the way out, in the language of the page where it is translated."""
    if isinstance(error, DomainError):
        problem = PROBLEMS[error.code]
        return (
            translate(problem.what, **error.values),
            translate(problem.fixes.page, **error.values),
        )
    return translate(error.what), translate(fix_for(error, "page"))


FORBIDDEN = msgid("Ask an administrator for another role, or a colleague who has it.")


def error_page(request: HttpRequest, status: int, what: str, fix: str = "") -> HttpResponse:
    """Return an error as a page, or as an alert where htmx asked for a part of one."""
    template = (
        "console/parts/alert.html" if request.headers.get("HX-Request") else "console/error.html"
    )
    values = {
        "what": what[:1].upper() + what[1:],
        "fix": fix,
        "status": status,
        "kind": "danger",
        "back": page_before(request),
    }
    return render(request, template, values, status=status)


def page_before(request: HttpRequest) -> str:
    """Return the path of the console's page that the request came from; "" where it is unknown."""
    came = urlsplit(request.headers.get("Referer", ""))
    inside = came.netloc == request.get_host() and came.path.startswith("/console/")
    return came._replace(scheme="", netloc="").geturl() if inside else ""


def show(request: HttpRequest, template: str, **values: Any) -> HttpResponse:
    """Render a page."""
    return TemplateResponse(request, template, values).render()


def say(request: HttpRequest, text: str) -> None:
    """Show a message on the next page."""
    messages.success(request, text)


def say_of_account(request: HttpRequest, account: str, text: str) -> None:
    """Show a message on the next page about an account, with a link to what people did to it."""
    place = f"{reverse('account', args=[account])}#acts"
    messages.success(request, format_html('<a href="{}">{}</a>: {}', place, account, text))


def say_of_batch(request: HttpRequest, batch: str, text: str) -> None:
    """Show a message on the next page about acts on many, with a link to their undo."""
    undo = translate("All can be undone in one act.")
    place = reverse("batch", args=[batch])
    messages.success(request, format_html('{} <a href="{}">{}</a>', text, place, undo))


def warn(request: HttpRequest, text: str) -> None:
    """Show a warning on the next page."""
    messages.warning(request, text)


def reason_of(request: HttpRequest) -> str:
    """Return the reason of a form; raises ApiError (422) without one."""
    form = ReasonForm(request.POST)
    if not form.is_valid():
        fix = translate("say in a line why; it is sealed with the act")
        raise ApiError(422, form.errors["reason"][0], fix=fix)
    return str(form.cleaned_data["reason"])


def refuse(form: Form, field: str, error: ApiError) -> None:
    """Show an error of the service at a field of a form."""
    what, fix = error_texts(error)
    form.add_error(field, f"{what}: {fix}" if fix else what)


def number_of(text: str | None, least: int, most: int, otherwise: int) -> int:
    """Return a whole number of a query within bounds, else `otherwise`.

    >>> number_of("7", 1, 5, 1), number_of("x", 1, 5, 1), number_of("4", 1, 5, 1)
    (5, 1, 4)
    """
    if not text or not text.isascii() or not text.isdigit() or len(text) > 18:
        return otherwise
    return max(least, min(most, int(text)))


@dataclass(frozen=True)
class Rows:
    """A page of rows, and the link to the next one (empty: the last)."""

    rows: Sequence[Any]
    next: str = ""
    total: int | None = None


def keyset(
    request: HttpRequest, found: Sequence[Any], key: Callable[[Any], Any], size: int = PAGE_SIZE
) -> Rows:
    """Return the first `size` of `size + 1` rows, and the link behind them: `?after=KEY`."""
    rows = list(found[:size])
    if len(found) <= size:
        return Rows(rows)
    query = request.GET.dict() | {"after": str(key(rows[-1]))}
    return Rows(rows, f"?{urlencode(query)}")


class _Echo(io.StringIO):
    def take(self) -> str:
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


def csv_response(name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> HttpResponse:
    """Return rows as a CSV file, streamed; cells that a spreadsheet would run are quoted."""

    def lines() -> Iterator[str]:
        buffer = _Echo()
        writer = CsvWriter(buffer)
        writer.write(header)
        for row in rows:
            writer.write(row)
            yield buffer.take()
        yield buffer.take()

    async def stream() -> AsyncIterator[str]:
        chunks = lines()
        while chunk := await sync_to_async(lambda: "".join(islice(chunks, CSV_LINES)))():
            yield chunk

    response = StreamingHttpResponse(stream(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def sandboxed(text: str) -> HttpResponse:
    """Return a page of ours that has inline styles: they alone are allowed, by their digests."""
    styles = re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL)
    styles += re.findall(r'\sstyle="([^"]*)"', text)
    digests = {
        base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in styles
    }
    sources = " ".join(f"'sha256-{digest}'" for digest in sorted(digests)) or "'none'"
    hashes = " 'unsafe-hashes'" if re.search(r'\sstyle="', text) else ""
    response = HttpResponse(text, content_type="text/html; charset=utf-8")
    response["Content-Security-Policy"] = (
        f"sandbox; default-src 'none'; style-src {sources}{hashes}; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
    return response


# What every template may read


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Return what every template may read."""
    user: Any = getattr(request, "user", None)
    signed_in = user is not None and user.is_authenticated
    section = request.path.removeprefix("/console").strip("/").partition("/")[0] or "overview"
    return {
        "navigation": [
            n._replace(label=translate(n.label))
            for n in with_plugin_links(NAVIGATION)
            if signed_in and user.may(n.permission) and n.name in get_resolver().reverse_dict
        ],
        "section": section,
        "shadow": is_shadow(request),
        "page_language": page_language(),
        "offered_languages": [get_language(code) for code in console_languages()],
        "script_texts": script_texts(),
        "english": _PLAIN if page_language().code == SOURCE_LANGUAGE else _ENGLISH,
        "version": __version__,
        "session_began": _began(request) if signed_in else "",
    }


def is_shadow(request: HttpRequest) -> bool:
    """Whether the outcomes that a page shows are in force nowhere."""
    console: Console | None = getattr(request, "console", None)
    with suppress(BusyError):
        return console is not None and not console.deciding.enforce
    return False


def _began(request: HttpRequest) -> str:
    """Return when the session began, as ISO 8601."""
    began = request.session.get("began", 0)
    return datetime.fromtimestamp(began, UTC).isoformat() if began else ""


# A form without its token


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Refuse a form that this console did not send."""
    return error_page(
        request,
        403,
        translate("This form is out of date"),
        translate("Go back, reload the page and send it again."),
    )
