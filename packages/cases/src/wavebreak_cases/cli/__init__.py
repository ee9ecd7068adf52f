"""Commands on claims and cases."""

from __future__ import annotations

from wavebreak.cli.app import command_group

cases = command_group(
    "case", "Work on a case: parties, exhibits, evidence, notices, determination, signature."
)
