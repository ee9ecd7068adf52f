"""Registered models: copies of their files, their comparison, and the model that scores.

The files of a model lie in `HOME/models/m<id>`; `HOME/policies/live` says which one scores
(`pipeline.live_policy`). A model's version is a digest of its files: what is promoted is what was
compared and approved. Which model scores is read from the engine, never from this table. The steps
of a version are in `service`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from django.db import transaction

from wavebreak.errors import ModelError
from wavebreak.languages import msgid
from wavebreak.model import Model, load
from wavebreak.model.baseline import FILE as BASELINE
from wavebreak.model.storage import METADATA, TREES
from wavebreak_server.errors import ApiError, DomainError
from wavebreak_server.pipeline.live_policy import live_policy, models_directory
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.versions.models import ModelReplay, ModelVersion
from wavebreak_server.slices.versions.policy_switch import PolicySwitch
from wavebreak_server.slices.versions.policy_versions import directory_that_decides
from wavebreak_server.slices.versions.replay import inputs
from wavebreak_server.slices.versions.service import (
    Acts,
    Kind,
    Refusal,
    Refusals,
    audit,
    start_replay,
)
from wavebreak_server.texts import translate

CARD = "card.html"
_COPIED = (TREES, METADATA, CARD, BASELINE, "training.json")
MAX_BYTES = 200_000_000
DAYS = (1, 7, 30, 0)
"""Days of the log that a comparison may read; 0: as many events as allowed."""


class ModelKind(Kind):
    """Registered models, in their lifecycle."""

    versions, replays = ModelVersion, ModelReplay
    permission, content, noted = "approve_models", "model", "model"
    place = staticmethod(models_directory)
    replayed = (ModelVersion.REGISTERED, ModelVersion.COMPARED)
    acts = Acts("approve_model", "reject_model", "promote_model", "model_rollback")
    refusals = Refusals(
        unknown=Refusal(msgid("there is no such model"), msgid("see the list of models")),
        unknown_replay=Refusal(
            msgid("there is no such comparison"), msgid("see the list of models")
        ),
        author=Refusal(
            msgid("you registered this model"), msgid("ask another data scientist, or a lead")
        ),
        not_replayed=Refusal(
            msgid("{name} has no comparison with the model that scores now"),
            msgid("compare it first"),
        ),
        not_approved=Refusal(
            msgid("{name} is not approved against what scores and decides now"),
            msgid("compare it, and have it approved"),
        ),
        changed_files=Refusal(
            msgid("the files of {name} were changed"), msgid("register the model anew")
        ),
        replay_runs=Refusal(
            msgid("a comparison of {name} is running"), msgid("wait until it has ended")
        ),
        nothing_earlier=Refusal(
            msgid("there is no earlier model"), msgid("register and promote another one")
        ),
        other_live=Refusal(msgid("{name} scores by now"), msgid("look at the models again")),
    )

    def live_name(self, service: Service) -> str:
        """Return the name of the model that was promoted last; "": that of `serve` scores."""
        live = live_policy(service.settings.home)
        return live.model if live else ""

    def previous_name(self, service: Service) -> str | None:
        """Return the model that a rollback returns to."""
        live = live_policy(service.settings.home)
        return live.earlier_models[-1] if live and live.model and live.earlier_models else None

    def compared_with(self, acting: ActingUser, version: ModelVersion) -> dict[str, str]:
        """Return what scores and decides."""
        now = scoring(acting)
        return {"champion": now.model, "policy": now.policy}

    def check_seen(self, acting: ActingUser, version: ModelVersion, seen: str) -> None:
        """Raise ApiError (409) where another model was shown."""
        if seen != version.model:
            raise ApiError(
                409, translate("another model was shown"), fix=translate("read its page again")
            )

    def has_its_files(self, acting: ActingUser, version: ModelVersion) -> bool:
        """Return whether the files are those of the model's version."""
        directory = directory_of(acting.service.settings.home, version)
        return bool(_load(directory).version == version.model)

    def replay_command(self, acting: ActingUser, replay: ModelReplay, out: Path) -> list[str]:
        """Return `challenger replay` with the model as the challenger."""
        home, policy = acting.service.settings.home, directory_that_decides(acting.service)
        return [
            "challenger", "replay", str(home), str(directory_of(home, replay.of)),
            "--days", str(replay.days), *(["--policy", str(policy)] if policy else []),
        ]  # fmt: skip

    def wanted(self, name: str, version: ModelVersion | None) -> dict[str, Any]:
        """Return the model that a switch is asked for, with the version that was approved."""
        return {"model": name, "approved_model": version.model if version else ""}


MODEL = ModelKind()


class Scoring(NamedTuple):
    """What scores and decides: versions of model ("" without one) and policy."""

    model: str
    policy: str


def scoring(acting: ActingUser) -> Scoring:
    """Return the versions that decide now."""
    deciding = acting.deciding
    return Scoring(deciding.model, deciding.policy.version)


def directory_of(home: Path, version: ModelVersion) -> Path:
    """Return the directory of a registered model."""
    return models_directory(home) / version.name


def unregistered(home: Path) -> list[str]:
    """Return the directories in `HOME/models` that hold a model and are no registered ones."""
    place = models_directory(home)
    numbers = ModelVersion.objects.unverified().values_list("id", flat=True)
    known = {f"m{number}" for number in numbers}
    directories = sorted(place.iterdir()) if place.is_dir() else []
    return [p.name for p in directories if (p / METADATA).is_file() and p.name not in known]


# Registration


def register(acting: ActingUser, name: str, reason: str) -> ModelVersion:
    """Register a directory of `HOME/models` as a challenger; raises ApiError where it is none."""
    home = acting.service.settings.home
    if name not in unregistered(home):
        raise DomainError("model-not-listed")
    return register_as(home, models_directory(home) / name, acting.user, reason, acting.now_ms)


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
    return register_as(home, directory, user, reason, now_ms)


def register_as(home: Path, directory: Path, user: User, reason: str, now_ms: int) -> ModelVersion:
    """Register a directory as a challenger, by a user whose permission was checked."""
    loaded = _load(directory)
    known = ModelVersion.objects.filter(model=loaded.version, state__in=ModelVersion.OPEN).first()
    if known is not None:
        raise ApiError(
            409,
            translate("{version} is registered already", version=loaded.version),
            fix=translate("see {name}", name=known.name),
        )
    with transaction.atomic():
        version: ModelVersion = ModelVersion.objects.create(
            author=user,
            reason=reason,
            created_ms=now_ms,
            model=loaded.version,
            features=[[name, round(share, 4)] for name, share in inputs(loaded, 400)],
        )
        _copy(directory, directory_of(home, version))
        audit(MODEL, version, "register_model", reason, user, now_ms)
    return version


def _load(directory: Path) -> Model:
    """Load a model; raises ApiError (422) where it does not load."""
    try:
        return load(directory)
    except ModelError as error:
        raise ApiError(422, error.what, fix=error.fix or "") from error


def _copy(source: Path, target: Path) -> None:
    files = [source / name for name in _COPIED if (source / name).is_file()]
    if sum(path.stat().st_size for path in files) > MAX_BYTES:
        raise ApiError(
            422,
            translate("the model exceeds {max_bytes} bytes", max_bytes=format(MAX_BYTES, ",")),
            fix=translate("train it with fewer trees"),
        )
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o700, parents=True)
    for path in files:
        (target / path.name).write_bytes(path.read_bytes())
        (target / path.name).chmod(0o600)


# Comparison


def compare(acting: ActingUser, version: ModelVersion, days: int) -> ModelReplay:
    """Replay the last days of the log under both models; raises ApiError (409) of a closed one."""
    if not version.is_open:
        raise ApiError(
            409,
            translate("{name} is {state}", name=version.name, state=version.state),
            fix=translate("register it anew"),
        )
    replay: ModelReplay = start_replay(MODEL, acting, version, days=days)
    return replay


# The model that scores


def champion_directory(acting: ActingUser) -> Path | None:
    """Return the directory of the model that scores; None without one, or where it is unknown."""
    home, switch = acting.service.settings.home, acting.service.switch
    if name := MODEL.live_name(acting.service):
        return models_directory(home) / name
    base = switch.base_model if isinstance(switch, PolicySwitch) else None
    return Path(base) if base and (Path(base) / METADATA).is_file() else None
