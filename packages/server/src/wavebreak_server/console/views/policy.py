"""Policy: rules with their figures, versions and replays."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from wavebreak.durations import DAY_MS
from wavebreak.errors import WavebreakError
from wavebreak.languages import msgid
from wavebreak_server.console import pages
from wavebreak_server.console.views.versions import StepViews, replay_page, version_rows
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.versions import policy_versions as versions
from wavebreak_server.slices.versions import replay_processes, rule_statistics, service
from wavebreak_server.slices.versions.models import PolicyVersion
from wavebreak_server.slices.versions.policy_versions import POLICY
from wavebreak_server.slices.versions.step_sheets import back_sheet, live_sheet
from wavebreak_server.texts import translate

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
    )


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
def upload(request: HttpRequest) -> HttpResponse:
    """Store the files of a form as a version, if the policy loads."""
    console, reason = pages.console_of(request), pages.reason_of(request)
    texts = {
        versions.path_of(str(file.name)): _text_of(file) for file in request.FILES.getlist("files")
    }
    if not texts:
        raise ApiError(
            422, translate("no file was sent"), fix=translate("choose the files of the policy")
        )
    home, base = console.service.settings.home, versions.directory_that_decides(console.service)
    checked = versions.checked_upload(home, base, texts)
    version = versions.create_version(home, checked, console.user, reason, console.now_ms)
    pages.say(request, translate("Uploaded and checked: {name}.", name=version.name))
    return redirect("policy_version", version.id)


def _text_of(file: UploadedFile) -> str:
    """Return the text of an uploaded file; raises ApiError (422) for one that is no text."""
    try:
        return str(file.read(), "utf-8")
    except UnicodeDecodeError:
        raise ApiError(
            422,
            translate("{name} is no text in UTF-8", name=str(file.name)),
            fix=translate("upload the TOML files of the policy"),
        ) from None


@pages.page("view_policy")
def version(request: HttpRequest, number: int) -> HttpResponse:
    """Show a version: what it changes, its replay, its approval."""
    console = pages.console_of(request)
    newest = service.newest_replay(POLICY, console, number)
    version = service.find_version(POLICY, number)
    live = service.live_version(POLICY, console.service)
    is_live = live is not None and live.id == version.id
    return pages.show(
        request,
        "console/policy_version.html",
        version=version,
        is_live=is_live,
        running=_running(console),
        own=versions.own_files(console, version),
        changes=[] if is_live else _changes(console, version),
        compared=[] if is_live else versions.changed_files(console, version),
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
    names = ("checked", "replayed", "approved", "live")
    states = (
        PolicyVersion.CHECKED, PolicyVersion.REPLAYED, PolicyVersion.APPROVED, PolicyVersion.LIVE
    )  # fmt: skip
    at = states.index(version.state) if version.state in states else (3 if version.live_ms else -1)
    if is_live:
        return [(name, "done") for name in names]
    return [
        (name, "done" if k <= at else "current" if k == at + 1 and version.is_open else "left")
        for k, name in enumerate(names)
    ]


def _changes(console: pages.Console, version: PolicyVersion) -> list[versions.RuleChange]:
    directory = versions.directory_of(console, version)
    if not version.policy:
        return []
    try:
        draft = versions.loaded(directory, version.digest)
    except WavebreakError:
        return []
    return versions.changed_rules(versions.live_policy_of(console), draft)


@pages.page("edit_policy", "POST")
def start_replay(request: HttpRequest, number: int) -> HttpResponse:
    """Replay the log under the live policy and a version."""
    versions.start_policy_replay(pages.console_of(request), service.find_version(POLICY, number))
    return redirect("policy_version", number)


@pages.page("view_policy")
def replay(request: HttpRequest, number: int) -> HttpResponse:
    """Show a replay: its progress, or the accounts that fare otherwise."""
    return replay_page(request, POLICY, number, "policy_replay.html", "replay")
