"""The job over the log of a running service: rescaled, and killed with what it stands on."""

from __future__ import annotations

import os
from collections import Counter
from itertools import cycle, islice
from pathlib import Path

import pytest

from support import crash_test
from support.deployment import VICTIMS, Parts, deployed
from support.flink_cluster import in_mid_run
from wavebreak_flink import submission

EVENTS = 6_000
KILLS = int(os.environ.get("KILLS", str(len(VICTIMS))))
"""How many processes are killed, one part after the other: `make scale KILLS=50`."""
PAUSE_S = 0.05
"""Between two bodies of the load, so that it lasts as long as the killing."""


def test_a_job_over_a_service_decides_the_same_over_rescales(parts: Parts, tmp_path: Path) -> None:
    events, third = crash_test.world()[:EVENTS], EVENTS // 3
    with deployed(tmp_path, "read", parts, events) as deployment:
        for number, groups in enumerate((4, 2)):
            load = deployment.send(events[: (number + 1) * third], number * third)
            in_mid_run(deployment.made)
            load.thread.join(120)
            deployment.made = submission.rescale(deployment.home, groups, parts.environment)
        deployment.send(events, 2 * third).thread.join(120)
        deployment.same_in_the_end(events, EVENTS)
    assert deployment.restarts == 1


@pytest.mark.timeout(600 + 120 * KILLS)
def test_kills_change_nothing(parts: Parts, tmp_path: Path) -> None:
    events = crash_test.world(40 + 2 * KILLS)
    killed = Counter[str]()
    with deployed(tmp_path, "kills", parts, events) as deployment:
        load = deployment.send(events, pause_s=PAUSE_S)
        for number, victim in enumerate(islice(cycle(VICTIMS), KILLS)):
            load.slow_from = len(events) * (number + 1) // (KILLS + 1)
            deployment.kill_under(load, victim, number)
            killed[victim] += 1
            print(f"{number + 1} of {KILLS}: {victim}; {load.at:,} events acknowledged")
        load.stopped.set()
        load.thread.join(120)
        decisions = deployment.same_in_the_end(load.acknowledged, load.at)
    print(f"{dict(killed)}: {load.at:,} events, {len(decisions):,} decisions, the same")
    print(f"{load.repeated} bodies sent again, {deployment.restarts} restarts by Flink")
    assert killed.total() == KILLS
