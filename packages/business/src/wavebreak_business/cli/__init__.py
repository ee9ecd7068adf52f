"""Commands for businesses."""

from __future__ import annotations

from wavebreak.cli.app import command_group

business = command_group(
    "business",
    "Check a business's own webhook logs; decide the sends of a platform for businesses.",
)
