"""A calibration from beginning to end: measure, propose, write the policy, replay it, report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa

from wavebreak.calibration.config import Settings
from wavebreak.calibration.measurement import count_outcomes, measure
from wavebreak.calibration.policy_directory import write_policy
from wavebreak.calibration.proposal import propose
from wavebreak.calibration.report import Calibration, write_html
from wavebreak.engine.kernel_policy import Model
from wavebreak.errors import UsageError
from wavebreak.rules import Policy
from wavebreak.schema.coverage import Profile


def calibrate(
    logs: Callable[[], Iterable[pa.RecordBatch]], policy: Policy, source: Path | None,
    profile: Profile | None, model: Model | None, settings: Settings, out: Path, *,
    workers: int = 1,
) -> Calibration:  # fmt: skip
    """Calibrate a policy on a platform's days in shadow.

    Args:
        logs: Returns the events, as batches of LOG_SCHEMA; called once for each of two replays.
        policy: The policy in force.
        source: Its directory (None: the shipped policy).
        profile: Field coverage of the stream (None: everything).
        model: The model in force (None: none).
        settings: Assumptions and limits.
        out: The directory to write: the proposed policy, calibration.json and calibration.html.
        workers: Threads of the replays.

    Raises:
        UsageError: The log is empty, or `out` holds a policy.
        FileError: A file cannot be read or written.

    """
    measured = measure(logs(), policy, profile, model, settings, workers=workers)
    if not measured.accounts:
        raise UsageError("the log has no account to calibrate on", fix="run longer in shadow")
    proposal = propose(measured, policy, model, settings)
    written = write_policy(proposal, policy, source, out)
    calibration = Calibration(
        measured,
        proposal,
        settings,
        count_outcomes(logs(), written, profile, model, workers=workers),
        {
            "policy in force": policy.version,
            "proposed policy": written.version,
            "model": model.version if model else None,
        },
    )
    text = json.dumps(calibration.as_json(), indent=1, ensure_ascii=False) + "\n"
    (out / "calibration.json").write_text(text, "utf-8")
    write_html(calibration, out / "calibration.html")
    return calibration
