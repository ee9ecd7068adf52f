"""Compare-and-set: each mutation sent twice at once, by one person and by two, has one effect.

A form of the console without a row, here or among those that another test sends twice, fails.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.db.models import QuerySet
from django.urls import URLPattern, URLResolver, get_resolver

from mutation.bugs import ROOT, missing_test
from support.console_harness import RunningConsole, Visitor, running_console
from support.service_harness import DATABASES, abuser, logged, migrated, now_ms
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.http.operations import Operation
from wavebreak_server.slices.acts import service as acts
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.routes import OPERATIONS
from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import ApiKey, AuditEntry, Decision, Webhook

BECAUSE = "because a test asks for it"
CASES = "packages/cases/tests/pages/test_acts.py"
CONSOLE = "packages/server/tests/console"
ELSEWHERE = {
    f"{CONSOLE}/test_review_queue.py": {
        "decide": "test_case_is_decided_once_by_parallel_posts",
        "act": "test_account_in_two_tabs_is_acted_on_once",
    },
    f"{CONSOLE}/test_policy_versions.py": {
        "policy_live": "test_of_two_versions_at_once_one_goes_live",
    },
    f"{CONSOLE}/test_lanes.py": {
        "declare_lane": "test_account_is_declared_once_by_parallel_forms",
    },
    "packages/business/tests/pages/test_business_pages.py": {
        "portfolio_act": "test_of_several_at_once_one_acts",
        "portfolio_appeal": "test_appeal_is_decided_by_another_person",
    },
    CASES: {
        "open_case": "test_case_is_opened_once_and_by_counsel_alone",
        "case_act": "test_stale_form_is_refused_with_what_was_done",
    },
}
"""Forms that another test sends stale, or twice, by the test's file."""
ALIKE = {
    "undo_batch": "each act of a batch is undone once, under its account's lock",
    "policy_approve": "one conditional write on the version that was read",
    "model_approve": "one conditional write on the version that was read",
    "model_promote": "one conditional write on the version that was read",
    "policy_rollback": "what decides must be what the form names",
    "model_rollback": "what decides must be what the form names",
    "approve_source": "what the source asks for must be what the form names",
    "legal_exhibit_redact": "a case's steps are locked, and numbered",
    "profile": "one's own settings",
    "language": "one's own settings",
    "queue_next": "a claim of one's own is prolonged",
    "save_view": "one view of a name",
    "remove_view": "there is nothing left to remove",
    "share_case": "each has a secret of its own, and is listed: revoke the other",
    "revoke_share": "there is nothing left to revoke",
    "claim": "a claim of one's own is prolonged",
    "release": "there is nothing left to give back",
    "skip": "the same pause again",
    "add_key": "each has a name and a prefix of its own, and is shown once: revoke the other",
    "add_webhook": "each has a secret of its own, and is listed: remove the other",
    "policy_upload": "each is a version of its author's",
    "policy_start": "another replay is refused while one runs",
    "policy_reject": "an open version alone is closed",
    "model_register": "each is a version, and decides nothing",
    "model_compare": "another comparison is refused while one runs",
    "model_reject": "an open version alone is closed",
    "make_report": "the same month gives the same bytes",
    "recount": "it changes no number",
    "case_bundle_build": "one job a case",
}
"""Forms whose second time changes nothing more, or makes a thing of its own that is shown."""
READING = {"accounts", "bulk_preview", "portfolio_consents"}


class Twice(NamedTuple):
    """A form that is sent twice at once.

    Attributes:
        role: Whose it is.
        path: Its address.
        fields: Its fields.
        effects: What one of the two may have made.
    """

    role: str
    path: str
    fields: dict[str, Any]
    effects: Callable[[], QuerySet]


def audited(action: str) -> Callable[[], QuerySet]:
    return lambda: AuditEntry.objects.filter(action=action, outcome="done")


async def _prepared(console: RunningConsole) -> dict[str, Twice]:
    """Let there be an appeal, closed and open cases, acts and a key; return the forms."""
    running = console.running
    people = ("ann", "bob", "dan", "eve")
    # A decision of long ago cannot be appealed against.
    begin = now_ms() - 600_000
    await running.send([e for name in people for e in abuser(account=name, ts=begin)])
    await console.index()
    lead = await console.person("lead", "first")
    newest = await stored(acts.newest_act)

    act = {"verdict": "benign", "reason": "by mistake", "seen": "ban"}
    await lead.act("/console/account-acts/dan", **act)
    made = await stored(lambda: PersonAct.objects.get(account="dan"))
    decision = await stored(lambda: Decision.objects.filter(account="eve").last().id)
    given = {"decision": decision, "statement": "It was my wedding.", "reason": BECAUSE}
    opened = await running.ask("POST", "/v1/appeals", json=given)
    assert opened.status_code == 201, opened.text
    appeal = await stored(lambda: Appeal.objects.get())
    answer_path = f"/console/appeals/{appeal.id}/decide"
    answer = await (await console.person("analyst", "dina")).with_sheet(
        answer_path, result="reversed", reason="It was a wedding.", version=str(appeal.version)
    )
    bulk = await lead.with_sheet(
        "/console/queue/bulk", account=["ann", "bob"], verdict="benign", reason="a wedding",
        newest=str(newest),
    )  # fmt: skip
    prefix = running.keys["list"].split("_")[1]
    await stored(
        lambda: Webhook.objects.create(
            id="hook_0", url="https://r.example/", min_outcome="ban", created_ms=0, cursor=1 << 40
        )
    )
    gal = await stored(lambda: User.objects.create(username="gal", role="analyst"))
    omer = await stored(lambda: User.objects.create(username="omer", role="analyst"))
    return {
        "bulk": Twice(
            "lead",
            "/console/queue/bulk",
            bulk,
            lambda: PersonAct.objects.filter(account__in=["ann", "bob"]).order_by("account"),
        ),
        "undo_act": Twice(
            "lead", f"/console/acts/{made.id}/undo", {"reason": "it was none"},
            lambda: AuditEntry.objects.filter(action="override", object="dan", outcome="done",
                                              reason__contains="it was none"),
        ),
        "decide_appeal": Twice(
            "analyst", answer_path, answer,
            lambda: PersonAct.objects.filter(account="eve"),
        ),
        "add_user": Twice(
            "admin", "/console/settings/users",
            {"username": "newcomer", "role": "analyst", "reason": BECAUSE},
            lambda: User.objects.filter(username="newcomer"),
        ),
        "change_user": Twice(
            "admin", f"/console/settings/users/{gal.id}",
            {"role": "lead", "active": "yes", "reason": BECAUSE, "version": gal.version},
            audited("change_user"),
        ),
        "reset_user": Twice(
            "admin", f"/console/settings/users/{omer.id}/reset",
            {"reason": BECAUSE, "version": omer.version},
            audited("reset_user"),
        ),
        "revoke_key": Twice(
            "admin", f"/console/settings/keys/{prefix}/revoke", {"reason": BECAUSE},
            audited("revoke_key"),
        ),
        "enable_webhook": Twice(
            "admin", "/console/settings/webhooks/hook_0/enable", {"reason": BECAUSE},
            audited("enable_webhook"),
        ),
        "remove_webhook": Twice(
            "admin", "/console/settings/webhooks/hook_0/remove", {"reason": BECAUSE},
            audited("remove_webhook"),
        ),
    }  # fmt: skip


TWICE = (
    "bulk", "undo_act", "decide_appeal", "add_user", "change_user", "reset_user", "revoke_key",
    "enable_webhook", "remove_webhook",
)  # fmt: skip
ONE_EACH = {"bulk": 2}
"""Effects of a form on two accounts."""


def _sent(person: Visitor, form: Twice, token: str) -> Awaitable[Any]:
    data = {"csrfmiddlewaretoken": token} | form.fields
    return person.client.post(form.path, data=data)


@pytest.mark.parametrize("kind", DATABASES)
def test_form_sent_twice_at_once_has_one_effect(kind: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with running_console(tmp_path) as console:
            forms = await _prepared(console)
            assert tuple(forms) == TWICE
            await stored(lambda: Webhook.objects.update(disabled_ms=1))
            for name, form in forms.items():
                two = [await console.person(form.role, f"{form.role}-{n}") for n in (1, 2)]
                tokens = [await person.token() for person in two]
                # Twice by the first person, at the same time by the second, and stale by both.
                senders = [(two[0], tokens[0]), (two[0], tokens[0]), (two[1], tokens[1])]
                at_once = await asyncio.gather(*(_sent(p, form, t) for p, t in senders))
                later = [await _sent(p, form, t) for p, t in senders[1:]]
                statuses = [answer.status_code for answer in (*at_once, *later)]
                assert 500 not in statuses, (name, statuses)
                assert await stored(form.effects().count) == ONE_EACH.get(name, 1), (name, statuses)

    with migrated(kind, tmp_path):
        asyncio.run(run())


@pytest.mark.parametrize("kind", DATABASES)
def test_rotation_sent_twice_at_once_has_one_successor(kind: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with running_console(tmp_path) as console:
            running = console.running
            body = {"reason": BECAUSE, "grace_s": 60}
            prefix = running.keys["ingest"].split("_")[1]
            hook = {"id": "hook_0", "url": "https://r.example/", "min_outcome": "ban"}
            await stored(lambda: Webhook.objects.create(created_ms=0, cursor=1 << 40, **hook))
            for path in (f"/v1/keys/{prefix}/rotate", "/v1/webhooks/hook_0/rotate"):
                answers = await asyncio.gather(
                    *(running.ask("POST", path, json=body) for _ in range(3))
                )
                assert sorted(a.status_code // 100 for a in answers) == [2, 4, 4], path
            successors = await stored(ApiKey.objects.filter(owner=prefix).count)
            generation = await stored(lambda: Webhook.objects.get().generation)
            assert (successors, generation) == (1, 2)

    with migrated(kind, tmp_path):
        asyncio.run(run())


MUTATIONS = tuple(each for each in OPERATIONS if each.method != "GET" and each.scopes)
"""What a key may change by the API."""


def _address(operation: Operation, account: str) -> str:
    return re.sub(r"{\w+}", "no-such", operation.route.replace("{account}", account))


def test_key_past_its_rotation_changes_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_console(tmp_path) as console:
            running = console.running
            admin = running.keys["admin"]
            path = f"/v1/keys/{admin.split('_')[1]}/rotate"
            body = {"reason": BECAUSE, "grace_s": 0}
            assert (await running.ask("POST", path, admin, json=body)).status_code == 201
            before = await stored(AuditEntry.objects.count)
            answers = {
                each.name: await running.ask(each.method, _address(each, "ann"), admin, json={})
                for each in MUTATIONS
            }
            assert {n: a.status_code for n, a in answers.items() if a.status_code != 401} == {}
            assert await stored(AuditEntry.objects.count) == before

    with migrated("sqlite", tmp_path):
        asyncio.run(run())


def test_acts_after_an_erasure_bring_nothing_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_console(tmp_path) as console:
            running = console.running
            begin = now_ms() - 600_000
            signed = {"type": "session.started", "account": "ann", "ip": "198.51.100.7", "id": "s"}
            await running.send([*abuser(account="ann", ts=begin), signed | {"ts": begin}])
            await console.index()
            decision = await stored(lambda: Decision.objects.filter(account="ann").last().id)
            gone = await running.ask("DELETE", f"/v1/accounts/ann/personal?reason={BECAUSE}")
            assert (gone.status_code, gone.json()["events"] > 0) == (200, True)
            bodies = {
                "override": {"outcome": "ban", "reason": BECAUSE},
                "declare_lane": {"lane": "courier", "reason": BECAUSE},
                "label": {"labels": [{"account": "ann", "label": "benign", "source": "appeal"}],
                          "reason": BECAUSE},
                "submit_appeal": {"decision": decision, "statement": "It was my wedding.",
                                  "reason": BECAUSE},
            }  # fmt: skip
            for each in MUTATIONS:
                body = bodies.get(each.name, {"reason": BECAUSE})
                answer = await running.ask(each.method, _address(each, "ann"), json=body)
                assert answer.status_code < 500, (each.name, answer.text)
                assert each.name != "submit_appeal" or answer.status_code == 409
            await running.wait_until_applied()
            assert await stored(Appeal.objects.filter(statement__isnull=False).count) == 0
            held = [e for e in await stored(logged) if e["account"] == "ann"]
            assert [e for e in held if e["number"] or e["address"]] == []

    with migrated("sqlite", tmp_path):
        asyncio.run(run())


def test_appeal_is_answered_once_while_its_answer_acts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = acts.apply

    def slow(*arguments: Any, **more: Any) -> Any:
        time.sleep(0.5)
        return real(*arguments, **more)

    monkeypatch.setattr(acts, "apply", slow)

    async def run() -> None:
        async with running_console(tmp_path) as console:
            form = (await _prepared(console))["decide_appeal"]
            one, two = [await console.person("analyst", name) for name in ("noa", "omer")]
            first = asyncio.ensure_future(_sent(one, form, await one.token()))
            token = await two.token()
            await asyncio.sleep(0.2)
            # Whoever opens the page meanwhile reads the version that the first answer has made.
            version = str(await stored(lambda: Appeal.objects.get().version))
            again = form._replace(fields=form.fields | {"version": version})
            await _sent(two, again, token)
            await first
            assert await stored(PersonAct.objects.filter(account="eve").count) == 1
            assert await stored(audited("decide_appeal")().count) == 1

    with migrated("sqlite", tmp_path):
        asyncio.run(run())


def test_every_form_is_sent_twice() -> None:
    console = next(
        each
        for each in get_resolver("wavebreak_server.console.urls").url_patterns
        if isinstance(each, URLResolver) and str(each.pattern) == "console/"
    )
    taking = set[str]()
    for each in console.url_patterns:
        view: Any = each.callback if isinstance(each, URLPattern) else None
        if "POST" in view.methods:
            taking.add(str(each.name))
    tried = {name: (path, test) for path, some in ELSEWHERE.items() for name, test in some.items()}
    assert taking == {*TWICE, *tried, *ALIKE, *READING}
    assert [fault for p, t in tried.values() if (fault := missing_test(ROOT, f"{p}::{t}"))] == []
