"""A calibration from beginning to end: measure, propose, write the policy, replay it, report.

The proposed policy is a copy of the one in force with the proposed numbers. Files are edited as
text, so that comments and order stay. Rules of the shipped policy whose allowance changes are
written to `rules/calibrated.toml`, which takes their place.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
from msgspec.structs import asdict

from wavebreak import config
from wavebreak.calibration.config import Settings
from wavebreak.calibration.measurement import allowance_of, count_outcomes, measure
from wavebreak.calibration.proposal import Proposal, propose
from wavebreak.calibration.report import Calibration, calibration_report
from wavebreak.engine.kernel_policy import Model
from wavebreak.errors import FileError, UsageError
from wavebreak.reports.html import write_html
from wavebreak.reports.report import write_json
from wavebreak.rules import Policy, load_policy
from wavebreak.rules.model import Rule, ScoreThresholds
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
    report = calibration_report(calibration)
    write_json(report, out / "calibration.json")
    write_html(report, out / "calibration.html")
    return calibration


_BLOCK = re.compile(r"^\[\[rule\]\]\n.*?(?=^\[\[rule\]\]|\Z)", re.M | re.S)
_THRESHOLDS = re.compile(r"^\[score\.thresholds\]\n.*?(?=^\[|\Z)", re.M | re.S)


def write_policy(proposal: Proposal, policy: Policy, source: Path | None, out: Path) -> Policy:
    """Write a proposal's policy, and load it.

    Args:
        proposal: The proposed numbers.
        policy: The policy in force.
        source: Its directory (None: the shipped policy).
        out: The directory to write.

    Raises:
        UsageError: `out` is the directory of the policy in force, or holds a policy.
        FileError: It cannot be written.
    """
    if out.exists() and any((out / name).exists() for name in ("rules", "evidence.toml")):
        raise UsageError(f"{out} holds a policy already", fix="give a new directory with -o")
    try:
        if source:
            shutil.copytree(source, out, dirs_exist_ok=True)
        (out / "rules").mkdir(parents=True, exist_ok=True)
        _write_evidence(proposal, source, out)
        for rule_id, allowance in proposal.allowances.items():
            rule = policy.rule(rule_id)
            if rule:
                _write_allowance(rule, allowance, out)
        if proposal.thresholds:
            _write_thresholds(proposal.thresholds, source, out)
    except OSError as error:
        raise FileError(
            f"{out} cannot be written: {error.strerror}", fix="check the directory and its space"
        ) from None
    return load_policy(out)


def _write_evidence(proposal: Proposal, source: Path | None, out: Path) -> None:
    text = config.resolve_path("evidence.toml", source).read_text("utf-8")
    for name, value in asdict(proposal.evidence).items():
        text, found = re.subn(rf"^{name} = .*$", f"{name} = {value:g}", text, flags=re.M)
        text += "" if found else f"{name} = {value:g}\n"
    (out / "evidence.toml").write_text(text, "utf-8")


def _write_allowance(rule: Rule, allowance: int, out: Path) -> None:
    own = [path for path in sorted((out / "rules").glob("*.toml")) if _block_of(rule, path)]
    if own:
        block = _block_of(rule, own[0])
        text = own[0].read_text("utf-8")
        own[0].write_text(text.replace(block, edit_allowance(block, rule, allowance)), "utf-8")
        return
    shipped = sorted((config.SHIPPED / "rules").glob("*.toml"))
    block = next(filter(None, (_block_of(rule, path) for path in shipped)))
    target = out / "rules" / "calibrated.toml"
    text = target.read_text("utf-8") if target.exists() else "# Written by `wavebreak calibrate`.\n"
    block = edit_allowance(block, rule, allowance).rstrip()
    target.write_text(f"{text}\n{block}\n", "utf-8")


def _block_of(rule: Rule, path: Path) -> str:
    """Return the text of a rule in a file; empty where the file has no such rule."""
    text = path.read_text("utf-8")
    ids = "|".join(map(re.escape, (rule.id, *rule.aliases)))
    blocks = (found[0] for found in _BLOCK.finditer(text))
    return next((b for b in blocks if re.search(rf'^id = "({ids})"$', b, re.M)), "")


def edit_allowance(block: str, rule: Rule, allowance: int) -> str:
    """Replace the hourly allowance in the text of a rule, and move its examples with it.

    An example comes to lie as far above or below the new allowance as it lay from the old one.
    """
    now = allowance_of(rule) or 0

    def example(found: re.Match[str]) -> str:
        return found[1] + str(max(int(found[2]) + allowance - now, 0))

    block = re.sub(r"(strangers_contacted_1h = )(\d+)", example, block)
    return re.sub(rf"(strangers_contacted_1h >= ){now}\b", rf"\g<1>{allowance}", block)


def _write_thresholds(thresholds: ScoreThresholds, source: Path | None, out: Path) -> None:
    text = config.resolve_path("actions.toml", source).read_text("utf-8")
    lines = ["[score.thresholds]", f'model = "{thresholds.model}"']
    lines += [
        f"{name} = {value}"
        for name in ("challenge", "restrict")
        if (value := getattr(thresholds, name)) is not None
    ]
    text = _THRESHOLDS.sub("", text).rstrip()
    (out / "actions.toml").write_text(text + "\n\n" + "\n".join(lines) + "\n", "utf-8")
