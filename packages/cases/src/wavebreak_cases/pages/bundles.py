"""Bundles for download: packed and verified by the commands, in processes of their own.

A bundle is packed from a copy of the case that is taken under its lock, so that people go on
working meanwhile; computing every decision again does not slow the service's own process. Beside
the cases, `.bundles/CASE` has the newest bundle of a case, and in `job.json` what came of it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from django.db import transaction

from wavebreak.ledger.checkpoints import encode_signer, encode_verifier_key
from wavebreak_cases.bundles.bundle_checks import EXIT_CODES, Finding, exit_code
from wavebreak_cases.bundles.report_settings import FILE as SETTINGS
from wavebreak_cases.bundles.report_settings import (
    ReportSettings,
    encode_settings,
    load_sealing,
    load_settings,
)
from wavebreak_cases.bundles.time_stamps import STAMP, stamp_beside
from wavebreak_cases.bundles.workspace import EXHIBITS
from wavebreak_cases.cases.notices import Language
from wavebreak_cases.pages import files
from wavebreak_cases.pages.acts import ActRequest
from wavebreak_cases.pages.apps import CaseStore
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.texts import translate

JOB = "job.json"
LIMIT_S = 1800
"""Seconds that one command may take."""


class BundleJob(msgspec.Struct, frozen=True):
    """What is known of the newest bundle of a case.

    Attributes:
        state: `packing`, `verifying`, `ready` or `failed`.
        at: When (ms).
        steps: Steps of the case that it holds.
        size: Its bytes.
        findings: What the verification found, check by check.
        error: Why it failed.
    """

    state: str
    by: str
    at: int
    why: str
    steps: int
    size: int = 0
    findings: tuple[Finding, ...] = ()
    error: str = ""

    @property
    def running(self) -> bool:
        """Whether it is being made."""
        return self.state in ("packing", "verifying")

    @property
    def code(self) -> int:
        """The exit code of the verification, which `bundle_checks` declares."""
        return exit_code(self.findings)


_running: set[Path] = set()
_lock = threading.Lock()


def bundle_directory(store: CaseStore, case_id: str) -> Path:
    """Return the directory of a case's bundle."""
    return store.directory / ".bundles" / case_id


def bundle_file(store: CaseStore, case_id: str) -> Path:
    """Return the path of a case's bundle."""
    return bundle_directory(store, case_id) / f"{case_id}.zip"


def stamp_file(store: CaseStore, case_id: str) -> Path:
    """Return the path of the time stamp of a case's bundle."""
    path = bundle_file(store, case_id)
    return path.with_name(f"{path.name}{STAMP}")


def verifier_key(store: CaseStore) -> str:
    """Return the key that verifies the store's cases."""
    return encode_verifier_key(store.signer.key)


def newest_job(store: CaseStore, case_id: str) -> BundleJob | None:
    """Return what is known of the newest bundle of a case (None: none was made)."""
    place = bundle_directory(store, case_id)
    try:
        job = msgspec.json.decode((place / JOB).read_bytes(), type=BundleJob)
    except (OSError, msgspec.MsgspecError):
        return None
    if job.running and place not in _running:
        return msgspec.structs.replace(
            job, state="failed", error="the service ended while it was made; build it again"
        )
    return job


def report_settings(act: ActRequest, language: Language) -> ReportSettings:
    """Return what a report says beside its case: who is signed in prepared it."""
    return load_settings(
        language, policy=act.store.policy, prepared_by=act.user.shown_name, authenticated="console"
    )


def start(
    case_id: str, act: ActRequest, language: Language = "en", *, with_names: bool = False
) -> threading.Thread:
    """Begin to build a case's bundle in a language; return the thread that does it.

    With `with_names` a person saw where it still names what was redacted; the audit log says so.

    Raises ApiError (409) where it is being built, or somebody else writes to the case.
    """
    place = bundle_directory(act.store, case_id)
    with _lock:
        if place in _running:
            raise ApiError(
                409, translate("the bundle is being built already"), fix=translate("wait for it")
            )
        _running.add(place)
    try:
        copy = Path(tempfile.mkdtemp(prefix="wavebreak-case-"))
        try:
            with files.open_for_act(act.store, case_id, act.clock) as workspace:
                _copy_case(workspace.path, copy / case_id)
                steps = len(workspace.case.steps)
            settings = encode_settings(report_settings(act, language))
            (copy / SETTINGS).write_bytes(settings)
            with transaction.atomic():
                done = "build_bundle_with_names" if with_names else "build_bundle"
                write_audit_entry(act.clock(), act.user.actor, done, case_id, act.reason)
        except BaseException:
            shutil.rmtree(copy, ignore_errors=True)
            raise
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        job = BundleJob("packing", act.user.actor, act.clock(), act.reason, steps)
        _write(place, job)
    except BaseException:
        _running.discard(place)
        raise
    thread = threading.Thread(
        target=_build,
        args=(act.store, case_id, copy, job, ("--with-names",) * with_names),
        name=f"bundle {case_id}",
        daemon=True,
    )
    thread.start()
    return thread


def _copy_case(source: Path, target: Path) -> None:
    """Copy a case; the files of exhibits are never rewritten, and are linked where that works."""

    def kept(place: str, names: list[str]) -> list[str]:
        return [EXHIBITS, ".lock"] if Path(place) == source else []

    shutil.copytree(source, target, ignore=kept)
    if (source / EXHIBITS).is_dir():
        shutil.copytree(source / EXHIBITS, target / EXHIBITS, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _build(
    store: CaseStore, case_id: str, copy: Path, job: BundleJob, options: Sequence[str]
) -> None:
    place, out = bundle_directory(store, case_id), bundle_file(store, case_id)
    try:
        fresh = place / f".{case_id}.new.zip"
        for left in (fresh, fresh.with_name(f"{fresh.name}{STAMP}")):
            left.unlink(missing_ok=True)  # of a service that ended while it packed
        sealing = load_sealing(store.policy)
        said = ["--settings", str(copy / SETTINGS), *options]
        said += ["--policy", str(store.policy)] if store.policy else []
        # What a witness signs has to stay: it would sign no ledger that goes on otherwise than the
        # one of a copy. Nobody else can write to the case meanwhile.
        source = (store.directory if sealing.witness_key else copy) / case_id
        missing = _pack(store, ["bundle", str(source), "-o", str(fresh), *said], fresh)
        size = fresh.stat().st_size
        fresh.replace(out)
        stamp_file(store, case_id).unlink(missing_ok=True)
        if (stamp := stamp_beside(fresh)) is not None:
            stamp.replace(stamp_file(store, case_id))
        job = msgspec.structs.replace(job, state="verifying", size=size)
        _write(place, job)
        asked = ["verify", str(out), "--key", verifier_key(store), "--json"]
        if sealing.time_stamp_authority:
            asked += ["--stamp-authority", sealing.time_stamp_authority]
        if sealing.witness_key and not missing:
            asked += ["--key", sealing.witness_key]
        found = _run(store, asked, EXIT_CODES)
        findings = (*(Finding(**each) for each in json.loads(found)), *missing)
        _write(place, msgspec.structs.replace(job, state="ready", findings=findings))
    except Exception as error:
        what = str(error)[:500] or type(error).__name__
        _write(place, msgspec.structs.replace(job, state="failed", error=what))
    finally:
        shutil.rmtree(copy, ignore_errors=True)
        _running.discard(place)


def _pack(store: CaseStore, arguments: Sequence[str], fresh: Path) -> list[Finding]:
    """Pack a bundle; return what is missing where it was packed without its stamp or witness.

    Raises RuntimeError where it was not packed.
    """
    try:
        _run(store, arguments, (0,))
    except RuntimeError as error:
        if not fresh.exists():
            raise
        what = "time stamp, witness"
        return [Finding(what, None, f"asked for, and not given: {error}", "unchecked")]
    return []


def typeset_report(loaded: files.LoadedCase, act: ActRequest, language: Language) -> bytes:
    """Return the report of a case as PDF, typeset by the command in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="wavebreak-report-") as place:
        settings, out = Path(place) / SETTINGS, Path(place) / "report.pdf"
        settings.write_bytes(encode_settings(report_settings(act, language)))
        asked = ["case", "report", str(loaded.path), "-o", str(out), "--settings", str(settings)]
        try:
            _run(act.store, asked, (0,))
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            raise ApiError(
                422,
                translate("the report could not be typeset: {value}", value=str(error)[:300]),
                fix=translate("check the case"),
            ) from None
        return out.read_bytes()


def _run(store: CaseStore, arguments: Sequence[str], codes: Sequence[int]) -> str:
    """Run a command; return its output. Raises RuntimeError with what it said otherwise."""
    environment = os.environ | {"WAVEBREAK_LEDGER_KEY": encode_signer(store.signer)}
    done = subprocess.run(  # noqa: S603 - our own command, no value of a request but a checked id
        [sys.executable, "-m", "wavebreak", *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=environment,
        check=False,
    )
    if done.returncode not in codes:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(" ".join(lines[-3:]) or f"it ended with {done.returncode}")
    return done.stdout


def _write(place: Path, job: BundleJob) -> None:
    fresh = place / f"{JOB}.new"
    fresh.write_bytes(msgspec.json.encode(job))
    fresh.replace(place / JOB)


def download(
    case_id: str, store: CaseStore, audited: Callable[[], Any], *, stamp: bool = False
) -> Path:
    """Return the path of a bundle that is ready, after `audited` has recorded the download.

    With `stamp` it is that of its time stamp.

    Raises ApiError (404) where there is none.
    """
    job = newest_job(store, case_id)
    path = (stamp_file if stamp else bundle_file)(store, case_id)
    if job is None or job.state != "ready" or not path.is_file():
        raise ApiError(
            404, translate("there is no bundle to download"), fix=translate("build it first")
        )
    with transaction.atomic():
        audited()
    return path
