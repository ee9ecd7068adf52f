"""Commands for the job on Apache Flink."""

from __future__ import annotations

from wavebreak.cli.app import command_group

flink = command_group(
    "flink", "Run the same decisions on Apache Flink, when one machine is not enough."
)
