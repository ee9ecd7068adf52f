from __future__ import annotations

import pytest

from wavebreak_server.pipeline.log_writer import refusal_of


@pytest.mark.parametrize(
    "fault",
    [
        "OperationalError: database or disk is full",
        'OperationalError: could not extend file "base/5/16384": No space left on device',
    ],
)
def test_full_disk_is_called_so(fault: str) -> None:
    assert refusal_of(fault) == "the disk is full"


def test_other_faults_of_the_database_are_not_called_a_full_disk() -> None:
    assert refusal_of("OperationalError: database is locked") == "the log cannot be written"
