"""The log of a job: files of JSON Lines, or the log of a service."""

from __future__ import annotations

from pathlib import Path

from wavebreak_flink import event_log
from wavebreak_flink.fan_out import Log
from wavebreak_flink.settings import JobSettings
from wavebreak_flink.topic_log import TopicLog


def open_log(settings: JobSettings) -> Log:
    """Return the log of a job."""
    return TopicLog.of(settings) if settings.topic else event_log.load(Path(settings.home))
