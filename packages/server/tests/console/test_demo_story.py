"""The tasks of a demonstration: prepared on what was decided, and named in a checklist."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from support.console_harness import RunningConsole, console_test
from support.service_harness import abuser
from wavebreak.durations import DAY_MS
from wavebreak.linking import Operator
from wavebreak_server.console.demo_story import (
    STATEMENT,
    DemoTour,
    Honest,
    Prepared,
    checklist,
    prepare,
    tasks,
)
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.appeals import service as appeals
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.users.models import User

URL = "http://localhost"
LARGE = Operator("op-1", ("a", "b", "c"), ("a",), False, 90, 2, 30, 9.0, 9.0, (), 0)
LINKED = Operator("op-2", ("d", "e", "f", "g"), (), False, 9, 2, 0, 1.0, 1.0, (), 0)
CHAIN = Operator("op-3", ("f", "g", "h", "i"), (), True, 9, 2, 0, 1.0, 1.0, (), 0)


async def _with_abuser(console: RunningConsole) -> None:
    # Long enough ago that its holder has been notified.
    await console.running.send(abuser(ts=console.service.clock() - DAY_MS))
    await console.index()


visits = console_test(_with_abuser)


async def prepared(console: RunningConsole, honest: Honest) -> Prepared:
    context = console.running.context
    context.set_public_url(URL)
    context.shows_codes = True
    now_ms = console.service.clock()
    return await stored(partial(prepare, context, [LINKED, LARGE, CHAIN], honest, now_ms))


@visits
async def test_honest_person_that_was_met_is_a_task(console: RunningConsole) -> None:
    found = await prepared(console, Honest({"ann": "courier", "ben": "helper"}))
    assert (found.slowed, found.persona, found.appeal_url) == ("ann", "courier", "")
    assert found.operator == LARGE


@visits
async def test_appeal_in_hebrew_waits_for_its_code(console: RunningConsole) -> None:
    found = await prepared(console, Honest())
    assert found.slowed == ""
    path = found.appeal_url.removeprefix(URL)
    assert path.startswith("/appeal/")
    page = (await console.anybody().get(path)).text
    assert 'lang="he"' in page
    assert re.search(r"\b\d{6}\b", page)
    appeal = await stored(Appeal.objects.get)
    assert appeal.language == "he"
    assert appeals.read_statement(appeal) == STATEMENT
    assert await prepared(console, Honest()) == found
    assert await stored(Appeal.objects.count) == 1


def test_checklist_names_each_task_with_its_address() -> None:
    found = Prepared(LARGE, "p 7", "courier", f"{URL}/appeal/token?lang=he")
    lines = list(checklist(tasks(URL, found)))
    assert [line[:2] for line in lines[1:4]] == ["1.", "2.", "3."]
    assert "3 linked accounts, 1 of them found abusive" in lines[1]
    assert lines[1].endswith(f"{URL}/console/operators/op-1")
    assert lines[2].endswith(f"{URL}/console/accounts/p%207")
    assert lines[3].endswith(f"{URL}/appeal/token?lang=he")
    assert lines[4].endswith(f"{URL}/console/cases")


def test_honest_people_are_those_of_the_labels(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("account,label,family,operator\na,benign,courier,\nb,abusive,blast,op\n")
    assert Honest.read(labels).personas == {"a": "courier"}
    assert Honest.read(tmp_path / "none.csv").personas == {}


@visits
async def test_overview_shows_progress_then_the_tasks(console: RunningConsole) -> None:
    person = await console.person("lead", "noa")
    assert 'id="tour"' not in (await person.get("/console/")).text
    tour = console.running.context.state_of(DemoTour)
    tour.is_demo = True
    page = (await person.get("/console/")).text
    assert "<progress" in page
    assert 'hx-select="#tour"' in page
    assert "start with <code>--demo</code>" not in page
    honest = Honest({"ann": "courier"})
    tour.tasks, tour.is_ready = tasks(URL, await prepared(console, honest)), True
    page = (await person.get("/console/")).text
    # Tasks may still come: the page asks again.
    assert 'hx-trigger="every 15s"' in page
    assert "An honest person (courier) who was slowed" in page
    assert f'href="{URL}/console/accounts/ann"' in page
    assert f'href="{URL}/console/operators/op-1"' in page
    tour.is_complete = True
    await stored(lambda: User.objects.filter(username="noa").update(language="he"))
    assert "hx-select" not in (await person.get("/console/")).text
    assert "אדם ישר (\u2068courier\u2069)" in (await person.get("/console/")).text
