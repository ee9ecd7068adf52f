"""Flink's operators: the fan-out, chained to the source, and the groups of shards behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pyflink.common import Row
from pyflink.datastream import KeyedProcessFunction, OutputTag, ProcessFunction, RuntimeContext

from wavebreak_flink import messages
from wavebreak_flink.fan_out import FanOut
from wavebreak_flink.logs import open_log
from wavebreak_flink.memory import ProcessMemory
from wavebreak_flink.rows import refused_row
from wavebreak_flink.settings import JobSettings
from wavebreak_flink.shard_task import ShardTask


def _gauges(metrics: Any, memory: Callable[[], ProcessMemory | None]) -> None:
    """Report the size of a process's state, and its ceiling (0: not known yet)."""

    def held() -> int:
        known = memory()
        return known.held if known is not None else 0

    def ceiling() -> int:
        known = memory()
        return known.ceiling.bytes if known is not None else 0

    metrics.gauge("state_bytes", held)
    metrics.gauge("state_ceiling_bytes", ceiling)


class FanOutFunction(ProcessFunction):  # type: ignore[misc]
    """Blocks of the log to messages for groups, and refused events to a side output.

    Args:
        keys: The key of each group, so that each is on a subtask of its own.
    """

    def __init__(self, settings: JobSettings, keys: list[int], refused: OutputTag) -> None:
        self._settings, self._keys, self._refused = settings, keys, refused

    def open(self, runtime_context: RuntimeContext) -> None:
        """Start."""
        self._log = open_log(self._settings)
        self._fan_out = FanOut(self._settings, self._log)
        metrics = runtime_context.get_metrics_group().add_group("wavebreak")
        self._events, self._refusals = metrics.counter("events"), metrics.counter("refused")
        _gauges(metrics, lambda: self._fan_out.memory)

    def close(self) -> None:
        """End what it holds open."""
        self._fan_out.close()
        self._log.close()

    def process_element(self, value: int, ctx: ProcessFunction.Context) -> Iterator[Any]:
        """Take a block."""
        for step in self._fan_out.take(value):
            self._events.inc(step.read)
            self._refusals.inc(len(step.refused))
            for refusal in step.refused:
                yield self._refused, refused_row(step.file, refusal)
            for key, message in zip(self._keys, step.messages, strict=True):
                yield Row(key, messages.encode(message))


class ShardFunction(KeyedProcessFunction):  # type: ignore[misc]
    """Messages of the fan-out to rows; each subtask has one group."""

    def __init__(self, settings: JobSettings, keys: list[int]) -> None:
        self._settings, self._keys = settings, keys

    def open(self, runtime_context: RuntimeContext) -> None:
        """Start; which group it has, the first message says."""
        self._task: ShardTask | None = None
        metrics = runtime_context.get_metrics_group().add_group("wavebreak")
        self._decisions = metrics.counter("decisions")
        _gauges(metrics, lambda: self._task.memory if self._task is not None else None)

    def close(self) -> None:
        """End what the group holds open."""
        if self._task is not None:
            self._task.close()

    def process_element(self, value: Row, ctx: KeyedProcessFunction.Context) -> Iterator[str]:
        """Take a message."""
        group = self._keys.index(value[0])
        if self._task is None:
            self._task = ShardTask(self._settings, group)
        elif self._task.group != group:
            # Each would wait for the other.
            raise RuntimeError(f"groups {self._task.group} and {group} are on one subtask")
        for row in self._task.take(messages.decode(bytes(value[1]))):
            self._decisions.inc()
            yield row
