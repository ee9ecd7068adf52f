"""The challenger on the live stream: which one is followed, and the process that follows the log.

At most one model is followed at a time, in a process of its own (`service.live_comparison`), which
ends with the service and begins again with it. Another model, policy, mode or coverage that decides
is another comparison: the process then starts anew, and its figures too.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from django.db import DatabaseError, transaction

from wavebreak.errors import WavebreakError
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import AppContext, run_background_query
from wavebreak_server.pipeline.live_policy import models_directory
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.versions import model_versions, policy_versions, replay_processes
from wavebreak_server.slices.versions.live_comparison import LiveFound, read_live
from wavebreak_server.slices.versions.model_versions import MODEL
from wavebreak_server.slices.versions.models import ModelVersion
from wavebreak_server.slices.versions.policy_replay import Change
from wavebreak_server.slices.versions.policy_switch import PolicySwitch
from wavebreak_server.slices.versions.service import audit
from wavebreak_server.texts import translate

logger = structlog.stdlib.get_logger("wavebreak.console")

LOOK_S, RETRY_S = 1.0, 30.0
"""Seconds between two looks at what is wanted, and until a process that failed starts again."""
WARM_UP_DAYS = 1
"""Days of the log that give both models their state before the figures begin."""


def directory_of(home: Path, version: ModelVersion) -> Path:
    """Return the directory of what was found on the live stream about a model."""
    return models_directory(home) / f"{version.name}.live"


def start(acting: ActingUser, version: ModelVersion, reason: str) -> None:
    """Follow the live stream with a model beside the one that scores.

    Raises ApiError (409) where the model is closed, scores already, or another one is followed.
    """
    if not version.is_open:
        raise ApiError(
            409,
            translate("{name} is {state}", name=version.name, state=version.state),
            fix=translate("register it anew"),
        )
    if model_versions.scoring(acting).model == version.model:
        raise ApiError(
            409,
            translate("{name} scores already", name=version.name),
            fix=translate("choose another model"),
        )
    other = followed()
    if other is not None and other.id != version.id:
        raise ApiError(
            409,
            translate("the live stream is followed by {name}", name=other.name),
            fix=translate("end that of {name}", name=other.name),
        )
    acting.context.app.state_of(Problems).pop(version.id, None)
    with transaction.atomic():
        version.beside_ms, version.beside_by = acting.now_ms, acting.user
        version.save(update_fields=["beside_ms", "beside_by"])
        audit(MODEL, version, "follow_model", reason, acting.user, acting.now_ms)


def stop(acting: ActingUser, version: ModelVersion, reason: str) -> None:
    """Follow the live stream no longer; what was found stays."""
    if version.beside_ms is None:
        raise ApiError(
            409,
            translate("{name} is not followed", name=version.name),
            fix=translate("there is nothing to end"),
        )
    with transaction.atomic():
        version.beside_ms = None
        version.save(update_fields=["beside_ms"])
        audit(MODEL, version, "end_following", reason, acting.user, acting.now_ms)


def followed() -> ModelVersion | None:
    """Return the model that is to be followed on the live stream."""
    found: ModelVersion | None = (
        ModelVersion.objects.filter(state__in=ModelVersion.OPEN)
        .exclude(beside_ms=None)
        .order_by("id")
        .first()
    )
    return found


class Shown(NamedTuple):
    """What a model's page shows of the live stream: figures, accounts that differ, and a fault."""

    found: LiveFound | None
    changes: list[Change]
    problem: str

    @property
    def events(self) -> int:
        """Events that both models decided since the figures began."""
        return self.found.position - self.found.begun if self.found else 0

    @property
    def agreement(self) -> float | None:
        """Share of the scored accounts that fare alike; None where nobody was scored."""
        found = self.found
        return found.agree / found.accounts if found and found.accounts else None


def shown(acting: ActingUser, version: ModelVersion, most: int) -> Shown | None:
    """Return what was found on the live stream; None where the model was never followed."""
    out = directory_of(acting.service.settings.home, version)
    found = read_live(out)
    if version.beside_ms is None and found is None:
        return None
    changes = list(islice(replay_processes.changes(out), most))
    problems = acting.context.app.state_of(Problems)
    problem = problems.get(version.id, "") if version.beside_ms is not None else ""
    return Shown(found, changes, problem)


class Problems(dict[int, str]):
    """Why the process of a model that is to be followed has ended, by the model's number."""


class _Process(NamedTuple):
    """A process that follows the log, what it compares, and what was found before it."""

    compares: tuple[Any, ...]
    process: subprocess.Popen[bytes]
    out: Path
    before: LiveFound | None


async def keep_following(app: AppContext, service: Service) -> None:
    """Let a process follow the log where a model is to be followed: a background task."""
    follower = _Follower(service, app.state_of(Problems))
    try:
        while True:
            try:
                await follower.look()
            except (DatabaseError, OSError) as error:
                # A database or a disk that fails for a moment does not end the task.
                logger.warning("following a challenger failed", cause=type(error).__name__)
            await asyncio.sleep(LOOK_S)
    finally:
        follower.end()


class _Follower:
    """Starts and ends the process, as it is wanted."""

    def __init__(self, service: Service, problems: Problems) -> None:
        self._service, self._problems, self._failed_at = service, problems, -RETRY_S
        self._running: _Process | None = None

    async def look(self) -> None:
        """Look once at what is wanted, and at what runs."""
        wanted = await run_background_query(followed)
        compares = await _compares(self._service, wanted) if wanted else None
        if self._running is not None:
            self._see_to(self._running)
        if wanted is None or (compares is not None and self._compares_else(compares)):
            await asyncio.to_thread(self.end)
        idle = self._running is None and time.monotonic() - self._failed_at >= RETRY_S
        if wanted is not None and compares is not None and idle:
            begin = partial(_begin, self._service, wanted, compares)
            self._running = await run_background_query(begin)

    def _see_to(self, running: _Process) -> None:
        """Remember why the process ended, until the next one has found something."""
        model = running.compares[0]
        if running.process.poll() is not None:
            self._problems[model] = replay_processes.last_error(running.out)
            self._failed_at, self._running = time.monotonic(), None
        elif model in self._problems and read_live(running.out) != running.before:
            del self._problems[model]

    def _compares_else(self, compares: tuple[Any, ...]) -> bool:
        return self._running is not None and self._running.compares != compares

    def end(self) -> None:
        """End the process, where one runs."""
        if self._running is not None:
            running, self._running = self._running, None
            running.process.terminate()
            try:
                running.process.wait(10)
            except subprocess.TimeoutExpired:
                running.process.kill()


async def _compares(service: Service, version: ModelVersion) -> tuple[Any, ...] | None:
    """Return what is compared; None while the engine cannot say."""
    try:
        now = model_versions.scoring_of(service.deciding())
    except WavebreakError:
        return None
    switch = service.switch
    deciding = switch.deciding if isinstance(switch, PolicySwitch) else None
    return version.id, version.model, now, deciding


def _begin(service: Service, version: ModelVersion, compares: tuple[Any, ...]) -> _Process:
    home, switch = service.settings.home, service.switch
    out = directory_of(home, version)
    policy = policy_versions.directory_that_decides(service)
    options = switch.options() if isinstance(switch, PolicySwitch) else ()
    command = [
        "challenger", "follow", str(home),
        str(model_versions.directory_of(home, version)), "-o", str(out), "--with-parent",
        "--days", str(WARM_UP_DAYS), *options,
        *(["--policy", str(policy)] if policy else []),
    ]  # fmt: skip
    before = read_live(out)
    return _Process(compares, replay_processes.launch(out, command), out, before)
