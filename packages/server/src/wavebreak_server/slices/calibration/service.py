"""Calibration of a service: days in shadow, a proposal, a person's approval, then enforcement.

The proposal is made by a process of its own, `wavebreak calibrate`, which reads the service's log.
It lies in the service's directory until a person approves it; the service goes on in shadow. Once
it is approved, the running service switches to a copy of it in `HOME/policies`, and enforces
(`policy_switch`). A rollback withdraws the approval and returns to shadow.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from wavebreak.errors import ServiceError, UsageError, WavebreakError
from wavebreak.rules import Policy, load_policy
from wavebreak_server.errors import DomainError
from wavebreak_server.http.app_context import run_background_query, write_audit_entry
from wavebreak_server.pipeline.live_policy import (
    digest_of,
    files_digest,
    live_policy,
    policies_directory,
    policy_files,
    write_files,
)
from wavebreak_server.pipeline.service import Service
from wavebreak_server.storage.models import LogBatch

CHECK_S = 5.0
"""Seconds between two looks at how long the log is, and whether a proposal is approved."""
CALIBRATED = "calibrated-"
"""Begin of the names of approved calibrations in `HOME/policies`."""
_APPROVAL = "approved.json"
BY = "command line"


def proposal_directory(home: Path) -> Path:
    """Return where a service's proposal lies.

    >>> proposal_directory(Path("var")).as_posix()
    'var/calibrated'
    """
    return home / "calibrated"


def is_proposed(home: Path) -> bool:
    """Whether a proposal is complete: its report is written last."""
    return (proposal_directory(home) / "calibration.html").is_file()


def approve(home: Path, now_ms: int, by: str, reason: str, seen: str = "") -> str:
    """Approve the proposal, in the open transaction; return the version of its policy.

    Args:
        home: The service's directory.
        now_ms: The time, for the audit log.
        by: Who approves.
        reason: Why.
        seen: The version that they have read ("": the one that is there).

    Raises:
        DomainError: There is no proposal.
        UsageError: It is another one than was read.
        PolicyError: Its policy does not load.
    """
    if not is_proposed(home):
        raise DomainError("no-proposal", home=home)
    directory = proposal_directory(home)
    digest, version = files_digest(directory), load_policy(directory).version
    if (seen and version != seen) or files_digest(directory) != digest:
        raise UsageError("the proposal changed while you read it", fix="read it again")
    write_audit_entry(now_ms, BY, "approve_calibration", version, f"{by}: {reason}"[:1100])
    record = {"policy": version, "files": digest, "by": by, "reason": reason, "at_ms": now_ms}
    (directory / _APPROVAL).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return version


def approved_policy(home: Path) -> tuple[Policy, Path] | None:
    """Return the approved policy and its directory; None while nothing is approved.

    Raises:
        DomainError: The policy was changed after it was approved.
    """
    directory = proposal_directory(home)
    if not (directory / _APPROVAL).is_file():
        return None
    record = json.loads((directory / _APPROVAL).read_text("utf-8"))
    policy, digest = load_policy(directory), files_digest(directory)
    # A policy's version leaves out what decides nothing in a log, such as the answers of `decide`
    # on failure. What was approved before 0.3 names no files.
    for found, approved in (
        (policy.version, record["policy"]),
        (digest, record.get("files", digest)),
    ):
        if found != approved:
            raise DomainError(
                "changed-after-approval", directory=directory, found=found, approved=approved
            )
    return policy, directory


def approved_ms(home: Path) -> int:
    """Return when the proposal was approved, in milliseconds; 0 while it is not."""
    path = proposal_directory(home) / _APPROVAL
    return int(json.loads(path.read_text("utf-8"))["at_ms"]) if path.is_file() else 0


def withdraw(home: Path) -> None:
    """Withdraw an approval; the proposal stays, and may be approved again."""
    (proposal_directory(home) / _APPROVAL).unlink(missing_ok=True)


def store_approved(home: Path) -> tuple[str, str]:
    """Copy the approved policy to `HOME/policies`; return the name and the digest of the copy.

    Raises:
        DomainError: Nothing is approved, or the policy was changed after its approval.
        UsageError: The policy is being changed.
    """
    files = policy_files(proposal_directory(home))
    digest = digest_of(files)
    approved = approved_policy(home)
    if approved is None:
        raise DomainError("nothing-approved", home=home)
    if files_digest(approved[1]) != digest:
        raise UsageError(f"{approved[1]} is being changed", fix="approve it again when it is not")
    policies = policies_directory(home)
    earlier = sorted(policies.glob(f"{CALIBRATED}[0-9]*"), key=lambda p: (len(p.name), p.name))
    if earlier and files_digest(earlier[-1]) == digest:
        return earlier[-1].name, digest
    number = int(earlier[-1].name.removeprefix(CALIBRATED)) + 1 if earlier else 1
    target = policies / f"{CALIBRATED}{number}"
    write_files(target, files)
    return target.name, digest


async def enforce_approved(service: Service) -> float:
    """Let the approved calibration decide, and enforce; return how long requests were refused (s).

    Raises:
        ServiceError: This service cannot switch.
        WavebreakError: As for `PolicySwitch`.
    """
    if service.switch is None:
        raise ServiceError("this service cannot switch policies", fix="start it anew")
    name, digest = await asyncio.to_thread(store_approved, service.settings.home)
    return await service.switch(service, name, digest=digest, enforce=True)


class CalibrationSchedule:
    """A background task: has a proposal written in time, and enforces it once it is approved.

    Args:
        home: The service's directory.
        after_s: Seconds since the first event was received.
        command: The command that writes the proposal.
        enforced_ms: When the calibration that the service was started with was approved (0: none).
    """

    def __init__(
        self, home: Path, after_s: int, command: Sequence[str], enforced_ms: int = 0
    ) -> None:
        self.home, self.after_s, self.command = home, after_s, command
        self.enforced_ms = enforced_ms

    async def __call__(self, service: Service) -> None:
        """Wait until a proposal is due, and write it; wait until it is approved, and enforce it."""
        while True:
            if not is_proposed(self.home):
                first_ms = await run_background_query(first_received)
                if first_ms is not None and service.clock() - first_ms >= self.after_s * 1000:
                    await self._propose(service.report)
            elif self._is_approved():
                await self._enforce(service)
            await asyncio.sleep(CHECK_S)

    def _is_approved(self) -> bool:
        """Whether there is an approval that nothing has gone live after."""
        live = live_policy(self.home)
        return approved_ms(self.home) > max(self.enforced_ms, live.at_ms if live else 0)

    async def _enforce(self, service: Service) -> None:
        try:
            seconds = await enforce_approved(service)
        except WavebreakError as error:
            service.report(f"the approved calibration is not enforced yet: {error.what}")
            return
        service.report(
            f"the approved calibration is enforced from now on; events waited {seconds:.1f} s"
        )

    async def _propose(self, report: Callable[[str], None]) -> None:
        # What an interrupted calibration has left would be taken for a policy.
        await asyncio.to_thread(shutil.rmtree, proposal_directory(self.home), ignore_errors=True)
        process = await asyncio.create_subprocess_exec(
            *self.command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        if process.returncode:
            reason = " ".join(said.decode(errors="replace").strip().splitlines()[-1:])
            report(f"no calibration proposal could be made; it is tried again: {reason}")
            return
        report(
            f"a calibration is proposed: read {proposal_directory(self.home)}/calibration.html, "
            f"then: wavebreak approve {self.home} --by NAME --reason WHY"
        )


def first_received() -> int | None:
    """Return when the first event was received, in milliseconds; None before there is one."""
    first = LogBatch.objects.order_by("first").values_list("received_ms", flat=True).first()
    return None if first is None else int(first)
