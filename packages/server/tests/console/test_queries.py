"""Queries over accounts: what they find, what they cost, views that are saved, acts on a result."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import QueryDict

from support.console_harness import RunningConsole, console_test
from support.service_harness import abuser
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.queries import service as queries
from wavebreak_server.slices.queries.models import SavedView
from wavebreak_server.slices.queries.service import Criteria, Measure
from wavebreak_server.storage.models import AuditEntry

SIZES = {"ann": 90, "bob": 120, "cat": 30}
MANY = "measure=stranger_contacts&op=%3E%3D&value=50"


async def _abusers(console: RunningConsole) -> None:
    for name, count in SIZES.items():
        await console.running.send(abuser(count, account=name))
    await console.index()


visits = console_test(_abusers)


async def accounts(person: Any, query: str) -> list[str]:
    """Return the accounts of a result's CSV."""
    answer = await person.get(f"/console/query?{query}&format=csv")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    return sorted(line.split(",")[0] for line in answer.text.splitlines()[1:])


@visits
async def test_accounts_are_found_by_all_criteria_together(console: RunningConsole) -> None:
    person = await console.person("analyst")
    assert await accounts(person, MANY) == ["ann", "bob"]
    assert await accounts(person, f"{MANY}&measure=stranger_contacts&op=%3C%3D&value=100") == [
        "ann"
    ]
    assert await accounts(person, "rule=instant_ban") == ["bob"]
    assert await accounts(person, "rule=instant_ban&outcome=ban") == ["bob"]
    assert await accounts(person, "rule=instant_ban&outcome=limit") == []
    assert await accounts(person, "operator=op-nobody") == []
    page = (await person.get(f"/console/query?{MANY}")).text
    assert "<strong>2 accounts</strong> of 3" in page
    # An analyst acts on one at a time.
    assert "data-select-all" not in page
    plain = (await person.get("/console/query")).text
    assert "that were looked at" not in plain


@visits
async def test_wrong_criteria_are_said_beside_the_form(console: RunningConsole) -> None:
    person = await console.person("analyst")
    for query, said in (
        ("measure=stranger_complaint&op=%3E%3D&value=1", "stranger_complaints"),
        ("measure=stranger_complaints&op=%3E%3D&value=many", "compared with no number"),
        ("measure=stranger_complaints&op=%3E%3D&value=nan", "compared with no number"),
        ("outcome=hanged", "no such outcome"),
        ("days=-3", "the days are no number"),
    ):
        answer = await person.get(f"/console/query?{query}")
        assert answer.status_code == 422, query
        assert said in answer.text, query
    # What was typed is still there.
    wrong = await person.get("/console/query?measure=nothing&op=%3E%3D&value=7")
    assert 'value="nothing"' in wrong.text


@visits
async def test_reading_is_bounded_and_the_rest_is_counted(console: RunningConsole) -> None:
    person = await console.person("analyst")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(queries, "MOST_MEASURED", 2)
        patched.setattr(queries, "AT_ONCE", 1)
        page = (await person.get("/console/query?days=366&outcome=allow")).text
        assert "1 more was not read: narrow the query." in page


@visits
async def test_view_is_saved_shared_and_removed(console: RunningConsole) -> None:
    analyst, lead = await console.person("analyst"), await console.person("lead")
    other, auditor = await console.person("analyst", "noa"), await console.person("auditor")
    fields = {"measure": "stranger_contacts", "op": ">=", "value": "50"}
    path = "/console/query/save"
    assert (await analyst.post(path, name=" many  strangers ", **fields)).status_code == 302
    assert (await analyst.post(path, name="many strangers", days="7", **fields)).status_code == 302
    assert (await analyst.post(path, name="", **fields)).status_code == 422
    assert (await analyst.post(path, name="x", shared="1", **fields)).status_code == 403
    assert (await auditor.post(path, name="x", **fields)).status_code == 403
    assert (await lead.post(path, name="for all", shared="1", **fields)).status_code == 302
    views = await stored(lambda: list(SavedView.objects.values_list("name", "shared")))
    assert sorted(views) == [("for all", True), ("many strangers", False)]
    assert "days=7" in (await analyst.get("/console/query")).text
    theirs = (await other.get("/console/query")).text
    assert "for all" in theirs
    assert "many strangers" not in theirs
    shared = await stored(lambda: SavedView.objects.get(shared=True).id)
    own = await stored(lambda: SavedView.objects.get(shared=False).id)
    assert (await other.post(f"/console/query/{shared}/remove")).status_code == 404
    assert (await lead.post(f"/console/query/{own}/remove")).status_code == 404
    assert (await lead.post(f"/console/query/{shared}/remove")).status_code == 302
    acts = await stored(lambda: list(AuditEntry.objects.values_list("action", flat=True)))
    assert [a for a in acts if "view" in a] == [
        "save_view", "save_view", "share_view", "remove_view",
    ]  # fmt: skip


@visits
async def test_whole_result_is_acted_on_by_the_batch(console: RunningConsole) -> None:
    lead = await console.person("lead")
    chosen = {"verdict": "benign", "reason": "our own test", "source": "query"}
    preview = await lead.post("/console/queue/preview", query="accounts", criteria=MANY, **chosen)
    assert preview.status_code == 200, preview.text
    assert preview.text.count('name="account" value=') == 2
    done = await lead.act("/console/queue/bulk", account=["ann", "bob"], **chosen)
    assert done.status_code == 302
    acted = await stored(lambda: sorted(PersonAct.objects.values_list("account", flat=True)))
    assert acted == ["ann", "bob"]
    wrong = await lead.post("/console/queue/preview", query="accounts", criteria="", **chosen)
    assert wrong.status_code in (200, 422)


def test_criteria_are_their_own_address() -> None:
    criteria = Criteria("ban", "a_rule", "op-1", 7, (Measure("sends_1h", "<=", 0.5),))
    assert queries.criteria_of(QueryDict(criteria.query)) == criteria
    assert Criteria().query == ""


def test_more_measures_than_the_limit_are_left_out() -> None:
    many = "&".join(["measure=sends_1h&op=%3E%3D&value=1"] * 9)
    criteria = queries.criteria_of(QueryDict(many))
    assert len(criteria.measures) == queries.MOST_MEASURES
    with pytest.raises(ApiError):
        queries.criteria_of(QueryDict("measure=sends_1h&op=drop&value=1"))
