"""Counts of a round by family: accounts actioned, acts delivered, and what they cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from wavebreak.csv_files import CsvWriter
from wavebreak.durations import WEEK_MS
from wavebreak.engine import Engine
from wavebreak.engine.accounts_table import accounts_table
from wavebreak.evaluation import Evaluation, evaluate
from wavebreak_lab.red_team.config import Prices
from wavebreak_lab.red_team.round import OperatorResult, RoundResult
from wavebreak_lab.simulation.context import Label
from wavebreak_lab.simulation.geography import VIRTUAL

HIRED_RING = "ring-for-hire"
"""Family of the accounts that are hired to report the persona victim-of-reports."""


@dataclass(frozen=True)
class FamilyCounts:
    """Counts of accounts, acts and dollars of one family in one round.

    `correctly_handled`: actioned, or, for a hijacked account, its owner asked to recover it.
    `within_a_week`: restricted or worse within seven days of registration. `delivered`: messages
    to strangers, group adds and reports that reached someone, in total; the median and the 90th
    percentile are per account.
    """

    accounts: int
    challenged: int
    actioned: int
    correctly_handled: int
    at_registration: int
    without_report: int
    within_a_week: int
    delivered: int
    delivered_median: float
    delivered_p90: float
    attempted: int
    cost: float

    @property
    def per_thousand(self) -> float:
        """Dollars per thousand acts delivered; NaN where none was."""
        return 1000 * self.cost / self.delivered if self.delivered else float("nan")


def operator_cost(result: OperatorResult, prices: Prices) -> float:
    """Return what an operator spent, in dollars."""
    spent, enrolment = result.spent, result.entry.sender.enrolment
    numbers = spent.get("numbers", 0.0)
    number = prices.virtual_number if enrolment.ranges == VIRTUAL else prices.number
    made = number + prices.attested * enrolment.attested
    networks = 0 if enrolment.residential or result.entry.sender.hijack else enrolment.networks
    return (
        numbers * (prices.aged if result.entry.sender.aged else made)
        + spent.get("helpers", 0.0) * prices.aged
        + spent.get("answers", 0.0) * prices.answer
        + spent.get("lures", 0.0) * prices.lure
        + spent.get("devices", 0.0) * prices.device
        + spent.get("addresses", 0.0) * prices.address
        + networks * prices.network
        + spent.get("challenges", 0.0) * prices.challenge
        + spent.get("taken_over", 0.0) * prices.taken_over
        + spent.get("hours", 0.0) * prices.hour
    )


def worst_outcomes(engine: Engine) -> dict[str, str]:
    """Return the severest outcome that each account ever had."""
    table = accounts_table(engine)
    return dict(zip(table["account"].to_pylist(), table["worst"].to_pylist(), strict=True))


def write_and_evaluate(result: RoundResult, engine: Engine, out: Path) -> Evaluation:
    """Write a round's accounts and labels into a directory, and evaluate them."""
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(accounts_table(engine), out / "accounts.parquet", compression="zstd")
    write_labels(result.labels, out / "labels.csv")
    return evaluate(out, out / "labels.csv")


def label_hired_ring(labels: Iterable[Label]) -> list[Label]:
    """Return labels with hired reporters as a family of their own."""
    return [
        (a, kind, HIRED_RING if by == HIRED_RING else family, by) for a, kind, family, by in labels
    ]


def write_labels(labels: Iterable[Label], path: Path) -> None:
    """Write labels as a CSV file for the other commands."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = CsvWriter(file, exact=True, line_end="\n")
        writer.write(("account", "label", "family", "operator"))
        writer.write_all(label_hired_ring(labels))


def count_families(
    result: RoundResult, evaluation: Evaluation, prices: Prices, directory: Path
) -> dict[str, FamilyCounts]:
    """Count every family of a round that was written into `directory`."""
    within_a_week = _actioned_within_a_week(directory / "accounts.parquet")
    by_family: dict[str, list[OperatorResult]] = {}
    for one in result.operators:
        by_family.setdefault(one.entry.family, []).append(one)
    return {
        family: _count_family(operators, evaluation, family, prices, within_a_week)
        for family, operators in by_family.items()
    }


def _count_family(
    operators: list[OperatorResult],
    evaluation: Evaluation,
    family: str,
    prices: Prices,
    within_a_week: dict[str, bool],
) -> FamilyCounts:
    delivered = np.array([n for one in operators for n in one.delivered.values()] or [0])
    counts = evaluation.families[family]
    accounts = {name for one in operators for name in one.delivered}
    recovered = {name for one in operators for name in one.recovered}
    actioned = {name for name in accounts if name in within_a_week}
    return FamilyCounts(
        accounts=counts.accounts,
        challenged=counts.challenged,
        actioned=counts.actioned,
        correctly_handled=len(actioned | recovered),
        at_registration=counts.at_registration,
        without_report=counts.no_report_ever,
        within_a_week=sum(within_a_week[name] for name in actioned),
        delivered=int(delivered.sum()),
        delivered_median=float(np.median(delivered)),
        delivered_p90=float(np.percentile(delivered, 90)),
        attempted=sum(one.total_attempted for one in operators),
        cost=sum(operator_cost(one, prices) for one in operators),
    )


def _actioned_within_a_week(path: Path) -> dict[str, bool]:
    """Return the accounts restricted or worse, and whether within a week of their first event."""
    columns = ["account", "first_seen_ms", "first_action_ms"]
    table = pq.read_table(path, columns=columns)
    rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
    return {a: acted - seen <= WEEK_MS for a, seen, acted in rows if acted is not None}
