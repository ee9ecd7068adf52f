"""Tests of golden cases: marked by leads, mixed into the queue, compared afterwards."""

from __future__ import annotations

import re

import msgspec
import pytest

from support.console_harness import RunningConsole, Visitor, console_test, queried
from support.service_harness import abuser
from wavebreak.console import golden
from wavebreak.console.config import load_config
from wavebreak.console.models import GoldenAnswer, PersonAct, Review, ReviewCase
from wavebreak.console.views import queue
from wavebreak.service.models import AuditEntry, Decision, LedgerEntry, LogBatch


async def _with_reviewed_case(console: RunningConsole) -> None:
    """Review the case of `ann` as lead `dana`; the case of `bob` waits."""
    await console.running.send(abuser())
    await console.index()
    dana = await console.person("lead", "dana")
    path = (await dana.post("/console/queue/next")).headers["location"]
    await _decide(dana, path, "abusive", "plain bulk")
    await console.running.send(abuser(account="bob"))
    await console.index()


visits = console_test(_with_reviewed_case)


@pytest.fixture(autouse=True)
def _every_case_is_golden(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config()
    always = msgspec.structs.replace(config.queue, golden_share=1.0)
    monkeypatch.setattr(queue, "load_config", lambda: msgspec.structs.replace(config, queue=always))


async def _mark(dana: Visitor, verdict: str = "abusive") -> int:
    case = await queried(lambda: ReviewCase.objects.get(account="ann", state="closed", blind=False))
    answer = await dana.post(
        f"/console/queue/{case.id}/golden", verdict=verdict, reason="40 strangers, no answer"
    )
    assert answer.status_code == 302, answer.text
    return int(case.id)


async def _decide(person: Visitor, path: str, verdict: str, reason: str = "as it looks") -> str:
    page = (await person.get(path)).text
    version = re.search(r'name="version" value="(\d+)"', page)
    assert version, page
    answer = await person.post(f"{path}/decide", verdict=verdict, reason=reason, version=version[1])
    return (await person.get(answer.headers["location"])).text


def _log() -> tuple[int, ...]:
    models = (Decision, LogBatch, LedgerEntry, PersonAct)
    return tuple(model.objects.count() for model in models)


@visits
async def test_golden_case_is_unannounced_and_changes_nothing(console: RunningConsole) -> None:
    dana, noa = await console.person("lead", "dana"), await console.person("analyst", "noa")
    await _mark(dana)
    before = await queried(_log)
    path = (await noa.post("/console/queue/next")).headers["location"]
    page = (await noa.get(path)).text
    assert ">ann</h1>" in page
    assert "second look" in page
    assert not re.search("golden|plain bulk|40 strangers", page, re.I)
    said = await _decide(noa, path, "benign")
    assert "ann was a golden case: nothing was changed. You said benign; it differs" in said
    assert "40 strangers, no answer" in said
    assert await queried(_log) == before
    review = await queried(lambda: Review.objects.get(kind="golden"))
    assert review.verdict == "benign"
    profile = (await noa.get("/console/profile")).text
    assert "0 of 1 answers agree" in profile
    figures = await queried(golden.figures)
    assert [(f.reviewer, f.answered, f.agreed) for f in figures] == [("noa", 1, 0)]
    assert (figures[0].low, round(figures[0].high, 3)) == (0.0, 0.975)
    listed = (await dana.get("/console/queue/golden")).text
    assert "0.0 % to 97.5 %" in listed


@visits
async def test_golden_case_comes_once_and_never_to_leads(console: RunningConsole) -> None:
    dana, noa = await console.person("lead", "dana"), await console.person("analyst", "noa")
    await _mark(dana)
    gal = await console.person("lead", "gal")
    path = (await gal.post("/console/queue/next")).headers["location"]
    assert ">bob</h1>" in (await gal.get(path)).text
    await gal.post(f"{path}/release", note="")
    path = (await noa.post("/console/queue/next")).headers["location"]
    assert (await gal.post(f"{path}/claim")).status_code == 409
    assert "Your answer agrees" in await _decide(noa, path, "abusive")
    path = (await noa.post("/console/queue/next")).headers["location"]
    assert ">bob</h1>" in (await noa.get(path)).text


@visits
async def test_golden_answer_is_retired_and_audited(console: RunningConsole) -> None:
    dana, noa = await console.person("lead", "dana"), await console.person("analyst", "noa")
    case = await _mark(dana)
    again = await dana.post(f"/console/queue/{case}/golden", verdict="benign", reason="once more")
    assert again.status_code == 409
    assert "The known answer is" in (await dana.get(f"/console/queue/{case}")).text
    path = (await noa.post("/console/queue/next")).headers["location"]
    answer = await queried(GoldenAnswer.objects.get)
    await dana.post(f"/console/queue/golden/{answer.id}/retire", reason="too easy")
    assert "closed" in (await noa.get(path)).text
    actions = await queried(
        lambda: list(AuditEntry.objects.filter(object="ann").values_list("action", flat=True))
    )
    assert actions[-2:] == ["mark_golden", "retire_golden"]


@visits
async def test_open_case_is_not_marked_as_golden(console: RunningConsole) -> None:
    dana = await console.person("lead", "dana")
    case = await queried(lambda: ReviewCase.objects.get(account="bob"))
    answer = await dana.post(f"/console/queue/{case.id}/golden", verdict="benign", reason="known")
    assert answer.status_code == 409
    answer = await dana.post(f"/console/queue/{case.id}/golden", verdict="other", reason="known")
    assert answer.status_code == 422
