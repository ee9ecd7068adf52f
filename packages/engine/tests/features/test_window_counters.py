"""Windowed counters: generated from a declaration, which with one formula makes a feature."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import oracle
import wavebreak
from wavebreak.features.catalog import WINDOWED
from wavebreak.features.layout import RARE, ROW
from wavebreak.features.window_counters import COUNTERS, RARE_COUNTERS, ROW_COUNTERS, count_event

DECLARATION = """
    W(F("group_sends_1h", "messages", "volume", "1h", "Messages sent to groups in the window.",
      ("message.sent",), "teachers, IRC helpers", "one-to-one senders"), "group_send"),
"""
"""The first file: what the feature is, and which event it counts."""
FORMULA = """
    "group_sends_1h": lambda s: s.count(s.group_sends, "1h"),
"""
"""The second file: the oracle's formula."""
COMPARE = """
import random
from support.parity_streams import Both, log, rows, some_steps

values = set()
for seed in range(6):
    both, events = Both(), rows(some_steps(random.Random(seed), 60))
    for begin in range(0, len(events), len(events) // 3 + 1):
        both.take(log(events[begin : begin + len(events) // 3 + 1]))
        assert both.differences() == [], both.differences()[:3]
        values |= {fast for _, name, fast, _ in both.compared() if name == "group_sends_1h"}
print(len(values))
"""


def insert_after(path: Path, line: str, text: str) -> None:
    source = path.read_text("utf-8")
    assert source.count(line) == 1
    path.write_text(source.replace(line, line + text), "utf-8")


def test_feature_from_one_declaration_and_one_formula(tmp_path: Path) -> None:
    package, tests = Path(wavebreak.__file__).parent, Path(oracle.__file__).parent.parent
    shutil.copytree(package, tmp_path / "wavebreak", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(tests / "oracle", tmp_path / "oracle")
    declared = tmp_path / "wavebreak" / "features" / "message_features.py"
    insert_after(declared, "MESSAGE_FEATURES: tuple[F | W, ...] = (\n", DECLARATION.lstrip("\n"))
    formulas = tmp_path / "oracle" / "message_features.py"
    insert_after(formulas, "FORMULAS: dict[str, Formula] = {\n", FORMULA.lstrip("\n"))
    done = subprocess.run(
        [sys.executable, "-c", COMPARE],
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join([str(tmp_path), str(tests)]),
            "WAVEBREAK_CACHE": str(tmp_path / "cache"),
            # Half the time of compiling is optimising, and the code runs for a moment only.
            "NUMBA_OPT": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 5


def test_every_counter_has_a_ring_of_its_record() -> None:
    for record, counters in ((ROW, ROW_COUNTERS), (RARE, RARE_COUNTERS)):
        for counter in counters:
            ring = record[counter.field]
            assert ring.shape == (16,)
            assert ring.base.itemsize == (1 if counter.bucket_max <= 255 else 2)


def test_every_windowed_feature_has_a_counter() -> None:
    assert {c.name for c in COUNTERS if c.name} == {each.feature.name for each in WINDOWED}


def test_count_event_unknown_event_is_refused() -> None:
    with pytest.raises(KeyError):
        count_event("nothing")
