"""Commands for businesses."""

from __future__ import annotations

from wavebreak.cli.app import command_group

business = command_group(
    "business",
    "Check what a business's own webhook logs say: failures, consent, limits, templates, cost.",
)
