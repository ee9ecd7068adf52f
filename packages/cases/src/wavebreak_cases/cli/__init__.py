"""Commands on claims and cases."""

from __future__ import annotations

from wavebreak.cli.app import command_group
from wavebreak_cases.cli.fixes import CaseCommand

cases = command_group(
    "case",
    "Work on a case: parties, exhibits, evidence, notices, determination, signature.",
    command_class=CaseCommand,
)
