"""Switch of a running service to another policy, model, mode or coverage, without losing an event.

1. The rules are compiled and the model is loaded, while the service goes on.
2. The service refuses new bodies (503 with Retry-After), and finishes what it has accepted:
   decisions are stored and sealed. What decided before answers `decide` until step 4 is done; an
   attempt that it refuses is not recorded.
3. The engine's state goes over to the other policy or model, as a snapshot at the log's end. Where
   a job on Flink decides over the log, a record beside the log says so to the job, which does it.
4. `HOME/policies/live` names what decides, and the pipeline starts from that snapshot. Where the
   mode is another one too, it is switched there, as after a restart in the other mode.

A crash leaves the service with one of the two, and with every event: before step 4 the next start
goes on with the former one, after it with the new one. Where the new one cannot start, the former
one starts again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypedDict, Unpack

from django.db import transaction

from wavebreak import model
from wavebreak.engine import Engine, snapshot
from wavebreak.engine.policy_change import carried_state, model_version
from wavebreak.engine.switch_records import SwitchTerms
from wavebreak.engine.versions import engine_versions
from wavebreak.errors import ServiceError
from wavebreak.rules import Policy, load_policy
from wavebreak.schema.coverage import save
from wavebreak_server.pipeline import job_switches
from wavebreak_server.pipeline.decide import DecideResponder
from wavebreak_server.pipeline.engine_switch import Replacement
from wavebreak_server.pipeline.engine_thread import EngineThread
from wavebreak_server.pipeline.job_view import JobView
from wavebreak_server.pipeline.live_policy import (
    LivePolicy,
    files_digest,
    live_policy,
    models_directory,
    set_live_policy,
    version_directory,
)
from wavebreak_server.pipeline.pipeline import Pipeline
from wavebreak_server.pipeline.recovery import new_snapshot_path
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.sources.service import Coverage
from wavebreak_server.storage import state_changes
from wavebreak_server.storage.models import AppliedPosition
from wavebreak_server.storage.row_macs import bound_key

WHY = "the policy or the model is being switched"
PROFILE = "sources.profile.json"
"""File in the service's directory: the profile of the declared sources, for replays."""


class ChangedFilesError(ServiceError):
    """The files of a version, or of a model, are not those that were approved."""


@dataclass(frozen=True)
class Deciding:
    """What decides: versions by their directories' names, the mode, and the coverage.

    Attributes:
        policy: The version in `HOME/policies`; "": the policy that `serve` was started with.
        digest: Of that version's files ("": it is not compared with them).
        model: The model in `HOME/models`; "": the model that `serve` was started with.
        enforce: Whether outcomes are enforced.
        coverage: What the declared sources carry and can (None: none is declared).
    """

    policy: str = ""
    model: str = ""
    enforce: bool = False
    coverage: Coverage | None = None
    digest: str = ""


class Wanted(TypedDict, total=False):
    """What shall decide beside a policy; what is left out stays as it is.

    Attributes:
        digest: What the files of the policy's version were approved with ("": as they are).
        model: The model's directory in `HOME/models` (None: as now).
        approved_model: The version that was approved of that model ("": as it is).
        enforce: The mode (None: as now).
        coverage: What the declared sources carry and can (None: no source is declared).
    """

    digest: str
    model: str | None
    approved_model: str
    enforce: bool | None
    coverage: Coverage | None


@dataclass
class PolicySwitch:
    """Switches a service to another policy, model or mode.

    Attributes:
        home: The service's directory.
        base: The directory of the policy that `serve` was started with (None: the shipped one).
        engine: Returns an engine of a policy and a model, without state, in a mode; with a profile
            where sources are declared.
        responder: Returns what answers `decide` under a policy of a directory.
        switched: Called with the directory of the policy and the mode once it decides.
        replay_options: Options of `wavebreak rules replay` that repeat how the service decides,
            beside the model and the mode.
        base_model: The model that `serve` was started with: a directory; "none" or None for none.
        base_enforce: Whether `serve` was started with enforcement.
        base_digest: Of the files of `base` when it was read ("": they are not compared).
        deciding: What decides now.
    """

    home: Path
    base: Path | None
    engine: Callable[..., Engine]
    responder: Callable[[Policy, Path | None], DecideResponder]
    switched: Callable[[Path | None, bool], None] = lambda _policy, _enforce: None
    replay_options: tuple[str, ...] = ()
    base_model: str | None = None
    base_enforce: bool = False
    base_digest: str = ""
    deciding: Deciding = field(default_factory=Deciding)

    def directory(self, version: str, digest: str = "") -> Path | None:
        """Return the directory of a version; "": the policy that `serve` was started with."""
        return version_directory(self.home, version, digest) if version else self.base

    def model_directory(self, name: str) -> str | None:
        """Return the directory of a model; "": the model that `serve` was started with."""
        return str(models_directory(self.home) / name) if name else self.base_model

    def options(self) -> tuple[str, ...]:
        """Return the options of a replay that repeat how the service decides now."""
        used, coverage = self.model_directory(self.deciding.model), self.deciding.coverage
        return (
            *(self.replay_options if coverage is None else self._with_profile(coverage)),
            *(("--model", used) if used else ()),
            "--enforce" if self.deciding.enforce else "--shadow",
        )

    def _with_profile(self, coverage: Coverage) -> list[str]:
        """Return the options of a replay with the profile that the sources have declared."""
        path = self.home / PROFILE
        save(coverage.profile(), path)
        options = list(self.replay_options)
        if "--profile" in options:
            at = options.index("--profile")
            del options[at : at + 2]
        return [*options, "--profile", str(path)]

    async def __call__(
        self,
        service: Service,
        policy: str | None = None,
        *,
        back: bool = False,
        instead_of: Deciding | None = None,
        **wanted: Unpack[Wanted],
    ) -> float:
        """Let another policy, model or mode decide; return how long bodies were refused (s).

        Args:
            service: The running service.
            policy: The version that decides from now on (None: as now).
            back: Whether this is a rollback: what decides now is not noted as an earlier version.
            instead_of: What must still decide when the switch begins (None: whatever does).
            wanted: What else shall decide.

        Raises:
            ChangedFilesError: The files are not those that were approved.
            PolicyError: The version does not load.
            ModelError: The model does not load.
            BusyError: The service is not running, or another switch is in progress.
            ServiceError: The new engine could not start; the former one decides on.
        """
        scores = wanted.get("approved_model", "")
        if wanted.get("model") is None:
            # What scores goes on, and not what its directory holds by now.
            scores = service.deciding().model

        def prepared() -> Replacement:
            # Another switch may have ended between the request and now.
            now = self.deciding
            if instead_of is not None and now != instead_of:
                raise ServiceError(
                    "something else decides by now", fix="look at the versions again"
                )
            model, enforce = wanted.get("model"), wanted.get("enforce")
            digest = wanted.get("digest", "")
            then = Deciding(
                now.policy if policy is None else policy,
                now.model if model is None else model,
                now.enforce if enforce is None else enforce,
                wanted.get("coverage", now.coverage),
                now.digest if policy is None else digest or self._noted_digest(policy),
            )
            return self._prepared(service, then, back, scores)

        return await service.replace_engine(prepared, WHY)

    def _noted_digest(self, policy: str) -> str:
        """Return the digest with which a version decided earlier; "" where it never did."""
        live = live_policy(self.home)
        return live.digests.get(policy, "") if live else ""

    def _prepared(
        self, service: Service, wanted: Deciding, back: bool, approved_model: str
    ) -> Replacement:
        """Load and compile what shall decide, while the service goes on."""
        directory = self.directory(wanted.policy, wanted.digest)
        model_path = self.model_directory(wanted.model)
        digest = files_digest(directory) if directory and wanted.policy else ""
        policy, loaded = load_policy(directory), model.load_selected(model_path)
        responder = self.responder(policy, directory)
        if directory and wanted.policy:
            _check_approved(wanted.policy, wanted.digest or digest, digest, files_digest(directory))
        elif directory and self.base_digest and files_digest(directory) != self.base_digest:
            raise ChangedFilesError(
                f"{directory} was changed after the service had read it",
                fix="restore its files, or start the service anew to decide by them",
            )
        if approved_model:
            name = wanted.model or "the model that the service was started with"
            _check_approved(name, approved_model, loaded.version if loaded else "none")
        wanted = replace(wanted, digest=digest)
        make = partial(self.engine, policy, loaded, wanted.enforce)
        coverage = wanted.coverage
        profile = coverage.profile() if coverage is not None else None
        if profile is not None:
            make = partial(make, profile=profile)
        fresh = make()
        responder.challenges = fresh.challenges_anyone
        terms = self._terms(wanted, fresh, engine_versions(fresh, service.lateness_s))

        def carry(stopped: Pipeline) -> Callable[[], None]:
            """Move the state of a stopped pipeline; return what undoes it."""
            view, before = stopped.decider, live_policy(self.home)
            position, decisions = view.position, view.decisions
            if view.broken or not position == stopped.log_writer.applied == stopped.log_writer.end:
                raise ServiceError(
                    "the log is not decided to its end", fix="try again when the service is ready"
                )
            made_by = AppliedPosition.objects.values_list("made_by", flat=True).get(id=1)
            changes = state_changes.newest()
            moved = (
                _to_job(view, fresh, terms)
                if isinstance(view, JobView)
                else _to_engine(stopped.engine_thread, fresh, self.home, service.lateness_s)
            )
            earlier = self._earlier(wanted, before, back)
            live = LivePolicy(
                wanted.policy, policy.version, digest, position, decisions, service.clock(),
                wanted.model, model_version(fresh), *earlier,
                enforce=wanted.enforce and not self.base_enforce,
                carries=coverage.carries if coverage else None,
                challenges=coverage.challenges if coverage else True,
                sources=coverage.sources if coverage else (),
                digests=self._digests(before),
            )  # fmt: skip

            def undo() -> None:
                set_live_policy(
                    self.home, before or LivePolicy("", moved.former, "", 0, 0, service.clock())
                )
                # The mode may have been switched already.
                AppliedPosition.objects.filter(id=1).update(made_by=made_by)
                state_changes.undo(changes)
                moved.undo()

            with ExitStack() as failing:
                # Where the database fails, too, at least no file names what does not decide.
                failing.callback(undo)
                self._go_live(live, moved)
                failing.pop_all()

            return undo

        def done() -> None:
            self.deciding = wanted
            self.switched(directory, wanted.enforce)

        return Replacement(make, responder, carry, done)

    def terms(self, engine: Engine, versions: str) -> SwitchTerms:
        """Return what a job needs to decide by what a start decides by."""
        return self._terms(self.deciding, engine, versions)

    def _terms(self, wanted: Deciding, engine: Engine, versions: str) -> SwitchTerms:
        profile = wanted.coverage.profile() if wanted.coverage is not None else None
        directory = self.directory(wanted.policy, wanted.digest)
        return job_switches.switch_terms(engine, versions, directory, profile)

    def _go_live(self, live: LivePolicy, moved: _HandedOver) -> None:
        """Write down what decides from here on."""
        with transaction.atomic():
            moved.record()
            AppliedPosition.objects.filter(id=1).update(made_by=moved.versions)
            if moved.lifts:
                state_changes.lift_all()
            if moved.challenges_anew:
                state_changes.show_challenges_anew()
            set_live_policy(self.home, live)

    def _digests(self, before: LivePolicy | None) -> dict[str, str]:
        """Return the digests of the versions that decided before, by version."""
        if before is None:
            return {}
        now = {before.version: before.digest} if before.version else {}
        return before.digests | now

    def _earlier(
        self, wanted: Deciding, before: LivePolicy | None, back: bool
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the versions and the models that decided before, for rollbacks."""
        noted = (before.earlier or () if before else (), before.earlier_models if before else ())
        return (
            _noted(noted[0], self.deciding.policy, wanted.policy, back),
            _noted(noted[1], self.deciding.model, wanted.model, back),
        )


def _check_approved(name: str, approved: str, *found: str) -> None:
    """Raise ChangedFilesError where what was read is not what was approved."""
    if any(each != approved for each in found):
        raise ChangedFilesError(
            f"the files of {name} are not those that were approved",
            fix="restore them, or have them approved anew",
        )


@dataclass(frozen=True)
class _HandedOver:
    """What became of what decided before, where another policy, model or mode goes on from it.

    Attributes:
        former: The policy that decided before.
        versions: What goes on. An engine goes on in the mode up to now, and switches itself.
        undo: Takes it back.
        record: Writes it down, in the transaction in which it begins to decide.
        challenges_anew: Whether challenges that are in force become limits, or again challenges.
        lifts: Whether the outcomes in force end here, which were found in shadow.
    """

    former: str
    versions: str
    undo: Callable[[], object]
    record: Callable[[], object] = lambda: None
    challenges_anew: bool = False
    lifts: bool = False


def _to_engine(thread: EngineThread, fresh: Engine, home: Path, lateness_s: int) -> _HandedOver:
    """Write the state from which the other engine goes on, as a snapshot at the log's end."""
    position, decisions, key = thread.position, thread.decisions, bound_key("snapshot")
    path = new_snapshot_path(home, position, decisions)
    snapshot.write(_carried(thread, fresh), path, key)

    def undo() -> None:
        path.unlink()
        own = new_snapshot_path(home, position, decisions)
        thread.ask_between_turns(lambda old: snapshot.save(old, own, key))

    return _HandedOver(
        thread.engine.policy.version,
        engine_versions(fresh, lateness_s, enforce=thread.engine.enforce),
        undo,
        challenges_anew=thread.engine.challenges_anyone != fresh.challenges_anyone,
    )


def _to_job(view: JobView, fresh: Engine, terms: SwitchTerms) -> _HandedOver:
    """Let the job that decides over the log go on, at the log's end."""
    return _HandedOver(
        view.terms.versions.split()[0],
        terms.versions,
        job_switches.take_back,
        partial(job_switches.record, view.position, terms),
        challenges_anew=view.deciding.challenges != fresh.challenges_anyone,
        lifts=fresh.enforce and not view.deciding.enforce,
    )


def _carried(thread: EngineThread, fresh: Engine) -> snapshot.EngineState:
    """Return the state from which another engine goes on.

    The stopped engine answers `decide` meanwhile, but for the time of a copy.
    """
    room = snapshot.CopyBuffer(snapshot.copy_size(thread.engine))
    copied = thread.ask_between_turns(lambda old: snapshot.copy_state(old, room))
    return carried_state(thread.engine, fresh, copied)


def _noted(earlier: tuple[str, ...], now: str, wanted: str, back: bool) -> tuple[str, ...]:
    """Return the earlier versions after a switch."""
    if now == wanted:
        return earlier
    return earlier[:-1] if back else (*earlier, now)
