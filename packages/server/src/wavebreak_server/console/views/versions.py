"""Pages that versions of policies and of models share: their steps, and replays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from wavebreak.languages import msgid
from wavebreak.outcomes import rank_of
from wavebreak_server.console import pages
from wavebreak_server.console.act_form import was_seen
from wavebreak_server.slices.versions import replay_processes, service
from wavebreak_server.slices.versions.replay import Change
from wavebreak_server.slices.versions.step_sheets import back_sheet, live_sheet
from wavebreak_server.texts import translate

MOST_CHANGES = 1_000_000
LARGEST = 1 << 60
KINDS = {
    "stopped": msgid("Restricted or worse, and were not"),
    "freed": msgid("Were restricted or worse, and are not"),
    "harsher": msgid("Something harsher"),
    "milder": msgid("Something milder"),
}


def version_rows(request: HttpRequest, kind: service.Kind) -> pages.Rows:
    """Return a page of the versions, newest first."""
    after = request.GET.get("after")
    before = pages.number_of(after, 1, LARGEST, LARGEST) if after else None
    versions = service.newest_versions(kind, before, pages.PAGE_SIZE + 1)
    return pages.keyset(request, versions, lambda version: version.id)


@dataclass(frozen=True)
class StepViews:
    """Views of the steps of versions, for the forms of their pages.

    Attributes:
        index: Name of the page of all.
        messages: What is said after each step, by its name; `{name}` and `{seconds}` are filled in.
        first: What is called so that the service was started with.
    """

    kind: service.Kind
    page: str
    index: str
    messages: dict[str, str]
    first: str

    def _said(self, step: str, name: str, seconds: float) -> str:
        return translate(self.messages[step], name=name, seconds=format(seconds, ".1f"))

    def approve(self) -> pages.View:
        """Return the view that approves a version that somebody else wrote."""

        def view(request: HttpRequest, number: int) -> HttpResponse:
            console, reason = pages.console_of(request), pages.reason_of(request)
            version = service.find_version(self.kind, number)
            service.approve(self.kind, console, version, reason, request.POST.get("seen", ""))
            pages.say(request, translate(self.messages["approve"]))
            return redirect(self.page, number)

        return pages.page(self.kind.permission, "POST")(view)

    def reject(self) -> pages.View:
        """Return the view that closes a version that shall not go live."""

        def view(request: HttpRequest, number: int) -> HttpResponse:
            version = service.find_version(self.kind, number)
            service.reject(self.kind, pages.console_of(request), version, pages.reason_of(request))
            pages.say(request, translate(self.messages["reject"]))
            return redirect(self.page, number)

        return pages.page(self.kind.permission, "POST")(view)

    def go_live(self) -> pages.View:
        """Return the view that lets an approved version decide."""

        def view(request: HttpRequest, number: int) -> HttpResponse:
            console, reason = pages.console_of(request), pages.reason_of(request)
            version = service.find_version(self.kind, number)
            sheet = live_sheet(self.kind, console, version)
            service.check_approved(self.kind, console, version)
            if not was_seen(request, sheet):
                return redirect(self.page, number)
            noted = f"{reason} [{sheet.record}]"
            seconds = service.go_live(self.kind, console, version, noted)
            pages.say(request, self._said("go_live", version.name, seconds))
            return redirect(self.page, number)

        return pages.page(self.kind.permission, "POST")(view)

    def roll_back(self) -> pages.View:
        """Return the view that lets the version before the live one decide again."""

        def view(request: HttpRequest) -> HttpResponse:
            console, reason = pages.console_of(request), pages.reason_of(request)
            seen, sheet = request.POST.get("seen", ""), back_sheet(self.kind, console)
            if sheet is not None and not was_seen(request, sheet):
                return redirect(self.index)
            record = sheet.record if sheet else ""
            target, seconds = service.roll_back(self.kind, console, reason, seen, record)
            pages.say(request, self._said("roll_back", target or translate(self.first), seconds))
            return redirect(self.index)

        return pages.page(self.kind.permission, "POST")(view)


def replay_page(
    request: HttpRequest, kind: service.Kind, number: int, template: str, file: str
) -> HttpResponse:
    """Show a replay: its progress, or the accounts that fare otherwise.

    Args:
        request: The request; of htmx, for the progress alone.
        kind: The kind of the version that was replayed.
        number: The replay's.
        template: The name of the page, and of the part with the progress.
        file: What the name of the CSV file begins with.
    """
    console = pages.console_of(request)
    replay = service.find_replay(kind, console, number)
    out = service.replay_directory(kind, console, replay)
    values = {
        "replay": replay, "version": replay.of, "progress": replay_processes.progress(out),
    }  # fmt: skip
    if request.headers.get("HX-Request"):
        return render(request, f"console/parts/{template}", values | {"fresh": True})
    chosen = request.GET.get("kind", "")
    changes = replay_processes.changes(out, chosen if chosen in KINDS else "")
    if request.GET.get("format") == "csv":
        return _changes_csv(f"{file}-{replay.of.name}-{replay.id}", changes)
    # The file is in order and does not change: the position in it is the key.
    since = pages.number_of(request.GET.get("after"), 0, MOST_CHANGES, 0)
    rows = list(islice(changes, since, since + pages.PAGE_SIZE + 1))
    following = (
        f"?kind={chosen}&after={since + pages.PAGE_SIZE}" if len(rows) > pages.PAGE_SIZE else ""
    )
    result = replay.result
    return pages.show(
        request,
        f"console/{template}",
        **values,
        result=result,
        events=result.get("end", 0) - result.get("first", 0),
        moves=moves_of(result),
        hits=_hits(result),
        rows=pages.Rows(rows[: pages.PAGE_SIZE], following),
        since=since,
        kind=chosen,
        kinds=KINDS,
        current=service.is_current(kind, console, replay),
    )


def _changes_csv(name: str, changes: Iterator[Change]) -> HttpResponse:
    header = ("account", "kind", "before", "after", "rules_before", "rules_after", "label")
    rows = (
        (c.account, c.kind, c.before, c.after, " ".join(c.rules_before),
         " ".join(c.rules_after), c.label)
        for c in changes
    )  # fmt: skip
    return pages.csv_response(name, header, rows)


def moves_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return from what to what outcome accounts would change, with how many of each label."""
    names = ("before", "after", "count", "benign", "abusive")
    moves = [dict(zip(names, move, strict=True)) for move in result.get("moves", [])]
    return [move | {"worse": rank_of(move["after"]) > rank_of(move["before"])} for move in moves]


def _hits(result: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Return the rules whose hits differ, those that differ most first."""
    hits = [(name, *pair) for name, pair in result.get("hits", {}).items() if pair[0] != pair[1]]
    return sorted(hits, key=lambda row: (-abs(row[1] - row[2]), row[0]))
