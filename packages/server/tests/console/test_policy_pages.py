"""Policy pages: rules with figures; a rule from draft to live and back, by two people."""

from __future__ import annotations

import asyncio
import html
import re
import stat
from pathlib import Path

from support.console_harness import RunningConsole, Visitor, console_test, switch_of
from support.policy_pages import upload
from support.service_harness import abuser
from wavebreak import config
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.pipeline.live_policy import live_policy, version_directory
from wavebreak_server.slices.versions.models import PolicyReplay, PolicyVersion
from wavebreak_server.storage.models import AuditEntry

FILE = "rules/allowance.toml"
ACTIONS = (config.SHIPPED / "actions.toml").read_text("utf-8")
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


def shipped() -> str:
    return (config.SHIPPED / FILE).read_text("utf-8")


def with_another_number(text: str) -> str:
    """Return the rules with a number under which fewer accounts wait, and examples for it."""
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
async def test_upload_that_does_not_load_is_refused_with_the_fix(console: RunningConsole) -> None:
    owner = await console.person("policy_owner")
    bad = shipped().replace("strangers_contacted_1h >= 15", "strangers_contacted >= 15")
    answer = await upload(owner, {"allowance.toml": bad})
    assert answer.status_code == 422
    assert "first_contact_allowance" in answer.text
    assert "strangers_contacted_1h" in answer.text
    assert await stored(PolicyVersion.objects.count) == 0


@visits
async def test_upload_is_stored_as_it_is_and_shown_with_its_differences(
    console: RunningConsole,
) -> None:
    owner = await console.person("policy_owner")
    text = with_another_number(shipped())
    answer = await upload(owner, {"allowance.toml": text, "actions.toml": ACTIONS})
    assert answer.status_code == 302, answer.text
    version = await stored(lambda: PolicyVersion.objects.get())
    directory = version_directory(console.service.settings.home, version.name, version.digest)
    files = [p for p in directory.rglob("*") if p.is_file()]
    # A file that is as shipped is none of the version's own.
    assert [p.relative_to(directory).as_posix() for p in files] == [FILE]
    assert files[0].read_text("utf-8") == text
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    page = words((await owner.get(answer.headers["location"])).text)
    assert "- " in page
    assert "strangers_contacted_1h >= 65" in page
    analyst = await console.person("lead")
    assert (await upload(analyst, {"allowance.toml": text})).status_code == 403


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
    files = {"allowance.toml": with_another_number(shipped())}
    assert (await upload(owner, files, "too many couriers")).status_code == 302
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
