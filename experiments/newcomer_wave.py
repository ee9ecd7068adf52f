"""What a wave of newcomers reaches, alone and beside honest people, by variants of its rule.

    python -m experiments.newcomer_wave [VARIANT...]

Fifteen accounts register together and write to seven strangers of their own each, who do not
answer, in a log a day old. Beside them, in the same minutes, people who registered two
minutes before: somebody who moved here writes to fifty residents, three in five of whom answer;
thirty newcomers write to three residents each, two in five of whom answer; a new teacher writes to
twenty-five new pupils, four in five of whom answer.
Counted is what arrives, of the wave and of the honest.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from wavebreak import rules
from wavebreak.durations import DAY_MS, MINUTE_MS, SECOND_MS
from wavebreak.engine import Engine
from wavebreak.features.layout import BARRED
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy, load_policy
from wavebreak.schema.events import WIRE_SCHEMA

START_MS = 1_767_225_600_000
ACCOUNTS, STRANGERS = 15, 7
GAPS_MS = (250, 1_500, 3_000, 20_000)
ANSWER_MS, HONEST_GAP_MS = 5 * SECOND_MS, 6 * SECOND_MS

_ARMS = (
    '    ["newcomers >= 6 + 3 * newcomers_usual", "{}"],\n'
    '    ["newcomer_contacts >= 30 + 3 * newcomer_contacts_usual", "{}"],\n'
)
_SHARE = (
    "newcomer_answers - newcomer_answers_usual <="
    " {} * (newcomer_contacts - newcomer_contacts_usual)"
)
_LESS = _SHARE.format("0.05").replace("<=", "+ 0.3 <=")
_SHIPPED = _ARMS.format(_SHARE.format("0.05"), _SHARE.format("0.05"))
_ANSWERED = "newcomer_answers = 6, "
_NO_ANSWER = "answers_of_strangers_1h < 1"
_FIRST = '  "strangers_contacted_1h >= 2 + answers_of_strangers_1h",\n  "age_s < 7 * 86_400",\n'


def _with(*conditions: str) -> str:
    more = '", "'.join(conditions)
    return _SHIPPED + _ARMS.format(more, more)


VARIANTS: dict[str, tuple[str, str]] = {
    "shipped": (_SHIPPED, _SHIPPED),
    "no answer of its own, platform's share at most .3":
        (_SHIPPED, _with(_NO_ANSWER, _SHARE.format("0.3"))),
    "four strangers and no answer of its own":
        (_SHIPPED, _with(_NO_ANSWER, "strangers_contacted_1h >= 4")),
    "two strangers and no answer of its own": (_SHIPPED, _with(_NO_ANSWER)),
    "only where six of the strangers are no newcomers": (
        _SHIPPED, _ARMS.format(_LESS, _LESS)
    ),
    "two places an answer": (_FIRST, _FIRST.replace("+ answers", "+ 2 * answers")),
}  # fmt: skip
"""Variants of the rule, as what of its text is replaced by what."""


def policy_of(variant: str) -> Policy:
    """Return the shipped policy with a variant of the rule."""
    before, after = VARIANTS[variant]
    shipped = Path(rules.__file__).parents[1] / "policy"
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "policy"
        shutil.copytree(shipped, copy)
        [file] = [
            f for f in copy.rglob("*.toml") if 'id = "newcomers_wave"' in f.read_text("utf-8")
        ]
        head, mark, rest = file.read_text("utf-8").partition('id = "newcomers_wave"')
        assert before in rest, variant
        if before != after:
            # Measured as a whole, against its example of answers: one that is adopted is split.
            mark += "\nneeds_split = true" * (after.count("[") > before.count("["))
            rest = "".join(
                line for line in rest.splitlines(keepends=True) if _ANSWERED not in line
            ).replace(before, after, 1)
        file.write_text(head + mark + rest, "utf-8")
        return load_policy(copy)


Row = dict[str, Any]


class Stream:
    """A log of a platform, in which old accounts wrote a day before."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.sent(START_MS, "old", "older")

    def _add(self, ts: int, kind: str, who: str, **more: Any) -> None:
        event = f"e{len(self.rows):06}"
        self.rows.append({"id": event, "ts": ts, "type": kind, "account": who} | more)

    def arrive(self, ts: int, names: list[str]) -> None:
        """Register accounts, a millisecond apart."""
        for n, name in enumerate(names):
            self._add(ts + n, "account.registered", name)

    def sent(self, ts: int, who: str, peer: str, *, answered: bool = False) -> None:
        """Write to somebody, who may answer."""
        self._add(ts, "message.sent", who, peer=peer, size=60)
        if answered:
            self._add(ts + ANSWER_MS, "message.sent", peer, peer=who, size=60)

    def batch(self) -> pa.RecordBatch:
        """Return the log."""
        rows = sorted(self.rows, key=lambda row: (row["ts"], row["id"]))
        [batch] = pa.Table.from_pylist(rows, schema=WIRE_SCHEMA).to_batches()
        return batch


BEGIN_MS = START_MS + DAY_MS


def wave(stream: Stream, gap_ms: int, *, ring: bool = False) -> None:
    """Add a wave, whose accounts write in turns; those of a ring answer each other first."""
    names = [f"w{n}" for n in range(ACCOUNTS)]
    stream.arrive(BEGIN_MS, names)
    begin = BEGIN_MS + ACCOUNTS
    for n, name in enumerate(names if ring else ()):
        for m in (1, 2):
            at = begin + 2 * MINUTE_MS + (n * 2 + m) * 700
            stream.sent(at, name, names[(n + m) % ACCOUNTS], answered=True)
    begin += 5 * MINUTE_MS if ring else 0
    for turn in range(STRANGERS):
        for n, name in enumerate(names):
            stream.sent(begin + (turn * ACCOUNTS + n) * gap_ms, name, f"x{n}.{turn}")


def mover(stream: Stream) -> None:
    """Add somebody who moved and writes to fifty residents."""
    stream.arrive(BEGIN_MS - 2 * MINUTE_MS, ["honest"])
    for n in range(50):
        stream.sent(BEGIN_MS + n * HONEST_GAP_MS, "honest", f"r{n}", answered=n % 5 < 3)


def thirty(stream: Stream) -> None:
    """Add thirty newcomers who write to three residents each."""
    names = [f"honest{n}" for n in range(30)]
    stream.arrive(BEGIN_MS - 2 * MINUTE_MS, names)
    for turn in range(3):
        for n, name in enumerate(names):
            at = BEGIN_MS + (turn * 30 + n) * HONEST_GAP_MS
            stream.sent(at, name, f"r{turn}.{n}", answered=(turn + n) % 5 < 2)


def teacher(stream: Stream) -> None:
    """Add a new teacher who writes to twenty-five new pupils."""
    stream.arrive(BEGIN_MS - 2 * MINUTE_MS, ["honest", *(f"p{n}" for n in range(25))])
    for n in range(25):
        stream.sent(BEGIN_MS + n * HONEST_GAP_MS, "honest", f"p{n}", answered=n % 5 > 0)


HONEST: dict[str, Callable[[Stream], None]] = {
    "who moved": mover, "the thirty": thirty, "a teacher": teacher
}  # fmt: skip


def arrived(policy: Policy, stream: Stream) -> tuple[int, int]:
    """Return how many strangers the wave reached, and how many first messages of others arrived."""
    engine = Engine(policy, accounts=1024, enforce=True)
    rows = sorted(stream.rows, key=lambda row: (row["ts"], row["id"]))
    at, pairs = 0, set[tuple[str, str]]()
    for segment in engine.fanout.segments(Pseudonymizer(bytes(32)).apply(stream.batch())):
        list(engine.advance(segment))
        for result in segment.results.tolist():
            row = rows[at]
            at += 1
            if row["type"] == "message.sent" and not result & BARRED:
                pairs.add((row["account"], row["peer"]))
    return (
        sum(who.startswith("w") and to.startswith("x") for who, to in pairs),
        sum(who.startswith("honest") for who, _ in pairs),
    )


def main(arguments: list[str] | None = None) -> int:
    """Print a table of each variant."""
    parser = argparse.ArgumentParser("newcomer_wave", description=__doc__)
    parser.add_argument("variants", nargs="*", default=list(VARIANTS))
    for variant in parser.parse_args(arguments).variants:
        policy = policy_of(variant)
        print(f"\n{variant}\n\n| pace of the wave | alone | a ring |" + "".join(
            f" beside {name}: of 105; honest |" for name in HONEST), flush=True)  # fmt: skip
        for gap_ms in (*GAPS_MS, 0):
            cells = []
            for ring in (False, True):
                stream = Stream()
                if gap_ms:
                    wave(stream, gap_ms, ring=ring)
                cells.append(str(arrived(policy, stream)[0]))
            for add in HONEST.values():
                stream = Stream()
                if gap_ms:
                    wave(stream, gap_ms)
                add(stream)
                cells.append("{}; {}".format(*arrived(policy, stream)))
            name = f"{gap_ms / 1000:g} s" if gap_ms else "no wave"
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
