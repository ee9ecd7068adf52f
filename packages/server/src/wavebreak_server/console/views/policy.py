"""Policy: rules with their figures, versions and replays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse

from wavebreak.durations import DAY_MS
from wavebreak.errors import WavebreakError
from wavebreak.languages import msgid
from wavebreak.rules import Rule
from wavebreak_server.console import pages
from wavebreak_server.console.views.versions import StepViews, replay_page, version_rows
from wavebreak_server.errors import ApiError
from wavebreak_server.pipeline import live_policy
from wavebreak_server.slices.versions import policy_versions as versions
from wavebreak_server.slices.versions import replay_processes, rule_statistics, service
from wavebreak_server.slices.versions.models import PolicyVersion
from wavebreak_server.slices.versions.policy_versions import POLICY
from wavebreak_server.slices.versions.step_sheets import back_sheet, live_sheet
from wavebreak_server.texts import translate

NEW_RULE = """
[[rule]]
id = "name_of_the_rule"
abuse = "norms"
about = "What the rule finds, in a sentence."
source = "Where its numbers come from."
stage = "messaging"
on = ["sent"]
when = ["unanswered_strangers_1d >= 40"]
outcome = "observe"
basis = "doubt"
false_actions = "Whom it will wrongly meet, and how often."
review_by = "2027-12-31"
mode = "shadow"
fires_on = [{ unanswered_strangers_1d = 40 }]
stays_quiet_on = [{ unanswered_strangers_1d = 39 }]
""".lstrip()


STEPS = StepViews(
    POLICY,
    "policy_version",
    "policy_versions",
    {
        "approve": msgid("Approved. It decides nothing until it goes live."),
        "reject": msgid("Closed. Its files are kept."),
        "go_live": msgid("{name} decides now. New events waited {seconds} s meanwhile."),
        "roll_back": msgid("{name} decides again. New events waited {seconds} s meanwhile."),
    },
    msgid("The policy that the service was started with"),
)
approve, reject, live = STEPS.approve(), STEPS.reject(), STEPS.go_live()
roll_back = STEPS.roll_back()


# Rules


@pages.page("view_policy")
def rules(request: HttpRequest) -> HttpResponse:
    """Show every rule with its figures."""
    console = pages.console_of(request)
    figures = rule_statistics.rule_figures(console)
    if request.GET.get("format") == "csv":
        return _rules_csv(figures)
    order = request.GET.get("sort", "")
    keys = {
        "hits": lambda f: -f.hits,
        "precision": lambda f: 2.0 if f.precision.share is None else f.precision.share,
        "overturned": lambda f: -f.overturned,
    }
    if order in keys:
        figures.sort(key=keys[order])
    return pages.show(
        request,
        "console/policy.html",
        figures=figures,
        sort=order,
        tab="rules",
        running=_running(console),
        overdue=sum(f.overdue for f in figures),
        in_shadow=sum(f.shadow is not None for f in figures),
        newest=rule_statistics.NEWEST,
    )


def _rules_csv(figures: list[rule_statistics.RuleFigures]) -> HttpResponse:
    header = (
        "rule", "about", "stage", "outcome", "basis", "mode", "hits", "accounts", "judged",
        "abusive", "precision_low", "precision_high", "appeals", "overturned", "shadow_accounts",
        "shadow_benign", "shadow_abusive", "review_by", "false_actions",
    )  # fmt: skip
    rows = (
        (
            f.rule.id, f.rule.about, f.rule.stage, f.rule.outcome or f.rule.label, f.rule.basis,
            f.rule.mode, f.hits, f.accounts, f.precision.judged, f.precision.abusive,
            *(f.precision.interval if f.precision.judged else ("", "")), f.appeals, f.overturned,
            *(f.shadow or ("", "", "")), f.rule.review_by or "", f.rule.false_actions or "",
        )
        for f in figures
    )  # fmt: skip
    return pages.csv_response("rules", header, rows)


def _running(console: pages.Console) -> dict[str, Any]:
    """Return which policy decides, and since when."""
    return {
        "policy": console.service.responder.policy.version,
        "version": service.live_version(POLICY, console.service),
        "name": POLICY.live_name(console.service),
        "since": versions.live_since(console.service),
    }


@pages.page("view_policy")
def rule(request: HttpRequest, rule_id: str) -> HttpResponse:
    """Show one rule: conditions, examples, figures, whom it met."""
    console = pages.console_of(request)
    figures = {f.rule.id: f for f in rule_statistics.rule_figures(console)}.get(rule_id)
    if figures is None:
        raise ApiError(
            404, translate("there is no such rule"), fix=translate("see the list of rules")
        )
    live = versions.directory_that_decides(console.service)
    name = versions.file_of_rule(live, rule_id)
    counted = rule_statistics.hits_over_time(console, rule_id)
    chart = {
        "x": [at // 1000 for at, _ in counted],
        "series": [{"label": translate("accounts"), "values": [n for _, n in counted]}],
    } if counted else {}  # fmt: skip
    return pages.show(
        request,
        "console/policy_rule.html",
        figures=figures,
        rule=figures.rule,
        conditions=rule_statistics.conditions_of(figures.rule.when),
        examples=rule_statistics.examples_of(figures.rule),
        chart=chart,
        counted=[row for row in counted[::-1] if row[1]][: pages.PAGE_SIZE],
        hourly=len(counted) > 1 and counted[1][0] - counted[0][0] < DAY_MS,
        accounts=rule_statistics.newest_accounts(console, rule_id),
        file=name,
        text=versions.block_of(versions.effective_text(live, name), rule_id) if name else "",
        drafts=versions.open_drafts(console, pages.PAGE_SIZE),
    )


def _rule(console: pages.Console, rule_id: str) -> Rule:
    found = versions.live_policy_of(console).rule(rule_id)
    if found is None:
        raise ApiError(
            404, translate("there is no such rule"), fix=translate("see the list of rules")
        )
    return found


# Versions


@pages.page("view_policy")
def policy_versions(request: HttpRequest) -> HttpResponse:
    """Show the versions, newest first, and which one decides."""
    console = pages.console_of(request)
    target = POLICY.previous_name(console.service)
    return pages.show(
        request,
        "console/policy_versions.html",
        rows=version_rows(request, POLICY),
        tab="versions",
        running=_running(console),
        target=target,
        earlier=service.version_of(POLICY, target or ""),
        can_roll_back=target is not None,
        back_sheet=back_sheet(POLICY, console),
    )


@pages.page("edit_policy", "POST")
def new_version(request: HttpRequest) -> HttpResponse:
    """Start a draft from the live policy, or from another version."""
    console, reason = pages.console_of(request), pages.reason_of(request)
    start = request.POST.get("start", "")
    source = service.find_version(POLICY, int(start)) if start.isdigit() else None
    made = versions.create_draft(console, reason, source)
    rule_id = request.POST.get("rule", "")
    if name := versions.file_of_rule(versions.directory_of(console, made), rule_id):
        return redirect(f"{reverse('policy_edit', args=[made.id])}?file={name}&rule={rule_id}")
    return redirect("policy_version", made.id)


@pages.page("view_policy")
def version(request: HttpRequest, number: int) -> HttpResponse:
    """Show a version: what it changes, its replay, its approval."""
    console = pages.console_of(request)
    newest = service.newest_replay(POLICY, console, number)
    version = service.find_version(POLICY, number)
    directory = versions.directory_of(console, version)
    live = service.live_version(POLICY, console.service)
    is_live = live is not None and live.id == version.id
    return pages.show(
        request,
        "console/policy_version.html",
        version=version,
        is_live=is_live,
        running=_running(console),
        files=versions.file_names(directory),
        own=sorted(live_policy.policy_files(directory)),
        changes=[] if is_live else _changes(console, version),
        compared=[] if is_live else versions.changed_files(console, version),
        problem=version.problem.partition("\n"),
        replay=newest,
        progress=replay_processes.progress(service.replay_directory(POLICY, console, newest))
        if newest
        else {},
        valid=service.valid_replay(POLICY, console, version),
        live_sheet=live_sheet(POLICY, console, version),
        mine=version.author_id == console.user.id,
        approvers=service.people_who_may_approve(POLICY, version),
        steps=_steps(version, is_live=is_live),
    )


def _steps(version: PolicyVersion, *, is_live: bool) -> list[tuple[str, str]]:
    """Return the steps of a version, each done, current or left."""
    names = ("written", "checked", "replayed", "approved", "live")
    states = (
        PolicyVersion.DRAFT, PolicyVersion.CHECKED, PolicyVersion.REPLAYED, PolicyVersion.APPROVED,
        PolicyVersion.LIVE,
    )  # fmt: skip
    at = states.index(version.state) if version.state in states else (4 if version.live_ms else 0)
    if is_live:
        return [(name, "done") for name in names]
    return [
        (name, "done" if k <= at else "current" if k == at + 1 and version.is_open else "left")
        for k, name in enumerate(names)
    ]


def _changes(console: pages.Console, version: PolicyVersion) -> list[versions.RuleChange]:
    directory = versions.directory_of(console, version)
    if not version.policy or not live_policy.policy_files(directory):
        return []
    try:
        draft = versions.loaded(directory, version.digest)
    except WavebreakError:
        return []
    return versions.changed_rules(versions.live_policy_of(console), draft)


@pages.page("edit_policy", "GET", "POST")
def edit(request: HttpRequest, number: int) -> HttpResponse:
    """Edit a file of a draft, or one rule of it; saving checks the whole policy."""
    console, version = pages.console_of(request), service.find_version(POLICY, number)
    given = request.POST if request.method == "POST" else request.GET
    name, rule_id = given.get("file", "")[:60], given.get("rule", "")[:48]
    versions.own_draft(console, version)
    if request.method != "POST":
        return _editor(request, version, name, rule_id)
    text, seen = request.POST.get("text", ""), request.POST.get("seen", "")
    try:
        if request.POST.get("act") == "remove":
            problem = versions.delete_file(console, version, name, seen)
        else:
            problem = versions.save_file(console, version, name, text, seen, rule_id)
    except service.StaleError as error:
        return _editor(request, version, name, rule_id, text=text, stale=error)
    if problem:
        pages.warn(
            request, translate("Saved, but it cannot decide yet: see what to correct below.")
        )
        return _editor(request, version, name, rule_id, problem=problem)
    pages.say(request, translate("Saved and checked: {name}.", name=name))
    return redirect("policy_version", version.id)


def _editor(
    request: HttpRequest,
    version: PolicyVersion,
    name: str,
    rule_id: str,
    *,
    text: str | None = None,
    problem: versions.Problem | None = None,
    stale: ApiError | None = None,
) -> HttpResponse:
    """Show the editor; for a stale form, the stored text beside the one that was sent."""
    console = pages.console_of(request)
    directory = versions.directory_of(console, version)
    whole = versions.effective_text(directory, name) if name else ""
    stored = versions.block_of(whole, rule_id) if rule_id else whole
    if not stored and name.startswith("rules/"):
        stored = NEW_RULE
    live = (
        versions.effective_text(versions.directory_that_decides(console.service), name)
        if name
        else ""
    )
    response = pages.show(
        request,
        "console/policy_edit.html",
        version=version,
        files=versions.file_names(directory),
        own=set(live_policy.policy_files(directory)),
        file=name,
        rule_id=rule_id,
        text=stored if text is None else text,
        stored=stored,
        live=versions.block_of(live, rule_id) if rule_id else live,
        seen=version.digest,
        problem=problem or _problem(version, directory, name, rule_id),
        stale=stale,
    )
    response.status_code = 409 if stale else 422 if problem else 200
    return response


def _problem(
    version: PolicyVersion, directory: Path, name: str, rule_id: str
) -> versions.Problem | None:
    problem = versions.stored_problem(version, directory)
    return versions.within_rule(problem, directory, name, rule_id)


@pages.page("edit_policy", "POST")
def check(request: HttpRequest, number: int) -> HttpResponse:
    """Check a text while it is typed; return what is wrong, by line."""
    console, version = pages.console_of(request), service.find_version(POLICY, number)
    versions.own_draft(console, version)
    name, rule_id = request.GET.get("file", "")[:60], request.GET.get("rule", "")[:48]
    text = request.POST.get("text", "")
    problem = versions.check_text(console, version, name, text, rule_id)
    if problem is None:
        return JsonResponse([], safe=False)
    elsewhere = problem.file and problem.file != name
    words = f"{problem.what}. {problem.fix}"
    line = 1 if elsewhere else problem.line
    return JsonResponse([{"line": line, "severity": "error", "message": words}], safe=False)


@pages.page("edit_policy", "POST")
def start_replay(request: HttpRequest, number: int) -> HttpResponse:
    """Replay the log under the live policy and a version."""
    versions.start_policy_replay(pages.console_of(request), service.find_version(POLICY, number))
    return redirect("policy_version", number)


@pages.page("view_policy")
def replay(request: HttpRequest, number: int) -> HttpResponse:
    """Show a replay: its progress, or the accounts that fare otherwise."""
    return replay_page(request, POLICY, number, "policy_replay.html", "replay")
