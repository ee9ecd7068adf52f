"""Registered models: copied, compared with the model that scores, approved, promoted, rolled back.

The files of a model lie in `HOME/models/m<id>`; `HOME/policies/live` says which one scores
(`service.live_policy`). A model's version is a digest of its files: what is promoted is what was
compared and approved. Which model scores is read from the engine, never from this table.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from django.db import transaction
from django.db.models import F

from wavebreak.engine import Engine
from wavebreak.engine.policy_change import model_version
from wavebreak.errors import ModelError
from wavebreak.model import Model, load
from wavebreak.model.baseline import FILE as BASELINE
from wavebreak.model.storage import METADATA, SHIPPED, TREES
from wavebreak_server.errors import ApiError, DomainError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.pipeline.live_policy import live_policy, models_directory
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.versions import policy_versions, replay_processes
from wavebreak_server.slices.versions.model_replay import inputs
from wavebreak_server.slices.versions.models import ModelReplay, ModelVersion
from wavebreak_server.slices.versions.policy_switch import PolicySwitch

CARD = "card.html"
_COPIED = (TREES, METADATA, CARD, BASELINE, "training.json")
MAX_BYTES = 200_000_000
DAYS = (1, 7, 30, 0)
"""Days of the log that a comparison may read; 0: as many events as allowed."""


class Scoring(NamedTuple):
    """What scores and decides: versions of model ("" without one) and policy."""

    model: str
    policy: str


def scoring(acting: ActingUser) -> Scoring:
    """Return the versions that decide now, as the engine has them."""
    return acting.ask(scoring_of)


def scoring_of(engine: Engine) -> Scoring:
    """Return the versions by which an engine decides."""
    return Scoring(model_version(engine), engine.policy.version)


def directory_of(home: Path, version: ModelVersion) -> Path:
    """Return the directory of a registered model."""
    return models_directory(home) / version.name


def unregistered(home: Path) -> list[str]:
    """Return the directories in `HOME/models` that hold a model and are no registered ones."""
    place = models_directory(home)
    known = {f"m{number}" for number in ModelVersion.objects.values_list("id", flat=True)}
    found = sorted(place.iterdir()) if place.is_dir() else []
    return [p.name for p in found if (p / METADATA).is_file() and p.name not in known]


# Registration


def register(acting: ActingUser, name: str, reason: str) -> ModelVersion:
    """Register a directory of `HOME/models` as a challenger; raises ApiError where it is none."""
    home = acting.service.settings.home
    if name not in unregistered(home):
        raise DomainError("model-not-listed")
    return _register(home, models_directory(home) / name, acting.user, reason, acting.now_ms)


def register_by_command(
    home: Path, directory: Path, by: str, reason: str, now_ms: int
) -> ModelVersion:
    """Register a directory as a challenger, in the open transaction.

    Raises:
        ApiError: Nobody of that name may register models, or the model is registered already.
        ModelError: The directory holds no model.

    """
    user = User.objects.filter(username=by).first()
    if user is None or not user.may("register_models"):
        raise DomainError("not-a-data-scientist", by=by)
    return _register(home, directory, user, reason, now_ms)


def _register(home: Path, directory: Path, user: User, reason: str, now_ms: int) -> ModelVersion:
    loaded = _load(directory)
    known = ModelVersion.objects.filter(model=loaded.version, state__in=ModelVersion.OPEN).first()
    if known is not None:
        raise ApiError(409, f"{loaded.version} is registered already", fix=f"see {known.name}")
    with transaction.atomic():
        made: ModelVersion = ModelVersion.objects.create(
            author=user,
            reason=reason,
            created_ms=now_ms,
            model=loaded.version,
            features=[[name, round(share, 4)] for name, share in inputs(loaded, 400)],
        )
        _copy(directory, directory_of(home, made))
        audit(made, "register_model", reason, user, now_ms)
    return made


def _load(directory: Path) -> Model:
    """Load a model; raises ApiError (422) where it does not load."""
    try:
        return load(directory)
    except ModelError as error:
        raise ApiError(422, error.what, fix=error.fix or "") from error


def _copy(source: Path, target: Path) -> None:
    found = [source / name for name in _COPIED if (source / name).is_file()]
    if sum(path.stat().st_size for path in found) > MAX_BYTES:
        raise ApiError(
            422, f"the model exceeds {MAX_BYTES:,} bytes", fix="train it with fewer trees"
        )
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o700, parents=True)
    for path in found:
        (target / path.name).write_bytes(path.read_bytes())
        (target / path.name).chmod(0o600)


# Comparison


def replay_directory(acting: ActingUser, replay: ModelReplay) -> Path:
    """Return the directory of a comparison's files."""
    place = models_directory(acting.service.settings.home)
    return place / f"m{replay.of_id}.replays" / str(replay.id)


def compare(acting: ActingUser, version: ModelVersion, days: int) -> ModelReplay:
    """Replay the last days of the log under both models, in a process of its own.

    Raises ApiError (409) while another comparison runs, or where the model is closed.
    """
    if not version.is_open:
        raise ApiError(409, f"{version.name} is {version.state}", fix="register it anew")
    for running in ModelReplay.objects.filter(state=ModelReplay.RUNNING).select_related("of"):
        if follow(acting, running).state == ModelReplay.RUNNING:
            raise ApiError(
                409, f"a comparison of {running.of.name} is running", fix="wait until it has ended"
            )
    now, home = scoring(acting), acting.service.settings.home
    made: ModelReplay = ModelReplay.objects.create(
        of=version,
        by=acting.user,
        started_ms=acting.now_ms,
        champion=now.model,
        policy=now.policy,
        days=days,
    )
    switch, policy = acting.service.switch, policy_versions.live_directory(acting)
    options = switch.options() if isinstance(switch, PolicySwitch) else ()
    out = replay_directory(acting, made)
    command = [
        "challenger", "replay", str(home), str(directory_of(home, version)),
        "-o", str(out), "--days", str(days), *options,
        *(["--policy", str(policy)] if policy else []),
    ]  # fmt: skip
    replay_processes.start(out, command)
    return made


def follow(acting: ActingUser, replay: ModelReplay) -> ModelReplay:
    """Note whether a comparison has ended, and with what."""
    if policy_versions.store_end(replay, replay_directory(acting, replay), acting.now_ms):
        ModelVersion.objects.filter(id=replay.of_id, state=ModelVersion.REGISTERED).update(
            state=ModelVersion.COMPARED, version=F("version") + 1
        )
    return replay


def valid_replay(acting: ActingUser, version: ModelVersion) -> ModelReplay | None:
    """Return the newest comparison that holds: with what scores and decides now."""
    now = scoring(acting)
    found: ModelReplay | None = version.replays.filter(
        state=ModelReplay.DONE, champion=now.model, policy=now.policy
    ).last()
    return found


# Approval, promotion, rollback


def approve(acting: ActingUser, version: ModelVersion, reason: str, seen: str) -> None:
    """Approve a compared model; raises ApiError where this person registered it."""
    if version.author_id == acting.user.id:
        raise ApiError(
            403, "you registered this model", fix="ask another data scientist, or a lead"
        )
    if version.state != ModelVersion.COMPARED or valid_replay(acting, version) is None:
        raise ApiError(
            409,
            f"{version.name} has no comparison with the model that scores now",
            fix="compare it first",
        )
    if seen != version.model:
        raise ApiError(409, "another model was shown", fix="read its page again")
    with transaction.atomic():
        policy_versions.advance(
            version,
            [ModelVersion.COMPARED],
            state=ModelVersion.APPROVED,
            approval=reason,
            approved_by=acting.user,
            approved_ms=acting.now_ms,
        )
        audit(version, "approve_model", reason, acting.user, acting.now_ms)


def reject(acting: ActingUser, version: ModelVersion, reason: str) -> None:
    """Close a model that shall not be promoted."""
    if not version.is_open:
        raise ApiError(409, f"{version.name} is {version.state}", fix="there is nothing to close")
    with transaction.atomic():
        note = f"{acting.user.shown_name}: {reason}"[:500]
        change = {"state": ModelVersion.REJECTED, "note": note}
        policy_versions.advance(version, ModelVersion.OPEN, **change)
        audit(version, "reject_model", reason, acting.user, acting.now_ms)


def promote(acting: ActingUser, version: ModelVersion, reason: str) -> float:
    """Let an approved model score; return how many seconds requests were refused.

    Raises StaleError where somebody else promotes it, or withdraws it, at the same time.
    """
    now = policy_versions.deciding(acting.service)
    if version.state != ModelVersion.APPROVED or valid_replay(acting, version) is None:
        raise ApiError(
            409,
            f"{version.name} is not approved against what scores and decides now",
            fix="compare it, and have it approved",
        )
    home = acting.service.settings.home
    if _load(directory_of(home, version)).version != version.model:
        raise ApiError(
            409, f"the files of {version.name} were changed", fix="register the model anew"
        )
    before = version_of(live_name(acting.service))
    with policy_versions.going_live(version, acting):
        seconds = policy_versions.switch(
            acting, "promote_model", _label(version), reason,
            model=version.name, approved_model=version.model, instead_of=now,
        )  # fmt: skip
    _retire(acting, before, "")
    return seconds


def live_name(service: Service) -> str:
    """Return the name of the model that was promoted last; "": that of `serve` scores."""
    live = live_policy(service.settings.home)
    return live.model if live else ""


def version_of(name: str) -> ModelVersion | None:
    """Return a registered model by its name."""
    number = name.removeprefix("m")
    if not number.isdigit():
        return None
    found: ModelVersion | None = ModelVersion.objects.filter(id=int(number)).first()
    return found


def previous_model(service: Service) -> str | None:
    """Return the model that a rollback returns to ("": that of `serve`); None: there is none."""
    live = live_policy(service.settings.home)
    return live.earlier_models[-1] if live and live.model and live.earlier_models else None


def roll_back(acting: ActingUser, reason: str, seen: str) -> tuple[str, float]:
    """Let the model before the promoted one score again; return its name, and the seconds.

    Raises ApiError where another model than `seen` scores by now.
    """
    now = policy_versions.deciding(acting.service)
    name, target = live_name(acting.service), previous_model(acting.service)
    if target is None:
        raise ApiError(404, "there is no earlier model", fix="register and promote another one")
    if name != seen:
        raise ApiError(409, f"{name} scores by now", fix="look at the models again")
    live, earlier = version_of(name), version_of(target)
    seconds = policy_versions.switch(
        acting, "model_rollback", target or "model of serve", reason,
        model=target, approved_model=earlier.model if earlier else "", back=True, instead_of=now,
    )  # fmt: skip
    _retire(acting, live, f"rolled back: {reason}")
    if earlier is not None:
        earlier.state, earlier.retired_ms = ModelVersion.LIVE, None
        earlier.save(update_fields=["state", "retired_ms"])
    return target, seconds


def _retire(acting: ActingUser, version: ModelVersion | None, note: str) -> None:
    if version is not None:
        version.state, version.retired_ms = ModelVersion.RETIRED, acting.now_ms
        version.note, version.version = note[:500], version.version + 1
        version.save(update_fields=["state", "retired_ms", "note", "version"])


def _label(version: ModelVersion) -> str:
    return f"{version.name} {version.model}"[:128]


def audit(version: ModelVersion, act: str, reason: str, user: User, now_ms: int) -> int:
    """Note an act on a model in the audit log, in the open transaction."""
    return write_audit_entry(now_ms, user.actor, act, _label(version), reason)


def people_who_may_approve(version: ModelVersion) -> list[str]:
    """Return who could approve a model, by the names that others see."""
    people = User.objects.filter(is_active=True).exclude(id=version.author_id).order_by("username")
    return [person.shown_name for person in people if person.may("approve_models")]


# The model that scores


def champion_directory(acting: ActingUser) -> Path | None:
    """Return the directory of the model that scores; None without one, or where it is unknown."""
    home, switch = acting.service.settings.home, acting.service.switch
    if name := live_name(acting.service):
        return models_directory(home) / name
    base = switch.base_model if isinstance(switch, PolicySwitch) else None
    directory = Path(base) if base else SHIPPED
    return directory if (directory / METADATA).is_file() else None
