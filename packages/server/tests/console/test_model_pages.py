"""Models: registered, compared on the log, approved by a second person, promoted, rolled back."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from pathlib import Path

from support.console_harness import RunningConsole, Visitor, console_test, switch_of
from support.service_harness import abuser
from wavebreak.model import Model, save, smallest_model
from wavebreak.reports.html import write_html
from wavebreak.reports.report import Report
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.pipeline.live_policy import live_model, models_directory
from wavebreak_server.slices.versions.models import ModelReplay, ModelVersion
from wavebreak_server.storage.models import AuditEntry

PAGES = "/console/policy/models"


async def _prepared(console: RunningConsole) -> None:
    console.service.switch = switch_of(console)
    await console.running.send([*abuser(), *abuser(60, account="bob")])
    await console.index()


visits = console_test(_prepared)


def trained(home: Path, name: str = "autumn", **training: str) -> Model:
    """Store a model as `wavebreak train` does, with a card."""
    smallest = smallest_model()
    made = dataclasses.replace(
        smallest,
        name=name,
        thresholds={"challenge": 1000},
        training=dict(smallest.training) | training,
    )
    save(made, models_directory(home) / name)
    write_html(Report("Its card", [], []), models_directory(home) / name / "card.html")
    return made


async def register(scientist: Visitor, name: str = "autumn") -> ModelVersion:
    answer = await scientist.post(f"{PAGES}/register", name=name, reason="autumn data")
    assert answer.status_code == 302, answer.text
    made: ModelVersion = await stored(lambda: ModelVersion.objects.latest("id"))
    return made


async def compared(scientist: Visitor, base: str) -> ModelReplay:
    started = await scientist.post(f"{base}/compare", days="0")
    assert started.status_code == 302, started.text
    assert (await scientist.post(f"{base}/compare", days="0")).status_code == 409
    replay = await stored(lambda: ModelReplay.objects.latest("id"))
    async with asyncio.timeout(240):
        while True:
            part = await scientist.get(
                f"/console/policy/comparisons/{replay.id}", headers={"HX-Request": "true"}
            )
            assert part.status_code == 200
            if "every 2s" not in part.text:
                break
            await asyncio.sleep(0.5)
    done: ModelReplay = await stored(lambda: ModelReplay.objects.latest("id"))
    assert done.state == "done", done.problem
    return done


@visits
async def test_model_is_promoted_by_two_people_and_back(
    console: RunningConsole, tmp_path: Path
) -> None:
    model = trained(tmp_path)
    scientist, lead = await console.person("data_scientist"), await console.person("lead")
    assert "No challenger" in (await scientist.get(PAGES)).text
    made = await register(scientist)
    assert (made.model, made.name) == (model.version, "m1")
    again = await scientist.post(f"{PAGES}/register", name="autumn", reason="again")
    assert again.status_code == 409
    base = f"{PAGES}/{made.id}"
    assert (await lead.post(f"{base}/approve", reason="ok", seen=model.version)).status_code == 409

    done = await compared(scientist, base)
    champion, challenger = done.result["sides"]
    assert (champion["version"], champion["scored"]) == ("", 0)
    assert (challenger["version"], challenger["scored"]) == (model.version, sum(challenger["bins"]))
    assert done.result["end"] == 182
    page = (await lead.get(base)).text
    assert "Whom it reaches" in page
    assert "score for challenge" in page
    listed = f"/console/policy/comparisons/{done.id}"
    assert (await lead.get(listed)).status_code == 200
    csv = await lead.get(f"{listed}?format=csv")
    assert csv.text.startswith("account,kind,before,after")

    own = await scientist.post(f"{base}/approve", reason="mine", seen=model.version)
    assert own.status_code == 403
    assert (await lead.post(f"{base}/promote", reason="too early")).status_code == 409
    assert (await lead.post(f"{base}/approve", reason="ok", seen="other")).status_code == 409
    assert (await lead.post(f"{base}/approve", reason="ok", seen=model.version)).status_code == 302
    went = await lead.confirm(f"{base}/promote", base, reason="better on labels")
    assert went.status_code == 302, went.text
    assert await console.service.ask(lambda engine: engine.model.version) == model.version
    assert live_model(tmp_path) == (models_directory(tmp_path) / "m1", model.version)
    assert "It scores now" in (await lead.get(base)).text
    assert model.version in (await lead.get(PAGES)).text

    assert (
        await lead.confirm(f"{PAGES}/rollback", PAGES, reason="no", seen="m9")
    ).status_code == 409
    back = await lead.confirm(f"{PAGES}/rollback", PAGES, reason="worse", seen="m1")
    assert back.status_code == 302, back.text
    assert await console.service.ask(lambda engine: engine.model) is None
    retired = await stored(lambda: ModelVersion.objects.get())
    assert (retired.state, retired.note) == ("retired", "rolled back: worse")
    wanted = ("register_model", "approve_model", "promote_model", "model_rollback")
    acts = await stored(lambda: list(AuditEntry.objects.values_list("action", "outcome")))
    assert [a for a in acts if a[0] in wanted] == [(name, "done") for name in wanted]


@visits
async def test_damaged_model_is_not_registered(console: RunningConsole, tmp_path: Path) -> None:
    trained(tmp_path)
    (models_directory(tmp_path) / "autumn" / "booster.txt").write_text("tree", "utf-8")
    scientist = await console.person("data_scientist")
    answer = await scientist.post(f"{PAGES}/register", name="autumn", reason="autumn data")
    assert answer.status_code == 422
    assert "is damaged" in answer.text
    outside = await scientist.post(f"{PAGES}/register", name="../../etc", reason="no")
    assert outside.status_code == 404
    assert await stored(ModelVersion.objects.count) == 0


@visits
async def test_closed_model_cannot_be_compared(console: RunningConsole, tmp_path: Path) -> None:
    trained(tmp_path)
    scientist, lead = await console.person("data_scientist"), await console.person("lead")
    made = await register(scientist)
    base = f"{PAGES}/{made.id}"
    assert (await lead.post(f"{base}/reject", reason="too few labels")).status_code == 302
    assert (await scientist.post(f"{base}/compare", days="7")).status_code == 409
    assert "too few labels" in (await scientist.get(base)).text


@visits
async def test_model_card_is_sandboxed_with_its_styles_alone(
    console: RunningConsole, tmp_path: Path
) -> None:
    trained(tmp_path)
    scientist = await console.person("data_scientist")
    made = await register(scientist)
    card = await scientist.get(f"{PAGES}/{made.name}/card")
    policy = card.headers["Content-Security-Policy"]
    assert card.status_code == 200
    assert policy.startswith("sandbox; default-src 'none'; style-src 'sha256-")
    assert "unsafe-inline" not in policy
    assert re.search(r"<h1[^>]*>Its card", card.text)
    assert (await scientist.get(f"{PAGES}/..%2f..%2fetc/card")).status_code == 404
