"""Learned scores in a service: registered, promoted, rolled back by itself, and shown in words."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from support import home_stream
from support.console_harness import RunningConsole, console_test, switch_of
from support.service_harness import abuser
from wavebreak.cli.app import app
from wavebreak.evaluation import home_learning
from wavebreak.evaluation.complaint_ceilings import Ceiling
from wavebreak.evaluation.home_learning import Group, HomeDays, HomeLabels, Lesson, load_terms
from wavebreak.model import Model, save, smallest_model
from wavebreak_server.cli import learning as command
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.pipeline.live_policy import live_policy, policy_files, version_directory
from wavebreak_server.slices.learning import service as learning
from wavebreak_server.slices.learning.service import (
    CeilingProposal,
    LearnedScore,
    LearnedState,
    LearningSchedule,
)
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.versions.models import ModelVersion, PolicyVersion
from wavebreak_server.storage.models import AuditEntry

TERMS = load_terms()
LESSON = Lesson(
    end_ms=1_767_222_000_000, days=13.5, events=41_000,
    labels={"convicted by the tests": 31, "answered by strangers": 900}, operators=9,
    left_out={"neither convicted nor answered": 700}, line=1.5, first_messages=8_000, met=20,
    caught=25, features=(("started_chats", 0.4),),
    groups=(Group("older", "more", 300, 2, 1),),
)  # fmt: skip


async def _prepared(console: RunningConsole) -> None:
    console.service.switch = switch_of(console)
    await console.running.send([*abuser(), *abuser(60, account="bob")])
    await console.index()


visits = console_test(_prepared)


def learned(home: Path, state: home_learning.State = "ready", number: int = 1) -> LearnedScore:
    """Store a learned score with its files."""
    model = home_learning.at_line(smallest_model(), 1.5, {"week": number})
    directory = learning.learned_directory(home) / str(number)
    directory.mkdir(parents=True)
    save(model, directory)
    score = LearnedScore(
        number=number, state=state, why="It meets 0.20%.", learned_ms=1, lesson=LESSON,
        model=model.version,
    )  # fmt: skip
    learning.write_state(home, learning.read_state(home).with_score(score))
    return score


async def carry_out(console: RunningConsole, home: Path, promote: Any = "automatic") -> list[str]:
    """Let the service do once what the learned scores need."""
    terms = replace(TERMS, promote=promote)
    return await learning.carry_out(home, terms, console.service, console.running.context)


def state_of(home: Path, number: int = 1) -> LearnedScore:
    return next(s for s in learning.read_state(home).scores if s.number == number)


@visits
async def test_score_that_held_is_promoted_and_rolled_back(
    console: RunningConsole, tmp_path: Path
) -> None:
    learned(tmp_path)
    (said,) = await carry_out(console, tmp_path)
    score = state_of(tmp_path)
    assert "acts from now on" in said
    assert score.state == "on"
    live = live_policy(tmp_path)
    assert live is not None
    assert live.model == score.name
    version = await stored(lambda: ModelVersion.objects.get(id=int(score.name[1:])))
    assert version.state == ModelVersion.LIVE
    assert await carry_out(console, tmp_path) == []
    fault = "It meets 1.40% of answered accounts' first messages."
    failing = replace(score, state="failing", why=fault)
    learning.write_state(tmp_path, learning.read_state(tmp_path).with_score(failing))
    (said,) = await carry_out(console, tmp_path)
    assert "was rolled back: It meets 1.40%" in said
    assert state_of(tmp_path).state == "ended"
    after = live_policy(tmp_path)
    assert after is not None
    assert after.model == ""
    acts = await stored(lambda: list(AuditEntry.objects.values_list("action", "key")))
    done = {action for action, actor in acts if actor == "user:learning"}
    assert done == {"register_model", "approve_model", "promote_model", "model_rollback"}


@visits
async def test_person_promotes_where_the_policy_says_so(
    console: RunningConsole, tmp_path: Path
) -> None:
    learned(tmp_path)
    assert await carry_out(console, tmp_path, "person") == []
    score = state_of(tmp_path)
    assert score.state == "ready"
    version = await stored(lambda: ModelVersion.objects.get(id=int(score.name[1:])))
    assert version.state == ModelVersion.REGISTERED
    live = live_policy(tmp_path)
    assert live is None or live.model == ""


@visits
async def test_score_in_shadow_acts_on_nobody(console: RunningConsole, tmp_path: Path) -> None:
    learned(tmp_path, "shadow")
    assert await carry_out(console, tmp_path) == []
    assert state_of(tmp_path).state == "shadow"
    assert live_policy(tmp_path) is None


@visits
async def test_later_score_replaces_the_one_that_acts(
    console: RunningConsole, tmp_path: Path
) -> None:
    learned(tmp_path)
    await carry_out(console, tmp_path)
    learned(tmp_path, number=2)
    await carry_out(console, tmp_path)
    await carry_out(console, tmp_path)
    assert [state_of(tmp_path, n).state for n in (1, 2)] == ["ended", "on"]
    failing = replace(state_of(tmp_path, 2), state="failing", why="Too few labels.")
    learning.write_state(tmp_path, learning.read_state(tmp_path).with_score(failing))
    await carry_out(console, tmp_path)
    await carry_out(console, tmp_path)
    assert [state_of(tmp_path, n).state for n in (1, 2)] == ["on", "ended"]


@visits
async def test_nobody_can_sign_in_as_learning(console: RunningConsole, tmp_path: Path) -> None:
    learned(tmp_path)
    await carry_out(console, tmp_path)
    user = await stored(lambda: User.objects.get(username=learning.USER))
    assert not user.is_active
    assert not user.has_usable_password()
    assert not user.may("approve_models")


def proposal(policy: str, complaint: float = 0.02) -> CeilingProposal:
    """A proposal for one ceiling of the policy that decides."""
    ceilings = (
        Ceiling(name="complaint", now=0.05, proposed=complaint, accounts=400, removed=3,
                interval=(0.015, complaint), limited=(4, 9), silenced=(0, 1)),
        Ceiling(name="complaint_of_reactions", now=0.3, proposed=0.3, accounts=12),
    )  # fmt: skip
    return CeilingProposal(proposed_ms=1_767_222_000_000, policy=policy, ceilings=ceilings)


@visits
async def test_ceilings_become_a_version_that_another_person_approves(
    console: RunningConsole, tmp_path: Path
) -> None:
    policy = console.service.responder.policy.version
    learned(tmp_path, "shadow")
    state = learning.read_state(tmp_path)
    learning.write_state(tmp_path, replace(state, ceilings=proposal(policy)))
    assert any("are proposed as v1" in line for line in await carry_out(console, tmp_path))
    assert not any("proposed" in line for line in await carry_out(console, tmp_path))
    page = (await (await console.person("lead")).get("/console/policy/learning")).text
    for words in (
        "Ceilings of complaints",
        "/policy/versions/1",
        '4 <span class="arrow">→</span> 9',
        "0.0150–0.0200",
        "kept",
    ):
        assert words in page
    (version,) = await stored(lambda: list(PolicyVersion.objects.select_related("author")))
    assert (version.state, version.author.username) == ("checked", learning.USER)
    files = policy_files(version_directory(tmp_path, version.name, version.digest))
    assert "\ncomplaint = 0.02\n" in files["evidence.toml"]
    assert console.service.responder.policy.version == policy
    # Other numbers take the place of an open proposal.
    state = learning.read_state(tmp_path)
    learning.write_state(tmp_path, replace(state, ceilings=proposal(policy, 0.03)))
    await carry_out(console, tmp_path)
    states = await stored(
        lambda: list(PolicyVersion.objects.unverified().values_list("state", flat=True))
    )
    assert sorted(states) == ["checked", "rejected"]
    learning.write_state(tmp_path, replace(state, ceilings=proposal("other-1")))
    assert not any("proposed" in line for line in await carry_out(console, tmp_path))


@visits
async def test_page_says_what_a_week_taught(console: RunningConsole, tmp_path: Path) -> None:
    scientist = await console.person("data_scientist")
    empty = await scientist.get("/console/policy/learning")
    assert "Nothing was learned yet" in empty.text
    learned(tmp_path)
    await carry_out(console, tmp_path)
    page = (await scientist.get("/console/policy/learning")).text
    for words in (
        "31 accounts convicted by the tests", "9 operators", "20 of 8,000 first",
        "700 accounts neither convicted nor answered", "on: it acts beside a complaint",
        "/models/1",
    ):  # fmt: skip
        assert words in page


def fit(days: HomeDays, labels: HomeLabels, name: str, seed: int) -> tuple[Model, Any]:
    """Fit without trees: convicted accounts score high."""
    return smallest_model(), np.where(labels.positive[days.points.account], 2.0, -2.0)


async def send(console: RunningConsole, events: list[home_stream.Row]) -> None:
    """Send events in several requests."""
    for first in range(0, len(events), 400):
        await console.running.send(events[first : first + 400])


@visits
async def test_command_learns_from_the_log_and_prints_it(
    console: RunningConsole, tmp_path: Path
) -> None:
    await send(console, home_stream.events(start=1_767_222_000_000))

    def learn(*options: str) -> str:
        result = CliRunner().invoke(app, ["learn", str(tmp_path), "--shadow", *options])
        assert result.exit_code == 0, result.output
        return result.output

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "load_home_fit", lambda: fit)
        patch.setattr("os.nice", lambda _: 0)
        said = await asyncio.to_thread(learn)
    assert "24 accounts convicted by the tests" in said
    assert state_of(tmp_path).state == "shadow"
    assert "Ceilings of complaints" in said
    ceilings = learning.read_state(tmp_path).ceilings
    assert ceilings is not None
    assert [ceiling.name for ceiling in ceilings.ceilings] == [
        "complaint", "complaint_of_reactions", "complaint_after_answer",
    ]  # fmt: skip
    assert "in shadow: it acts on nobody" in await asyncio.to_thread(learn, "--report")
    later = home_stream.events(first=200, start=1_767_222_000_000 + 7 * home_stream.DAY, seed=5)
    await send(console, [row | {"id": f"later-{row['id']}"} for row in later])
    assert "Since then: " in await asyncio.to_thread(learn, "--check")
    (found,) = state_of(tmp_path).checks
    assert found.first_messages > 300


@visits
async def test_schedule_learns_when_it_is_due(console: RunningConsole, tmp_path: Path) -> None:
    note = tmp_path / "words.txt"
    source = f"import sys, pathlib; pathlib.Path({str(note)!r}).write_text(' '.join(sys.argv))"
    program = [sys.executable, "-c", source]

    def task(every: str) -> LearningSchedule:
        terms = replace(TERMS, every=every, check="0s")
        return LearningSchedule(tmp_path, terms, console.running.context, program)

    await task("365d").look(console.service)
    assert not note.exists()
    await task("0s").look(console.service)
    assert note.read_text().split()[1:3] == ["learn", str(tmp_path)]
    learned(tmp_path, "shadow")
    state = replace(learning.read_state(tmp_path), checked_ms=0)
    scores = tuple(replace(s, learned_ms=console.service.clock()) for s in state.scores)
    learning.write_state(tmp_path, LearnedState(scores))
    await task("365d").look(console.service)
    assert note.read_text().split()[-1] == "--check"


@visits
async def test_failure_is_reported_and_not_repeated_at_once(
    console: RunningConsole, tmp_path: Path
) -> None:
    said: list[str] = []
    console.service.report = said.append
    program = [sys.executable, "-c", "import sys; sys.exit('no trees')"]
    terms = replace(TERMS, every="0s")
    task = LearningSchedule(tmp_path, terms, console.running.context, program)
    await task.look(console.service)
    await task.look(console.service)
    assert len(said) == 1
    assert "no trees" in said[0]
