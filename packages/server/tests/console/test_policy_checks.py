"""A text that costs a lot to check costs one process with limits, and is answered with its fix."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from support.console_harness import RunningConsole, Visitor, console_test, switch_of
from support.service_harness import abuser
from wavebreak_server.console.views.policy import NEW_RULE
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.pipeline.live_policy import policies_directory
from wavebreak_server.slices.versions import policy_checks, policy_versions
from wavebreak_server.slices.versions.models import PolicyVersion
from wavebreak_server.slices.versions.policy_checks import check_rules

ARGUMENTS = ",".join(["unanswered_strangers_1d"] * 30)
COSTLY = {
    "dotted key": "a" + ".a" * 40_000 + " = 1\n",
    "dotted table": "[" + "a." * 40_000 + "a]\n",
    "quoted key": '"a"' + '."a"' * 20_000 + " = 1\n",
    "nested tables": "x = " + "{a=" * 3_000 + "1" + "}" * 3_000 + "\n",
    "nested arrays": "x = " + "[" * 20_000 + "]" * 20_000 + "\n",
    "long number": "x = " + "1" * 6_000 + "\n",
    "many arguments": NEW_RULE.replace(
        '"unanswered_strangers_1d >= 40"', f'"min({ARGUMENTS}) >= 40"'
    ),
    "many examples": NEW_RULE.replace(
        "fires_on = [", "fires_on = [" + "{ unanswered_strangers_1d = 40 }, " * 3_000
    ),
    "long key": "a" * 150_000 + " = 1\n",
}


async def _prepared(console: RunningConsole) -> None:
    console.service.switch = switch_of(console)
    await console.running.send(abuser())


visits = console_test(_prepared)


async def drafted(console: RunningConsole) -> tuple[Visitor, PolicyVersion]:
    owner = await console.person("policy_owner")
    await owner.post("/console/policy/versions/new", reason="another rule")
    return owner, await stored(lambda: PolicyVersion.objects.get())


@visits
async def test_costly_text_is_answered_with_its_fix(console: RunningConsole) -> None:
    owner, version = await drafted(console)
    path = f"/console/policy/versions/{version.id}/check?file=rules/own.toml"
    for name, text in COSTLY.items():
        answer = await owner.post(path, text=text)
        assert answer.status_code == 200, (name, answer.text)
        found = answer.json()
        assert len(found) == 1, name
        assert found[0]["message"].rstrip(". "), name
        assert len(found[0]["message"]) < 1_200, name
    assert (await owner.post(path, text=NEW_RULE)).json() == []
    too_long = await owner.post(path, text="# " + "x" * 200_000)
    assert "exceeds 200,000 characters" in too_long.json()[0]["message"]


@visits
async def test_costly_text_is_kept_and_shown_again(console: RunningConsole) -> None:
    owner, version = await drafted(console)
    path = f"/console/policy/versions/{version.id}/edit"
    for name in ("dotted key", "many arguments"):
        version = await stored(lambda: PolicyVersion.objects.get())
        saved = await owner.post(
            path, file="rules/own.toml", text=COSTLY[name], seen=version.digest
        )
        assert saved.status_code == 422, name
        shown = await owner.get(f"{path}?file=rules/own.toml")
        assert shown.status_code == 200, name
    assert "two to 8 numbers" in shown.text


@visits
async def test_checks_at_once_have_a_directory_each(
    console: RunningConsole, tmp_path: Path
) -> None:
    owner, version = await drafted(console)
    path = f"/console/policy/versions/{version.id}/check?file=rules/own.toml"
    token = await owner.token()
    texts = [NEW_RULE.replace("norms", f"norms{n}" if n % 2 else "N-1") for n in range(6)]
    answers = await asyncio.gather(
        *(owner.client.post(path, data={"csrfmiddlewaretoken": token, "text": t}) for t in texts)
    )
    assert [bool(answer.json()) for answer in answers] == [True, False] * 3
    assert not list(policies_directory(tmp_path).glob("checked.*"))


@visits
async def test_version_of_too_many_files_is_refused(console: RunningConsole) -> None:
    owner, version = await drafted(console)
    path = f"/console/policy/versions/{version.id}/edit"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(policy_versions, "MAX_FILES", 0)
        saved = await owner.post(path, file="rules/own.toml", text=NEW_RULE, seen=version.digest)
    assert saved.status_code == 422
    assert "keep at most 0" in saved.text


def test_check_beyond_its_limits_says_so(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.toml").write_text(NEW_RULE, "utf-8")
    assert check_rules(tmp_path).version
    limited = check_rules(tmp_path, seconds=0)
    assert (limited.version, limited.fix) == (
        "", "make it smaller: fewer rules, conditions or examples",
    )  # fmt: skip


def test_checks_leave_their_place() -> None:
    for _ in range(policy_checks.AT_ONCE + 1):
        assert check_rules(Path("missing")).what


TAKES = """
import mmap
from wavebreak_server.slices.versions import policy_checks

def take(size):
    try:
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (MemoryError, OSError):
        return None

memory = 1 << 28
before = take(2 * memory)
policy_checks.limit_process(60, memory)
print([each is not None for each in (before, take(memory // 2), take(memory))])
"""


def test_check_may_take_its_memory_whatever_was_mapped_before() -> None:
    done = subprocess.run([sys.executable, "-c", TAKES], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-2] == "[True, True, False]"
