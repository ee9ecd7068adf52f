"""Calibration of a service: days in shadow, a proposal, a person's approval, then enforcement.

The proposal is made by a process of its own, `wavebreak calibrate`, which reads the service's log.
It lies in the service's directory until a person approves it; the service goes on in shadow. From
its next start on it enforces with the policy that was approved.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from wavebreak.errors import UsageError
from wavebreak.rules import Policy, load_policy
from wavebreak.service.app_context import run_query, write_audit_entry
from wavebreak.service.models import LogBatch
from wavebreak.service.service import Service

CHECK_S = 60.0
"""Seconds between two looks at how long the log is."""
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


def approve(home: Path, now_ms: int, by: str, reason: str) -> str:
    """Approve the proposal, in the open transaction; return the version of its policy.

    Args:
        home: The service's directory.
        now_ms: The time, for the audit log.
        by: Who approves.
        reason: Why.

    Raises:
        UsageError: There is no proposal.
        PolicyError: Its policy does not load.

    """
    if not is_proposed(home):
        raise UsageError(
            f"{home} has no calibration proposal yet",
            fix="wait for it, or write one: wavebreak calibrate HOME -o HOME/calibrated",
        )
    directory = proposal_directory(home)
    version = load_policy(directory).version
    write_audit_entry(now_ms, BY, "approve_calibration", version, f"{by}: {reason}"[:1100])
    record = {"policy": version, "by": by, "reason": reason, "at_ms": now_ms}
    (directory / _APPROVAL).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return version


def approved_policy(home: Path) -> tuple[Policy, Path] | None:
    """Return the approved policy and its directory; None while nothing is approved.

    Raises:
        UsageError: The policy was changed after it was approved.

    """
    directory = proposal_directory(home)
    if not (directory / _APPROVAL).is_file():
        return None
    approved = json.loads((directory / _APPROVAL).read_text("utf-8"))["policy"]
    policy = load_policy(directory)
    if policy.version != approved:
        raise UsageError(
            f"{directory} was changed after its approval: it is {policy.version}, not {approved}",
            fix="approve it again: wavebreak approve HOME --by NAME --reason WHY",
        )
    return policy, directory


def approved_ms(home: Path) -> int:
    """Return when the proposal was approved, in milliseconds; 0 while it is not."""
    path = proposal_directory(home) / _APPROVAL
    return int(json.loads(path.read_text("utf-8"))["at_ms"]) if path.is_file() else 0


class CalibrationSchedule:
    """A background task: once the log is old enough, it has a proposal written.

    Args:
        home: The service's directory.
        after_s: Seconds since the first event was received.
        command: The command that writes the proposal.

    """

    def __init__(self, home: Path, after_s: int, command: Sequence[str]) -> None:
        self.home, self.after_s, self.command = home, after_s, command

    async def __call__(self, service: Service) -> None:
        """Wait until a proposal is due, and write it."""
        while not is_proposed(self.home):
            first_ms = await run_query(_first_received)
            if first_ms is not None and service.clock() - first_ms >= self.after_s * 1000:
                await self._propose(service.report)
            await asyncio.sleep(CHECK_S)

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


def _first_received() -> int | None:
    first = LogBatch.objects.order_by("first").values_list("received_ms", flat=True).first()
    return None if first is None else int(first)
