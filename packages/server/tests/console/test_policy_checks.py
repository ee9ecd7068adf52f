"""A text that costs a lot to check costs one process with limits, and is answered with its fix."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from support.console_harness import RunningConsole, console_test, switch_of
from support.policy_pages import upload
from support.service_harness import abuser
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.pipeline.live_policy import policies_directory
from wavebreak_server.slices.versions import policy_checks, policy_versions
from wavebreak_server.slices.versions.models import PolicyVersion
from wavebreak_server.slices.versions.policy_checks import check_rules

NEW_RULE = """
[[rule]]
id = "name_of_the_rule"
abuse = "norms"
about = "What the rule finds, in a sentence."
source = "Where its numbers come from."
stage = "messaging"
on = ["sent"]
when = ["unanswered_strangers_1d >= 40"]
outcome = "observe"
basis = "doubt"
false_actions = "Whom it will wrongly meet, and how often."
review_by = "2027-12-31"
mode = "shadow"
fires_on = [{ unanswered_strangers_1d = 40 }]
stays_quiet_on = [{ unanswered_strangers_1d = 39 }]
""".lstrip()
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


@visits
async def test_costly_upload_is_refused_with_its_fix_and_stored_nowhere(
    console: RunningConsole, tmp_path: Path
) -> None:
    owner = await console.person("policy_owner")
    for name, text in COSTLY.items():
        answer = await upload(owner, {"own.toml": text})
        assert answer.status_code == 422, (name, answer.text)
        assert len(answer.text) < 50_000, name
    assert await stored(PolicyVersion.objects.count) == 0
    assert [path for path in policies_directory(tmp_path).rglob("*") if path.is_file()] == []
    assert (await upload(owner, {"own.toml": NEW_RULE})).status_code == 302


@visits
async def test_upload_beyond_its_bounds_is_refused(console: RunningConsole) -> None:
    owner = await console.person("policy_owner")
    comment = "# " + "x" * 200_000
    many = {f"own{n}.toml": "# x" for n in range(policy_versions.MAX_FILES + 1)}
    uploads: tuple[tuple[Mapping[str, str | bytes], str], ...] = (
        ({"own.toml": comment}, "exceeds 200,000 characters"),
        ({f"own{n}.toml": comment[:170_000] for n in range(6)}, "exceed 1,000,000 characters"),
        (many, f"keep at most {policy_versions.MAX_FILES}"),
        ({"own.toml": b"\xff\xfe"}, "is no text in UTF-8"),
        ({"Own.toml": NEW_RULE}, "is no file of a version"),
        ({"own.py": NEW_RULE}, "is no file of a version"),
        ({}, "choose the files of the policy"),
    )
    for files, told in uploads:
        answer = await upload(owner, files)
        assert (answer.status_code, told in answer.text) == (422, True), told
    assert await stored(PolicyVersion.objects.count) == 0


@visits
async def test_uploads_at_once_are_versions_of_their_own(
    console: RunningConsole, tmp_path: Path
) -> None:
    owner = await console.person("policy_owner")
    texts = [NEW_RULE.replace("norms", f"norms{n}" if n % 2 else "N-1") for n in range(6)]
    answers = await asyncio.gather(*(upload(owner, {"own.toml": text}) for text in texts))
    assert [answer.status_code for answer in answers] == [422, 302] * 3
    assert not list(policies_directory(tmp_path).glob("checked.*"))
    digests = await stored(
        lambda: set(PolicyVersion.objects.unverified().values_list("digest", flat=True))
    )
    assert len(digests) == 3


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
