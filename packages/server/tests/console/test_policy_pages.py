"""Policy pages: rules with figures; a rule from draft to live and back, by two people."""

from __future__ import annotations

import asyncio
import html
import re
import stat
from pathlib import Path
from typing import Any

from support.console_harness import RunningConsole, Visitor, console_test, switch_of
from support.service_harness import abuser
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.pipeline.live_policy import live_policy, version_directory
from wavebreak_server.slices.versions.models import PolicyReplay, PolicyVersion
from wavebreak_server.storage.models import AuditEntry

FILE = "rules/allowance.toml"
RULE = "first_contact_allowance"
VERSIONS = "/console/policy/versions"
ROLLBACK = "/console/policy/rollback"


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def _prepared(console: RunningConsole) -> None:
    console.service.switch = switch_of(console)
    await console.running.send([*abuser(), *abuser(60, account="bob")])
    await console.index()


visits = console_test(_prepared)


async def seen(person: Visitor, path: str) -> str:
    """Return the digest that a page's form was opened with."""
    found = re.search(r'name="seen" value="([^"]*)"', (await person.get(path)).text)
    assert found, path
    return found[1]


async def block(person: Visitor, path: str) -> str:
    """Return the text in the editor."""
    text = (await person.get(path)).text
    found = re.search(r'<textarea id="text"[^>]*>(.*?)</textarea>', text, re.DOTALL)
    assert found, path
    return found[1].replace("&gt;", ">").replace("&quot;", '"').replace("&lt;", "<")


async def draft(owner: Visitor) -> str:
    """Start a draft from the page of a rule; return the path of its editor."""
    answer = await owner.post("/console/policy/versions/new", rule=RULE, reason="too many couriers")
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


async def save(owner: Visitor, path: str, text: str, **more: str) -> Any:
    fields = {"file": FILE, "rule": RULE, "text": text, "seen": await seen(owner, path)} | more
    return await owner.post(path.partition("?")[0], **fields)


def with_another_number(text: str) -> str:
    """Return the rule with a number under which fewer accounts wait, and examples for it."""
    others = {">= 15": ">= 65", "= 62": "= 72",
              "= 33, first_contact_allowance_1h = 30, answers_of_strangers_1h = 1":
              "= 73, first_contact_allowance_1h = 30, answers_of_strangers_1h = 1"}  # fmt: skip
    for number, other in others.items():
        assert number in text
        text = text.replace(number, other)
    return text


@visits
async def test_rules_show_figures_and_csv(console: RunningConsole) -> None:
    lead = await console.person("lead")
    page = await lead.get("/console/policy")
    assert page.status_code == 200
    assert "first_contact_allowance" in page.text
    assert "instant_ban" in page.text
    csv = (await lead.get("/console/policy?format=csv")).text
    rows = {line.split(",")[0]: line for line in csv.splitlines()}
    assert int(rows["instant_ban"].split(",")[-13] or 0) >= 0
    one = (await lead.get("/console/policy/rules/instant_ban")).text
    assert "at least" in one
    assert "/console/accounts/ann" in one
    assert (await lead.get("/console/policy/rules/nothing_like_it")).status_code == 404


@visits
async def test_precision_counts_peoples_verdicts(console: RunningConsole) -> None:
    lead = await console.person("lead")
    seen_as = {"seen": "ban", "verdict": "benign", "reason": "a mistake"}
    assert (await lead.act("/console/account-acts/ann", **seen_as)).status_code == 302
    one = (await lead.get("/console/policy/rules/instant_ban")).text
    assert "of 1 judged" in one
    assert "0.0 %" in one


@visits
async def test_draft_keeps_what_does_not_load(console: RunningConsole) -> None:
    owner = await console.person("policy_owner")
    path = await draft(owner)
    text = await block(owner, path)
    assert "strangers_contacted_1h >= 15" in text
    check = path.replace("/edit?", "/check?")
    bad = text.replace("strangers_contacted_1h >= 15", "strangers_contacted >= 15")
    problems = (await owner.post(check, text=bad)).json()
    assert len(problems) == 1
    assert "strangers_contacted_1h" in problems[0]["message"]
    wrong = bad.splitlines()[problems[0]["line"] - 1]
    assert "strangers_contacted >= 15" in wrong
    assert (await owner.post(check, text=text)).json() == []
    answer = await save(owner, path, bad)
    assert answer.status_code == 422
    version = await stored(lambda: PolicyVersion.objects.get())
    assert (version.state, version.policy) == ("draft", "")
    assert (await owner.post(f"/console/policy/versions/{version.id}/replay")).status_code == 409
    directory = version_directory(console.service.settings.home, version.name, version.digest)
    files = [p for p in directory.rglob("*") if p.is_file()]
    assert files
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in files)


@visits
async def test_stale_form_is_refused_with_the_difference(console: RunningConsole) -> None:
    owner = await console.person("policy_owner")
    path = await draft(owner)
    text, digest = await block(owner, path), await seen(owner, path)
    first = text.replace(">= 15", ">= 20")
    assert (await save(owner, path, first)).status_code == 302
    answer = await save(owner, path, text.replace("couriers", "Couriers"), seen=digest)
    assert answer.status_code == 409
    assert "data-merge" in answer.text
    assert "Nothing was saved" in answer.text
    assert ">= 20" in await block(owner, path)


@visits
async def test_only_the_author_changes_a_draft(console: RunningConsole) -> None:
    owner = await console.person("policy_owner")
    other = await console.person("policy_owner", "second-owner")
    path = await draft(owner)
    assert (await other.get(path)).status_code == 403
    page = (await other.get(path.partition("/edit")[0])).text
    assert "Start a draft from it" in page
    outside = await save(owner, path, "x = 1", file="rules/../../live", rule="")
    assert outside.status_code == 422


async def replayed(console: RunningConsole, owner: Visitor, version: PolicyVersion) -> PolicyReplay:
    started = await owner.post(f"/console/policy/versions/{version.id}/replay")
    assert started.status_code == 302, started.text
    again = await owner.post(f"/console/policy/versions/{version.id}/replay")
    assert again.status_code == 409
    replay = await stored(lambda: PolicyReplay.objects.latest("id"))
    async with asyncio.timeout(240):
        while True:
            part = await owner.get(
                f"/console/policy/replays/{replay.id}", headers={"HX-Request": "true"}
            )
            assert part.status_code == 200
            if "every 2s" not in part.text:
                break
            await asyncio.sleep(0.5)
    done: PolicyReplay = await stored(lambda: PolicyReplay.objects.latest("id"))
    assert done.state == "done", done.problem
    return done


async def refused_with_another_sheet(
    console: RunningConsole, lead: Visitor, path: str, page: str, **fields: str
) -> None:
    """Confirm a step with another effect sheet than its own: nothing is switched."""
    now = console.service.responder.policy.version
    stale = await lead.post(path, reason="as I saw it", sheet="0" * 16, **fields)
    assert stale.headers["location"] == page
    assert console.service.responder.policy.version == now


@visits
async def test_rule_goes_live_by_two_people_and_back(
    console: RunningConsole, tmp_path: Path
) -> None:
    owner, lead = await console.person("policy_owner"), await console.person("lead")
    path = await draft(owner)
    text = with_another_number(await block(owner, path))
    assert (await save(owner, path, text)).status_code == 302
    version = await stored(lambda: PolicyVersion.objects.get())
    assert version.state == "checked"
    base = f"/console/policy/versions/{version.id}"
    page = (await owner.get(base)).text
    assert "no longer: strangers_contacted_1h &gt;= 15" in page

    done = await replayed(console, owner, version)
    assert done.result["end"] == 182
    page = (await lead.get(f"/console/policy/replays/{done.id}")).text
    assert "fare otherwise" in page
    assert (await lead.get(f"/console/policy/replays/{done.id}?format=csv")).status_code == 200

    digest = (await stored(lambda: PolicyVersion.objects.get())).digest
    approve = f"{base}/approve"
    assert (await owner.post(approve, reason="mine", seen=digest)).status_code == 403
    assert (await lead.post(f"{base}/live", reason="too early")).status_code == 409
    for fields, status in (
        ({"reason": "read it", "seen": "other"}, 409),
        ({"reason": "", "seen": digest}, 422),
        ({"reason": "ok", "seen": digest}, 302),
    ):
        assert (await lead.post(approve, **fields)).status_code == status
    await refused_with_another_sheet(console, lead, f"{base}/live", base)
    sheet = words((await lead.get(base)).text)
    assert "changed while you read it" in sheet
    assert f"Would decide: {version.name}." in sheet
    assert f"On history {done.result['changed']} of {done.result['accounts']} accounts" in sheet
    went = await lead.confirm(f"{base}/live", base, reason="for couriers")
    assert went.status_code == 302, went.text
    rule = console.service.responder.policy.rule(RULE)
    assert ">= 65" in rule.expression
    live = live_policy(tmp_path)
    assert live is not None
    assert live.version == version.name
    assert (await stored(lambda: PolicyVersion.objects.get())).state == "live"
    assert (await lead.get(base)).status_code == 200

    entry = await stored(lambda: AuditEntry.objects.get(action="policy_live"))
    assert re.search(
        r"for couriers \[sheet [0-9a-f]{16}: \d+ of \d+ accounts change,", entry.reason
    )
    await refused_with_another_sheet(console, lead, ROLLBACK, VERSIONS, seen=version.name)
    now = f"Decides now: {version.name}. Would decide: as the service was started."
    assert now in words((await lead.get(VERSIONS)).text)
    wrong = await lead.confirm(ROLLBACK, VERSIONS, reason="worse", seen="v99")
    assert wrong.status_code == 409
    back = await lead.confirm(ROLLBACK, VERSIONS, reason="worse", seen=version.name)
    assert back.status_code == 302, back.text
    assert ">= 15" in console.service.responder.policy.rule(RULE).expression
    retired = await stored(lambda: PolicyVersion.objects.get())
    assert (retired.state, retired.note) == ("retired", "rolled back: worse")
    acts = await stored(lambda: list(AuditEntry.objects.values_list("action", "outcome")))
    wanted = ("create_policy", "approve_policy", "policy_live", "policy_rollback")
    assert [a for a in acts if a[0] in wanted] == [(name, "done") for name in wanted]
    assert (await lead.get("/console/policy/versions")).status_code == 200
