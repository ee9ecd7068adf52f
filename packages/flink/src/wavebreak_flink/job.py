"""The job: builds the graph of operators, and gives it to Flink.

Run by `flink run --python job.py HOME`, or as a mini-cluster: `python -m wavebreak_flink.job HOME`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pyflink.common import Configuration, Encoder, Types, WatermarkStrategy
from pyflink.datastream import CheckpointingMode, DataStream, OutputTag, StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSink, RollingPolicy
from pyflink.datastream.connectors.number_seq import NumberSequenceSource
from pyflink.java_gateway import get_gateway

from wavebreak_flink import event_log, settings
from wavebreak_flink.operators import FanOutFunction, ShardFunction
from wavebreak_flink.settings import REFUSED, RESULTS, JobSettings

KEY_GROUPS = 128
"""Flink's maximum of parallelism; the same for ever, or a savepoint cannot be rescaled."""
ENDLESS = 1 << 62
BUNDLE = 4
"""Blocks in a bundle of the Python process: a checkpoint waits for the end of one."""


def keys_of(groups: int) -> list[int]:
    """Return a key for each group, so that Flink gives each a subtask of its own.

    Two groups on one subtask would wait for each other. PyFlink hashes the row of a key, and not
    the key.
    """
    gateway = get_gateway()
    jvm = gateway.jvm
    assigned = jvm.org.apache.flink.runtime.state.KeyGroupRangeAssignment
    found: dict[int, int] = {}
    key = 0
    while len(found) < groups:
        fields = gateway.new_array(jvm.java.lang.Object, 1)
        fields[0] = key
        row = jvm.org.apache.flink.types.Row.of(fields)
        subtask = assigned.assignKeyToParallelOperator(row, KEY_GROUPS, groups)
        found.setdefault(subtask, key)
        key += 1
    return [found[group] for group in range(groups)]


def configuration() -> Configuration:
    """Return what Python operators need; the rest is the cluster's, or the command's."""
    config = Configuration()
    for name, value in {
        # In thread mode, Numba and the JVM's thread states wait for each other.
        "python.execution-mode": "process",
        "python.fn-execution.bundle.size": str(BUNDLE),
        "python.fn-execution.bundle.time": "100",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
    }.items():
        config.set_string(name, value)
    return config


def build(
    environment: StreamExecutionEnvironment, job: JobSettings
) -> None:  # fmt: skip
    """Add the operators of a job to an environment."""
    home, keys = Path(job.home), keys_of(job.groups)
    environment.set_parallelism(1)
    environment.set_max_parallelism(KEY_GROUPS)
    environment.get_checkpoint_config().set_checkpointing_mode(CheckpointingMode.EXACTLY_ONCE)
    refused = OutputTag(REFUSED, Types.STRING())
    message = Types.ROW([Types.INT(), Types.PRIMITIVE_ARRAY(Types.BYTE())])
    last = ENDLESS if job.topic else event_log.load(Path(job.home)).last
    numbers = NumberSequenceSource(0, last)
    watermarks = WatermarkStrategy.no_watermarks()
    blocks = environment.from_source(numbers, watermarks, "blocks", type_info=Types.LONG()).uid(
        "blocks"
    )
    routed = (
        blocks.process(FanOutFunction(job, keys, refused), output_type=message)
        .uid("fan-out").name("fan-out")
    )  # fmt: skip
    rows = (
        routed.key_by(lambda row: row[0], key_type=Types.INT())
        .process(ShardFunction(job, keys), output_type=Types.STRING())
        .uid("shards").name("shards").set_parallelism(job.groups)
    )  # fmt: skip
    _write(rows, home / RESULTS)
    _write(routed.get_side_output(refused), home / REFUSED)


def _write(rows: DataStream, directory: Path) -> None:
    """Write rows into files, which appear with a checkpoint: none is lost, none there twice."""
    sink = (
        FileSink.for_row_format(directory.as_uri(), Encoder.simple_string_encoder())
        .with_rolling_policy(RollingPolicy.on_checkpoint_rolling_policy())
        .build()
    )
    rows.sink_to(sink).uid(directory.name).name(directory.name)


def main() -> None:
    """Build the job and run it."""
    parser = argparse.ArgumentParser(prog="wavebreak_flink.job", description=__doc__)
    parser.add_argument("home", type=Path, help="the job's directory")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of Flink's"
    )
    given = parser.parse_args()
    job, config = settings.load(given.home / settings.FILE), configuration()
    for name, _, value in (each.partition("=") for each in given.set):
        config.set_string(name, value)
    environment = StreamExecutionEnvironment.get_execution_environment(config)
    build(environment, job)
    environment.execute(job.name)


if __name__ == "__main__":
    main()
