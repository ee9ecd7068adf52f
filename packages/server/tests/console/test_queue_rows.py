"""Rows of the queue: facts of each account, harm left to prevent, and what is left out."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
from django.db.backends.utils import CursorWrapper

from support.console_harness import RunningConsole, console_test
from support.service_harness import abuser
from wavebreak.engine.account_queries import LiveAccount, live_accounts
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.config import load_config
from wavebreak_server.slices.queue.indexer import measure_cases
from wavebreak_server.slices.queue.live_accounts import can_change, priority_left
from wavebreak_server.slices.queue.models import ReviewCase

FACT = re.compile(r"(?:sent|strangers|replies|complaints) [\d,]+")
START = 1_767_222_000_000


def answers(account: str, count: int, ts: int) -> list[Any]:
    """The first people whom an abuser wrote to answer."""
    return [
        {"id": f"{account}-a{n}", "ts": ts + 60_000 + n, "type": "message.sent",
         "account": f"{account}-p{n}", "peer": account}
        for n in range(count)
    ]  # fmt: skip


async def _abusers(console: RunningConsole) -> None:
    sizes = {"ann": 90, "bob": 105, "cat": 120, "dan": 133}
    for name, count in sizes.items():
        await console.running.send(abuser(count, account=name))
    await console.running.send(answers("ann", 7, START))
    await console.index()


visits = console_test(_abusers)


def count_queries(patched: pytest.MonkeyPatch) -> list[str]:
    """Return a list that each query of the database is added to, whichever thread asks."""
    counted: list[str] = []
    plain = CursorWrapper.execute

    def execute(self: CursorWrapper, sql: Any, params: Any = None) -> Any:
        counted.append(str(sql))
        return plain(self, sql, params)

    patched.setattr(CursorWrapper, "execute", execute)
    return counted


def rows_of(page: str) -> dict[str, str]:
    """Return the text of each row by its account."""
    rows = re.findall(r"<tr data-row>(.*?)</tr>", page, re.DOTALL)
    texts = [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in rows]
    return {text.split()[0]: text for text in texts}


@visits
async def test_each_row_says_why_in_facts_of_its_own(console: RunningConsole) -> None:
    lead = await console.person("analyst", "noa")
    page = (await lead.get("/console/queue/cases")).text
    rows = rows_of(page)
    assert len(rows) == 4
    facts = {name: FACT.findall(row) for name, row in rows.items()}
    assert {len(said) for said in facts.values()} == {4}
    # None says what another says.
    assert len({tuple(said) for said in facts.values()}) == 4
    assert "replies 7" in facts["ann"]
    # Everything was sent in one hour: a single bar says nothing.
    assert 'class="spark"' not in page
    live = await console.service.query(live_accounts, ["ann", "nobody"])
    assert list(live) == ["ann"]
    assert f"sent {live['ann'].delivered}" in facts["ann"]
    assert sum(live["ann"].recent) == live["ann"].delivered
    assert "strangers contacted in 1 h: 25 accounts" in rows["ann"]


@visits
async def test_queue_asks_as_often_for_many_rows_as_for_few(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    asked: dict[int, int] = {}
    assert (await person.get("/console/queue/cases")).status_code == 200

    def keep(kept: int) -> None:
        numbers = ReviewCase.objects.order_by("id").values_list("id", flat=True)[kept:]
        ReviewCase.objects.filter(id__in=list(numbers)).delete()

    for kept in (4, 1):
        await stored(partial(keep, kept))
        with pytest.MonkeyPatch.context() as patched:
            counted = count_queries(patched)
            assert (await person.get("/console/queue/cases")).status_code == 200
        asked[kept] = len(counted)
    assert asked[4] == asked[1]


def live(**changed: Any) -> LiveAccount:
    """An account that wrote to many and falls silent."""
    base = LiveAccount(
        outcome="allow", delivered=200, refused=0, strangers=180, answered=3, complained=2,
        hourly=0, new_chats_1d=0, recent=(0,) * 16, gone=False,
    )  # fmt: skip
    return base._replace(**changed)


def case(**changed: Any) -> ReviewCase:
    """A case of doubt about an account."""
    values = {"account": "ann", "decision": 1, "outcome": "limit", "basis": "doubt", "score": 0.6}
    return ReviewCase(**{**values, **changed})


def test_harm_left_is_what_is_in_force_and_goes_on() -> None:
    queue = load_config().queue
    left = {
        name: priority_left(queue, case(), account).value
        for name, account in {
            "ended, silent": live(),
            "limited, silent": live(outcome="limit"),
            "ended, goes on": live(new_chats_1d=400),
            "limited, goes on": live(outcome="limit", new_chats_1d=400),
            "banned": live(outcome="ban", new_chats_1d=400),
        }.items()
    }
    assert left["ended, silent"] == 0
    assert left["ended, goes on"] > left["limited, goes on"] > left["limited, silent"] > 0
    # A ban has no more harm to strangers, and all of it to an honest holder.
    assert left["banned"] > left["limited, silent"]


def test_case_that_no_decision_could_change_is_left_out() -> None:
    queue = load_config().queue

    def kept(of: ReviewCase, account: LiveAccount) -> bool:
        return can_change(queue, account, priority_left(queue, of, account))

    assert not kept(case(), live())
    assert not kept(case(), live(outcome="ban", gone=True))
    assert kept(case(), live(new_chats_1d=400))
    assert kept(case(basis="evidence", score=None), live(outcome="restrict"))


@visits
async def test_left_out_cases_are_counted_and_come_back(console: RunningConsole) -> None:
    person = await console.person("analyst", "noa")
    # The outcome of one was lifted behind the queue's back, and it has written to nobody since.
    quiet = {"account": "quiet", "decision": 1, "outcome": "limit", "basis": "doubt", "score": 0.6,
             "opened_ms": 1, "changed_ms": 1, "harm": 0.2, "uncertainty": 0.9, "priority": 0.9,
             "why": ["The chance of abuse is put at 60 %: both answers are possible."]}  # fmt: skip
    await console.running.send(
        [{"id": "q1", "ts": START - 5 * 86_400_000, "type": "message.sent", "account": "quiet",
          "peer": "friend"}]
    )  # fmt: skip
    await stored(lambda: ReviewCase.objects.create(**quiet))
    before = (await person.get("/console/queue/cases")).text
    assert "quiet" in rows_of(before)
    assert await measure_cases(load_config().queue, console.service) == 5
    page = (await person.get("/console/queue/cases")).text
    assert "quiet" not in rows_of(page)
    assert "4 cases wait," in page
    assert "1 more is left out" in page
    lead = await console.person("lead", "dana")
    whole = "Preview for the whole filter"
    assert whole in (await lead.get("/console/queue/cases")).text
    # A batch knows the filter by outcome and basis alone.
    assert whole not in (await lead.get("/console/queue/cases?left_out=1")).text
    shown = (await person.get("/console/queue/cases?left_out=1")).text
    assert list(rows_of(shown)) == ["quiet"]
    assert await stored(ReviewCase.objects.filter(idle=True, state="open").count) == 1
    # It goes on: the next measure puts it back.
    await stored(lambda: ReviewCase.objects.update(measured_ms=0))
    await console.running.send(abuser(60, account="quiet", ts=START + 3_600_000)[1:])
    await measure_cases(load_config().queue, console.service)
    assert "quiet" in rows_of((await person.get("/console/queue/cases")).text)
