"""Reports: transparency and its recount, work of reviewers, answers to help pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from wavebreak.notices.platform import load_platform
from wavebreak_server.console import pages
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.slices.help import service as help_answers
from wavebreak_server.slices.queue import service as review_queue
from wavebreak_server.slices.reports.service import ReportFiles
from wavebreak_server.texts import translate

MONTHS, SHOWN_REVIEWERS = 12, 20


def _files(console: pages.Console) -> ReportFiles:
    settings = console.service.settings
    return console.context.app.state_of(ReportFiles, settings.home, settings.database)


@pages.page("view_reports")
def reports(request: HttpRequest) -> HttpResponse:
    """Show the reports that are kept, and what can be counted."""
    console = pages.console_of(request)
    files = _files(console)
    running, failed = files.state()
    return pages.show(
        request,
        "console/reports.html",
        kept=list(files.kept()),
        running=running,
        failed=failed,
        months=_months(console.now_ms),
        reviewers=review_queue.busiest_reviewers(SHOWN_REVIEWERS),
        help=help_answers.help_trend(console.now_ms),
    )


def _provider() -> str:
    names = load_platform().name
    return names.get("en") or next(iter(names.values()))


def _months(now_ms: int) -> list[str]:
    """Return the last twelve months, newest first."""
    first = datetime.fromtimestamp(now_ms / 1000, UTC).replace(day=1)
    found = []
    for _ in range(MONTHS):
        found.append(first.strftime("%Y-%m"))
        first = (first - timedelta(days=1)).replace(day=1)
    return found


@pages.page("make_reports", "POST")
def make_report(request: HttpRequest) -> HttpResponse:
    """Begin to count the report of a month."""
    console, reason = pages.console_of(request), pages.reason_of(request)
    month = request.POST.get("month", "")
    _files(console).make(month, _provider(), console.now_ms)
    with transaction.atomic():
        write_audit_entry(console.now_ms, console.user.actor, "make_report", month, reason)
    pages.say(request, translate("The report of {month} is being counted.", month=month))
    return redirect("reports")


@pages.page("view_reports", "POST")
def recount(request: HttpRequest, month: str) -> HttpResponse:
    """Begin to recount a report from the ledger; it changes no number."""
    _files(pages.console_of(request)).recount(month)
    pages.say(request, translate("{month} is being recounted from the ledger.", month=month))
    return redirect("reports")


@pages.page("view_reports")
def report_file(request: HttpRequest, month: str, name: str) -> HttpResponse:
    """Return a file of a report; its page has a content policy of its own, which runs nothing."""
    path, media = _files(pages.console_of(request)).file(month, name)
    if media.startswith("text/html"):
        return pages.sandboxed(path.read_text("utf-8"))
    response = HttpResponse(path.read_bytes(), content_type=media)
    kept = f"transparency-{month}-{path.name}"
    response["Content-Disposition"] = f'attachment; filename="{kept}"'
    return response
