"""The page on clusters shows what the cost model computes, from the costs that it measured."""

from __future__ import annotations

from pathlib import Path

from benchmarks import cost_model
from benchmarks.cost_model import Platform, UnitCosts

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "cluster.md"
TEXT = PAGE.read_text("utf-8")
COSTS, PLATFORM = UnitCosts(), Platform()


def test_the_page_shows_the_computed_tables() -> None:
    for lines in (cost_model.table(COSTS, PLATFORM), cost_model.breaking(COSTS, PLATFORM)):
        assert "\n".join(lines) in TEXT
    assert cost_model.assumptions(COSTS, PLATFORM) in TEXT


def mean_of(row: str, column: int) -> float:
    turns = [float(each.replace(",", "")) for each in row.split("|")[column].split(" and ")]
    return sum(turns) / len(turns)


def test_unit_costs_are_the_measured_ones_of_the_page() -> None:
    stages = {"decoding": COSTS.body_ns, "fan-out": COSTS.fan_out_ns, "shards": COSTS.shards_ns}
    lines = TEXT.splitlines()
    rows = [next(line for line in lines if line.startswith(f"| {name}")) for name in stages]
    for row, cost in zip(rows, stages.values(), strict=True):
        assert mean_of(row, 2) == cost
    assert f"| a job of two groups | {COSTS.flink_ns + sum(stages.values()):,.0f} " in TEXT


def test_what_breaks_first_is_said_first() -> None:
    rates = list(cost_model.limits(COSTS, PLATFORM).values())
    assert rates == sorted(rates)
    slower = cost_model.limits(COSTS._replace(intake=1.0), PLATFORM)
    assert next(iter(slower)) == "the service, which writes the log"
