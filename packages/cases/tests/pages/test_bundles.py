"""Bundles of cases from the console: built, verified and downloaded, each as the commands do it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.console_harness import RunningConsole
from support.legal_cases import (
    PAGE,
    SIGNER,
    act,
    case_visits,
    demo_at,
    queried,
    served_case,
    store_of,
    text_of,
)
from wavebreak_cases.bundles.report_settings import Sealing
from wavebreak_cases.bundles.verify import exit_code, verify_bundle
from wavebreak_cases.pages import bundles
from wavebreak_cases.pages.apps import CaseStore
from wavebreak_cases.pages.demo_case import CASE_ID
from wavebreak_server.storage.models import AuditEntry

FINDINGS: list[dict[str, object]] = [
    {"what": "bag", "holds": True, "said": "36 files", "name": ""},
    {"what": "report", "holds": None, "said": "made elsewhere", "name": "unchecked"},
]


async def ended(console: RunningConsole) -> bundles.BundleJob:
    store = store_of(console)
    async with asyncio.timeout(300):
        while True:
            job = bundles.newest_job(store, CASE_ID)
            if job is not None and not job.running:
                return job
            await asyncio.sleep(0.05)


async def build(console: RunningConsole) -> bundles.BundleJob:
    counsel = await console.person("counsel")
    answer = await counsel.post(
        f"{PAGE}/bundle/build", page=f"{PAGE}/bundle", reason="for the court"
    )
    assert answer.status_code == 302, answer.text
    return await ended(console)


def commands(
    said: Sequence[dict[str, object]] = FINDINGS,
) -> Callable[[CaseStore, Sequence[str], Sequence[int]], str]:
    """Return a stand-in for the commands, which packs a few bytes and finds what is given."""

    def run(_store: CaseStore, arguments: Sequence[str], _codes: Sequence[int]) -> str:
        if arguments[0] == "bundle":
            Path(arguments[3]).write_bytes(b"PK" + b"x" * 700_000)
            assert (Path(arguments[1]) / "case.json").exists()
            assert (Path(arguments[1]) / "exhibits" / "E1").is_dir()
        return json.dumps(list(said))

    return run


@case_visits
async def test_bundle_is_built_verified_and_downloaded(console: RunningConsole) -> None:
    job = await build(console)
    assert (job.state, job.error, job.steps) == ("ready", "", 19)
    assert job.code == 0, job.findings
    counsel = await console.person("counsel")
    page = text_of((await counsel.get(f"{PAGE}/bundle")).text)
    assert "Everything was checked and holds" in page
    assert "sealed entries holds" in page
    answer = await counsel.get(f"{PAGE}/bundle/file")
    assert answer.headers["content-disposition"] == f'attachment; filename="{CASE_ID}.zip"'
    assert answer.headers["content-type"] == "application/zip"
    path = bundles.bundle_file(store_of(console), CASE_ID)
    assert answer.content == path.read_bytes()
    assert exit_code(verify_bundle(path, [SIGNER.key])) == 0

    def entries() -> list[tuple[str, str]]:
        rows = AuditEntry.objects.filter(object=CASE_ID).order_by("number")
        return list(rows.values_list("action", "reason"))

    assert await queried(entries) == [
        ("build_bundle", "for the court"),
        ("download_bundle", "downloaded"),
    ]
    assert len(served_case(console).steps) == 19


@case_visits
async def test_bundle_is_stamped_by_the_configured_authority(console: RunningConsole) -> None:
    asked: list[Sequence[str]] = []

    def run(store: CaseStore, arguments: Sequence[str], codes: Sequence[int]) -> str:
        asked.append(arguments)
        if arguments[0] == "bundle" and len(asked) == 1:
            Path(f"{arguments[3]}.tsr").write_bytes(b"a stamp")
        said = commands()(store, arguments, codes)
        if arguments[0] == "bundle" and len(asked) > 1:
            raise RuntimeError("the authority did not answer")
        return said

    counsel = await console.person("counsel")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bundles, "_run", run)
        patched.setattr(
            bundles, "load_sealing", lambda _policy: Sealing("http://a.example/", "r.pem")
        )
        await build(console)
        assert list(asked[1][-2:]) == ["--stamp-authority", "r.pem"]
        assert "Its time stamp" in text_of((await counsel.get(f"{PAGE}/bundle")).text)
        answer = await counsel.get(f"{PAGE}/bundle/file?of=stamp")
        assert answer.content == b"a stamp"
        assert answer.headers["content-type"] == "application/timestamp-reply"
        job = await build(console)
    assert job.state == "ready"
    assert job.findings[-1].said == "asked for, and not given: the authority did not answer"
    assert job.code == 3
    page = text_of((await counsel.get(f"{PAGE}/bundle")).text)
    assert "Its time stamp" not in page
    assert (await counsel.get(f"{PAGE}/bundle/file?of=stamp")).status_code == 404


@case_visits
async def test_findings_are_shown_as_a_checklist(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bundles, "_run", commands())
        job = await build(console)
        assert job.code == 3
        await act(counsel, "add_task", what="Buy a package")
        page = text_of((await counsel.get(f"{PAGE}/bundle")).text)
        assert "Not all could be checked here" in page
        assert "report not checked made elsewhere" in page
        assert "It holds 19 steps; the case has 20 now" in page
        bad = FINDINGS[0] | {"holds": False, "said": "a.txt is not as it was packed"}
        patched.setattr(bundles, "_run", commands([bad]))
        assert (await build(console)).code == 1
    page = text_of((await counsel.get(f"{PAGE}/bundle/status")).text)
    assert "Something does not hold" in page
    assert "bag does not hold a.txt is not as it was packed" in page


@case_visits
async def test_bundle_that_names_what_was_redacted_is_packed_on_a_word(
    console: RunningConsole,
) -> None:
    """The word is the person's, and is in the audit log."""
    asked: list[Sequence[str]] = []
    packed: Any = commands()

    def run(store: CaseStore, arguments: Sequence[str], codes: Sequence[int]) -> Any:
        asked.append(arguments)
        return packed(store, arguments, codes)

    counsel = await console.person("counsel")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bundles, "_run", run)
        page = f"{PAGE}/bundle"
        await counsel.post(f"{page}/build", page=page, reason="seen", with_names="yes")
        await ended(console)
    assert asked[0][-1] == "--with-names"
    entries = AuditEntry.objects.filter(action="build_bundle_with_names", reason="seen")
    assert await queried(entries.count) == 1


@case_visits
async def test_failure_is_shown_and_nothing_is_downloaded(console: RunningConsole) -> None:
    counsel = await console.person("counsel")

    def fail(*_arguments: object) -> str:
        raise RuntimeError("E1: original.html is not as it was taken in")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bundles, "_run", fail)
        assert (await build(console)).state == "failed"
    page = text_of((await counsel.get(f"{PAGE}/bundle")).text)
    assert "It could not be built. E1: original.html is not as it was taken in" in page
    assert (await counsel.get(f"{PAGE}/bundle/file")).status_code == 404


@case_visits
async def test_bundle_needs_a_reason(console: RunningConsole) -> None:
    counsel = await console.person("counsel")
    answer = await counsel.post(f"{PAGE}/bundle/build", page=f"{PAGE}/bundle", reason="")
    assert answer.status_code == 422
    assert bundles.newest_job(store_of(console), CASE_ID) is None


def test_job_that_the_service_left_is_shown_as_failed(tmp_path: Path) -> None:
    store, _ = demo_at(tmp_path / "cases")
    place = bundles.bundle_directory(store, CASE_ID)
    place.mkdir(parents=True)
    assert bundles.newest_job(store, CASE_ID) is None
    job = {"state": "packing", "by": "user:dana", "at": 1, "why": "x", "steps": 19}
    (place / bundles.JOB).write_text(json.dumps(job))
    left = bundles.newest_job(store, CASE_ID)
    assert left is not None
    assert left.state == "failed"
    assert "build it again" in left.error
