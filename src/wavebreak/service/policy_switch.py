"""Switch of a running service to another policy, without losing or repeating an event.

1. The rules are compiled, while the service goes on.
2. The service refuses new requests (503 with Retry-After; `decide` answers by its fallback), and
   finishes what it has accepted: decisions are stored and sealed.
3. The engine's state goes over to the other policy, as a snapshot at the log's end.
4. `HOME/policies/live` names the new version, and the pipeline starts from that snapshot.

A crash leaves the service with one of the two policies, and with every event: before step 4 the
next start goes on with the former one, after it with the new one. Where the new policy cannot
start, the former one starts again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wavebreak.engine import Engine, snapshot
from wavebreak.engine.policy_change import carried_state
from wavebreak.errors import ServiceError
from wavebreak.rules import Policy, load_policy
from wavebreak.service.decide import DecideResponder
from wavebreak.service.live_policy import (
    LivePolicy,
    files_digest,
    live_policy,
    policies_directory,
    set_live_policy,
)
from wavebreak.service.pipeline import Pipeline
from wavebreak.service.recovery import snapshot_path
from wavebreak.service.service import Replacement, Service

WHY = "the policy is being switched"


@dataclass
class PolicySwitch:
    """Switches a service to another policy.

    Attributes:
        home: The service's directory.
        base: The directory of the policy that `serve` was started with (None: the shipped one).
        engine: Returns an engine of a policy, without state.
        responder: Returns what answers `decide` under a policy of a directory.
        switched: Called with the directory once its policy decides.
        replay_options: Options of `wavebreak rules replay` that repeat how the service decides.
    """

    home: Path
    base: Path | None
    engine: Callable[[Policy], Engine]
    responder: Callable[[Policy, Path | None], DecideResponder]
    switched: Callable[[Path | None], None] = lambda _directory: None
    replay_options: tuple[str, ...] = ()

    def directory(self, version: str) -> Path | None:
        """Return the directory of a version; "": the policy that `serve` was started with."""
        return policies_directory(self.home) / version if version else self.base

    async def __call__(self, service: Service, version: str) -> float:
        """Let a version decide from now on; return how many seconds requests were refused.

        Raises:
            PolicyError: The version does not load.
            BusyError: The service is not running, or another switch is in progress.
            ServiceError: The new policy could not start; the former one decides on.

        """
        return await service.replace_engine(lambda: self._prepared(service, version), WHY)

    def _prepared(self, service: Service, version: str) -> Replacement:
        """Load and compile a version, while the service goes on."""
        directory = self.directory(version)
        policy = load_policy(directory)
        responder = self.responder(policy, directory)
        digest = files_digest(directory) if directory and version else ""
        fresh = self.engine(policy)

        def carry(stopped: Pipeline) -> Callable[[], None]:
            """Move the state of a stopped pipeline; return what undoes it."""
            thread, before = stopped.engine_thread, live_policy(self.home)
            position, decisions = thread.position, thread.decisions
            if thread.broken or stopped.log_writer.applied != position:
                raise ServiceError(
                    "the log is not decided to its end", fix="try again when the service is ready"
                )
            path = snapshot_path(self.home, position, decisions)
            snapshot.write(carried_state(thread.engine, fresh), path)
            now_ms = service.clock()
            live = LivePolicy(version, policy.version, digest, position, decisions, now_ms)
            set_live_policy(self.home, live)

            def undo() -> None:
                former = thread.engine.policy.version
                set_live_policy(
                    self.home,
                    before or LivePolicy("", former, "", 0, 0, now_ms),
                )
                snapshot.save(thread.engine, path)

            return undo

        return Replacement(
            partial(self.engine, policy), responder, carry, partial(self.switched, directory)
        )
