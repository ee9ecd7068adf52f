"""Tests of the console's pages: who may open what, forms, claims, acts and their undo."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from support.console_harness import RunningConsole, console_test
from support.policy_pages import FILE, TEXT, upload
from support.service_harness import abuser
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.acts.models import Batch, PersonAct
from wavebreak_server.slices.queue.models import Review, ReviewCase
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.users.permissions import PERMISSIONS, ROLES, may
from wavebreak_server.slices.versions.models import PolicyVersion
from wavebreak_server.storage.models import AuditEntry, LedgerEntry

ARGUMENTS: dict[str, str] = {
    "account": "ann", "case_id": "1", "key": "op-0", "batch_id": "none", "act_id": "1",
    "operator_id": "op-0123456789ab", "user_id": "1", "prefix": "00000000", "appeal_id": "1",
    "version_id": "1", "rule_id": "confirmed_abusive", "exhibit_id": "E1", "name": "report.html",
    "month": "2026-01", "tab": "parties", "replay_id": "1", "model_id": "1",
    "number": "1", "kind": "device", "webhook_id": "hook_0", "portfolio": "shop",
}  # fmt: skip


async def _with_abuser(console: RunningConsole) -> None:
    await console.running.send(abuser())
    await console.index()


visits = console_test(_with_abuser)
"""Runs a test against a console that has banned `ann`."""


def pages() -> list[tuple[str, str, tuple[str, ...], str]]:
    """Name, path, methods and permission of every page of the console."""
    found = []
    resolver = next(
        r for r in get_resolver("wavebreak_server.console.urls").url_patterns
        if isinstance(r, URLResolver) and str(r.pattern) == "console/"
    )  # fmt: skip
    for pattern in resolver.url_patterns:
        assert isinstance(pattern, URLPattern)
        path = re.sub(r"<\w+:(\w+)>", lambda m: ARGUMENTS[m[1]], str(pattern.pattern))
        view: Any = pattern.callback
        found.append((pattern.name, f"/console/{path}", view.methods, view.permission))
    return found


@visits
async def test_every_page_by_every_role_is_open_or_refused(console: RunningConsole) -> None:
    asked = 0
    for role in ROLES:
        person = await console.person(role)
        token = await person.token()
        for name, path, methods, permission in pages():
            if "GET" in methods:
                answer = await person.get(path)
            else:
                answer = await person.client.post(path, data={"csrfmiddlewaretoken": token})
            asked += 1
            refused = answer.status_code == 403
            assert refused != may(role, permission), (role, name, answer.status_code)
            assert answer.status_code != 500, (role, name)
    assert asked >= 31 * len(ROLES)


@visits
async def test_every_page_without_sign_in_leads_to_sign_in(console: RunningConsole) -> None:
    visitor = console.anybody()
    for name, path, methods, _permission in pages():
        answer = await visitor.get(path)
        if "GET" in methods:
            assert answer.status_code == 302, name
            assert answer.headers["location"].startswith("/console/user/login/?next="), name
        else:
            assert answer.status_code == 405, name


def test_permissions_have_roles_and_auditor_changes_nothing() -> None:
    used = {permission for *_, permission in pages()}
    assert used <= PERMISSIONS.keys()
    for name, _path, methods, permission in pages():
        # A recount changes no number: it is for auditors above all. The language is one's own
        # preference.
        changes = name not in ("recount", "language")
        if "POST" in methods and "GET" not in methods and changes:
            assert not may("auditor", permission), permission


@visits
async def test_form_without_token_is_refused(console: RunningConsole) -> None:
    person = await console.person("lead")
    answer = await person.client.post("/console/queue/next", data={})
    assert answer.status_code == 403
    assert "out of date" in answer.text


@visits
async def test_pages_of_a_case_are_light_over_the_wire(console: RunningConsole) -> None:
    person = await console.person("lead")
    case = (await person.post("/console/queue/next")).headers["location"]
    for path in (case, "/console/accounts/ann", "/console/queue", "/console/"):
        answer = await person.get(path, headers={"accept-encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip", path
        assert answer.num_bytes_downloaded <= 25_000, path
        assert len(answer.content) > answer.num_bytes_downloaded


@visits
async def test_headers_allow_no_inline_script_and_no_framing(console: RunningConsole) -> None:
    person = await console.person("lead")
    answer = await person.get("/console/queue")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script(?![^>]*(src=|type=\"application/json\"))", answer.text)
    assert not re.search(r"\s(style|onclick|onload)=", answer.text)


@visits
async def test_unknown_host_is_refused(console: RunningConsole) -> None:
    visitor = console.anybody()
    answer = await visitor.get("/console/", headers={"host": "evil.example"})
    assert answer.status_code == 400


@visits
async def test_session_cookie_is_httponly_and_sign_in_works(console: RunningConsole) -> None:
    await console.person("lead", "dana")
    visitor = console.anybody()
    answer = await visitor.post(
        "/console/user/login/",
        page="/console/user/login/",
        login="dana",
        password="correct horse battery staple",
        next="https://evil.example/",
    )
    assert answer.status_code == 302
    assert answer.headers["location"] == "/console/"
    cookie = next(c for c in answer.headers.get_list("set-cookie") if "wavebreak_session" in c)
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


@visits
async def test_case_is_claimed_decided_and_sealed(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    answer = await person.post("/console/queue/next")
    case_path = answer.headers["location"]
    assert re.fullmatch(r"/console/queue/\d+", case_path)
    page = await person.get(case_path)
    assert "Your verdict" in page.text
    other = await console.person("analyst", "omer")
    refused = await other.post(f"{case_path}/claim")
    assert refused.status_code == 409
    assert "works on this case" in refused.text
    sealed = await stored(LedgerEntry.objects.count)
    version = re.search(r'name="version" value="(\d+)"', page.text)
    assert version
    answer = await person.act(
        f"{case_path}/decide", verdict="benign", reason="a wedding", version=version[1]
    )
    assert answer.status_code == 302
    after = await person.get(answer.headers["location"])
    link = '<a href="/console/accounts/ann#acts">ann</a>'
    assert f"{link}: Shadow: nothing is in force. With enforcement it would be allow" in after.text
    account = await person.get("/console/accounts/ann")
    assert "a wedding" in account.text
    case = await stored(lambda: ReviewCase.objects.get())
    assert (case.state, case.verdict) == ("closed", "benign")
    review = await stored(lambda: Review.objects.select_related("reviewer").get())
    assert (review.reviewer.username, review.verdict) == ("noa", "benign")
    assert await stored(LedgerEntry.objects.count) > sealed
    audit = await stored(lambda: list(AuditEntry.objects.filter(key="user:noa")))
    assert [(e.action, e.outcome) for e in audit] == [("override", "done")]


@visits
async def test_stale_form_is_refused_with_a_warning(console: RunningConsole) -> None:
    person = await console.person("analyst")
    path = (await person.post("/console/queue/next")).headers["location"]
    answer = await person.act(f"{path}/decide", verdict="benign", reason="x", version="99")
    assert answer.headers["location"] == path
    assert "The case changed while you read it" in (await person.get(path)).text
    assert await stored(Review.objects.count) == 0


@visits
async def test_act_without_reason_or_outcome_is_refused(console: RunningConsole) -> None:
    person = await console.person("analyst")
    for fields, said in (
        ({"verdict": "abusive"}, "reason is missing"),
        ({"verdict": "undetermined", "outcome": "limit", "hold": "1h"}, "reason is missing"),
        ({"reason": "x"}, "no verdict was chosen"),
        ({"reason": "x", "verdict": "undetermined"}, "no outcome was chosen"),
        ({"reason": "x", "verdict": "undetermined", "outcome": "limit"}, "needs a duration"),
    ):
        answer = await person.act("/console/account-acts/ann", **fields)
        assert answer.status_code == 422
        assert said in answer.text.lower()
    limit = {"verdict": "undetermined", "outcome": "limit"}
    page = (await person.act("/console/account-acts/ann", **limit)).text
    assert "needs a duration" in page
    assert "A reason is missing" in page
    assert re.search(r'value="undetermined" checked', page)
    assert re.search(r'<option value="limit" selected>', page)


@visits
async def test_error_page_leads_back_within_the_console(console: RunningConsole) -> None:
    person = await console.person("lead")
    path = "/console/queue/preview"
    token = await person.token()
    for came_from, back in (
        ("http://localhost/console/accounts/ann?a=1", 'href="/console/accounts/ann?a=1" data-back'),
        ("http://elsewhere.example/console/", None),
        ("http://localhost/v1/health", None),
    ):
        answer = await person.client.post(
            path, data={"csrfmiddlewaretoken": token}, headers={"Referer": came_from}
        )
        assert answer.status_code == 422
        assert ("data-back" in answer.text) == (back is not None)
        assert back is None or back in answer.text


@visits
async def test_overview_names_what_waits_for_ones_approval(console: RunningConsole) -> None:
    owner, lead = await console.person("policy_owner"), await console.person("lead")
    await upload(owner, {FILE: TEXT}, "another threshold")
    assert "you may approve it" not in (await lead.get("/console/")).text
    await stored(lambda: PolicyVersion.objects.update(state=PolicyVersion.REPLAYED))
    assert "/console/policy/versions/1" in (await lead.get("/console/")).text
    assert "you may approve it" not in (await owner.get("/console/")).text
    analyst = await console.person("analyst")
    assert "you may approve it" not in (await analyst.get("/console/")).text


async def _act_for_a_week(person: Any, **said: str) -> PersonAct:
    """Set another outcome for seven days on an account that is banned."""
    fields = {"verdict": "undetermined", "hold": "7d", "seen": "ban"} | said
    answer = await person.act("/console/account-acts/ann", **fields)
    assert answer.status_code == 302, answer.text
    act: PersonAct = await stored(lambda: PersonAct.objects.get())
    return act


@visits
async def test_act_with_end_is_applied_and_undone(console: RunningConsole) -> None:
    person = await console.person("analyst")
    act = await _act_for_a_week(person, outcome="limit", reason="milder")
    assert (act.before, act.outcome) == ("ban", "limit")
    assert act.until_ms is not None
    answer = await person.post(f"/console/acts/{act.id}/undo", reason="no, it was right")
    assert answer.status_code == 302
    page = (await person.get("/console/accounts/ann")).text
    assert 'class="pill pill-ban"' in page
    assert "undone by" in page
    assert "no, it was right" in page


@visits
async def test_ban_with_an_end_keeps_its_end(console: RunningConsole) -> None:
    person = await console.person("analyst")
    act = await _act_for_a_week(person, outcome="ban", reason="one week")
    assert act.outcome == "ban"
    assert act.until_ms is not None
    page = (await person.get("/console/accounts/ann")).text
    assert "Ends by itself, or on appeal" in page
    assert "Does not end by itself" not in page
    answer = await person.post(f"/console/acts/{act.id}/undo", reason="as before")
    assert answer.status_code == 302
    assert "Does not end by itself" in (await person.get("/console/accounts/ann")).text


@visits
async def test_queue_pages_and_file_keep_the_filter(console: RunningConsole) -> None:
    await console.running.send(abuser(account="bob"))
    await console.running.send(abuser(account="eve"))
    await console.index()
    person = await console.person("analyst")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("wavebreak_server.console.pages.PAGE_SIZE", 2)
        first = (await person.get("/console/queue/cases?outcome=ban&basis=")).text
        assert 'href="?outcome=ban&amp;page=2"' in first
        assert 'href="?outcome=ban&amp;format=csv"' in first
        second = (await person.get("/console/queue/cases?outcome=ban&page=2")).text
        assert 'href="?outcome=ban&amp;page=1"' in second
        unfiltered = (await person.get("/console/queue/cases")).text
        assert 'href="?page=2"' in unfiltered
    assert 'href="?format=csv"' in unfiltered


@visits
async def test_preview_shows_what_is_in_force_without_a_case(console: RunningConsole) -> None:
    await stored(ReviewCase.objects.all().delete)
    person = await console.person("lead")
    preview = await person.post(
        "/console/queue/preview", verdict="benign", reason="a test of ours", account="ann"
    )
    assert 'class="pill pill-ban"' in preview.text
    assert "It is no case." in preview.text


@visits
async def test_settings_show_terms_of_notices_and_appeals(console: RunningConsole) -> None:
    person = await console.person("admin")
    page = (await person.get("/console/settings")).text
    assert "<dd>180 days</dd>" in page
    assert "2019-12-07; counts from 2019-12-08" in page
    assert "30 days after its answer" in page


@visits
async def test_batch_is_previewed_typed_and_undone(console: RunningConsole) -> None:
    for k in range(12):
        await console.running.send(abuser(account=f"spam-{k}"))
    await console.index()
    person = await console.person("lead")
    cases = await stored(lambda: list(ReviewCase.objects.values_list("id", flat=True)))
    wanted: dict[str, Any] = {
        "verdict": "benign",
        "reason": "a test of ours",
        "case": [str(c) for c in cases],
    }
    preview = await person.post("/console/queue/preview", **wanted)
    assert "BENIGN 13" in preview.text
    assert re.search(r">ban</span> .*>allow</span></td><td class=\"num\">13<", preview.text)
    accounts = re.findall(r'name="account" value="([^"]+)"', preview.text)
    assert len(accounts) == 13
    fields: dict[str, Any] = {
        "verdict": "benign", "reason": "a test of ours", "account": accounts
    }  # fmt: skip
    refused = await person.act("/console/queue/bulk", **fields)
    assert refused.status_code == 422
    assert "Type BENIGN 13" in refused.text
    assert await stored(Batch.objects.count) == 0
    faulty = await person.post("/console/queue/preview", case=wanted["case"])
    assert faulty.status_code == 422
    assert "A reason is missing; no verdict was chosen" in faulty.text
    done = await person.act("/console/queue/bulk", **fields, typed="BENIGN 13")
    batch = await stored(lambda: Batch.objects.get())
    assert done.headers["location"] == f"/console/queue/batches/{batch.id}"
    assert batch.done == 13
    outcomes = await stored(lambda: set(PersonAct.objects.values_list("outcome", flat=True)))
    assert outcomes == {"allow"}
    await person.post(f"/console/queue/batches/{batch.id}/undo", reason="not ours after all")
    page = (await person.get("/console/accounts/spam-3")).text
    assert 'class="pill pill-ban"' in page
    undone = await stored(lambda: PersonAct.objects.exclude(undone_ms=None).count())
    assert undone == 13


@visits
async def test_phone_number_search_stores_nothing(console: RunningConsole, tmp_path: Path) -> None:
    registered = {
        "type": "account.registered", "ts": 1_767_222_900_000, "account": "pho",
        "phone": "+972529876543",
    }  # fmt: skip
    await console.running.send([registered])
    person = await console.person("analyst")
    answer = await person.post("/console/accounts", q="+972 52-987-6543")
    assert answer.status_code == 302, answer.text[-1500:]
    assert answer.headers["location"] == "/console/accounts/pho"
    unread = await person.post("/console/accounts", q="052-987-6543")
    assert unread.status_code == 200
    assert "with its country code" in unread.text
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert b"529876543" not in file.read_bytes(), file


@visits
async def test_account_name_is_escaped(console: RunningConsole) -> None:
    name = "<b>x</b>"
    sent = {"type": "message.sent", "ts": 1_767_222_900_000, "account": name, "peer": "p"}
    await console.running.send([sent])
    person = await console.person("analyst")
    answer = await person.post("/console/accounts", q=name)
    page = await person.get(answer.headers["location"])
    assert page.status_code == 200
    assert name not in page.text


@visits
async def test_timeline_lists_own_events_and_decisions(console: RunningConsole) -> None:
    person = await console.person("auditor")
    found = (await person.get("/console/account-timelines/ann")).json()
    assert "sent" in {lane["label"] for lane in found["lanes"]}, found
    assert found["marks"][-1]["label"] == "ban"
    assert found["complete"] is True


@visits
async def test_own_role_is_not_changed(console: RunningConsole) -> None:
    person = await console.person("admin")
    page = await person.get("/console/settings")
    assert "Settings" in page.text
    own = await stored(lambda: User.objects.get(role="admin"))
    form = {"role": "lead", "active": "yes", "reason": "x", "version": own.version}
    answer = await person.post(f"/console/settings/users/{own.id}", **form)
    assert answer.status_code == 409
    assert await stored(lambda: User.objects.get(id=own.id).role) == "admin"


@visits
async def test_new_user_signs_in_and_changed_role_ends_sessions(console: RunningConsole) -> None:
    admin = await console.person("admin")
    made = await admin.post("/console/settings/users", username="gal", role="analyst", reason="new")
    password = re.search(r'id="secret">([^<]+)<', made.text)
    assert password
    gal = console.anybody()
    login = {"page": "/console/user/login/", "login": "gal", "password": password[1]}
    assert (await gal.post("/console/user/login/", **login)).status_code == 302
    assert (await gal.get("/console/queue")).status_code == 200
    page = await admin.get("/console/settings")
    version = re.findall(r'name="version" value="([0-9a-f]{16})"', page.text)
    form = {"role": "auditor", "active": "yes", "reason": "y", "version": version[0]}
    answer = await admin.post("/console/settings/users/2", **form)
    assert answer.status_code == 302
    assert (await gal.get("/console/queue")).status_code == 302


@visits
async def test_csv_cells_are_no_formulas(console: RunningConsole) -> None:
    await console.running.send(abuser(account="=cmd|calc"))
    await console.index()
    person = await console.person("analyst")
    text = (await person.get("/console/queue/cases?format=csv")).text
    assert "'=cmd|calc" in text
    assert "\n=cmd" not in text


@visits
async def test_report_runs_nothing_and_no_other_file_is_read(
    console: RunningConsole, tmp_path: Path
) -> None:
    kept = tmp_path / "reports" / "2026-01"
    kept.mkdir(parents=True)
    (kept / "report.html").write_text("<style>p{}</style><p>1</p>", "utf-8")
    person = await console.person("auditor")
    answer = await person.get("/console/reports/2026-01/report.html")
    policy = answer.headers["content-security-policy"]
    assert "sandbox; default-src 'none'; style-src 'sha256-" in policy
    for path in ("2026-01/../../wavebreak.sqlite3", "2026-13/report.html", "2026-01/dsa/../x.csv"):
        refused = await person.get(f"/console/reports/{path.replace('..', '%2e%2e')}")
        assert refused.status_code == 404, path
