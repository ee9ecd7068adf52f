"""Counts of a round: accounts actioned, acts delivered, their cost, effects on benign accounts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from wavebreak.csv_files import CsvWriter
from wavebreak.durations import WEEK_MS
from wavebreak.engine import Engine
from wavebreak.engine.accounts_table import accounts_table
from wavebreak.evaluation import Evaluation, evaluate
from wavebreak.outcomes import REFUSING, SILENCING
from wavebreak_lab.red_team.config import Prices
from wavebreak_lab.red_team.round import OperatorResult
from wavebreak_lab.simulation.context import Label
from wavebreak_lab.simulation.geography import VIRTUAL
from wavebreak_lab.simulation.log import Floats

HIRED_RING = "ring-for-hire"
"""Family of the accounts that are hired to report the persona victim-of-reports."""

ACCUSE = "accuse"
"""Work of senders that deliver nothing and are judged by the honest accounts that they harm."""

RESAMPLES = 2_000


@dataclass(frozen=True)
class FamilyCounts:
    """Accounts, acts and dollars of one family in one round.

    Attributes:
        correctly_handled: Actioned, or the owner of a hijacked account was asked to recover it.
        without_report: Actioned and never reported.
        within_a_week: Restricted or worse within seven days of the first event.
        delivered: Messages to strangers, group adds and reports that reached a person. Median and
            90th percentile are per account.
        per_thousand: Dollars per thousand acts delivered; None where none was.
        interval: Its 95 % interval, by a bootstrap over accounts.
        cheapest: Dollars per thousand of the cheapest operator that delivered at least one in a
            hundred of the family's acts.
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
    per_thousand: float | None
    interval: tuple[float, float] | None
    cheapest: float | None


@dataclass(frozen=True)
class PeopleCounts:
    """Benign accounts at the end of a round.

    Attributes:
        first_contacts: First contacts of the round with people that were not met before.
        refused: Those that did not arrive.
        delayed: Those that arrived later.
        accused: Of each account that operators accused on purpose: complaints, worst outcome.
    """

    accounts: int
    restricted: int
    banned: int
    first_contacts: int
    refused: int
    delayed: int
    accused: tuple[tuple[int, str], ...]

    @property
    def convicted(self) -> int:
        """Accused accounts that were restricted or worse."""
        return sum(outcome in SILENCING for _, outcome in self.accused)

    @property
    def slowed(self) -> int:
        """Accused accounts that were limited or challenged, and not worse."""
        return sum(outcome in REFUSING for _, outcome in self.accused) - self.convicted


def operator_cost(result: OperatorResult, prices: Prices) -> float:
    """Return the expenses of an operator, in dollars."""
    sender, expenses = result.entry.sender, result.spent
    enrolment = sender.enrolment
    registered = prices.virtual_number if enrolment.ranges == VIRTUAL else prices.number
    registered += prices.attested * enrolment.attested
    price = {
        "numbers": prices.aged if sender.aged else registered,
        "helpers": prices.aged,
        "answers": prices.answer,
        "lures": prices.lure,
        "devices": prices.device,
        "addresses": prices.address,
        "challenges": prices.challenge,
        "taken_over": prices.taken_over,
        "hours": prices.hour,
    }
    networks = 0 if enrolment.residential or sender.hijack else enrolment.networks
    cost = sum(unit_price * expenses.get(name, 0.0) for name, unit_price in price.items())
    return cost + networks * prices.network


def gain(result: OperatorResult, harmed: set[str], prices: Prices) -> float:
    """Return what an operator got for a dollar: acts delivered, or harmed honest accounts."""
    accuses = result.entry.sender.work == ACCUSE
    yield_count = len(result.accused.keys() & harmed) if accuses else result.total_delivered
    return yield_count / max(operator_cost(result, prices), 0.01)


def worst_outcomes(engine: Engine) -> dict[str, str]:
    """Return the severest outcome that each account ever had."""
    table = accounts_table(engine)
    return dict(zip(table["account"].to_pylist(), table["worst"].to_pylist(), strict=True))


def write_and_evaluate(labels: Iterable[Label], engine: Engine, out: Path) -> Evaluation:
    """Write a round's accounts and labels into a directory, and evaluate them."""
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(accounts_table(engine), out / "accounts.parquet", compression="zstd")
    with (out / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = CsvWriter(file, exact=True, line_end="\n")
        writer.write(("account", "label", "family", "operator"))
        writer.write_all(labels)
    return evaluate(out, out / "labels.csv")


def label_hired_ring(labels: Iterable[Label]) -> list[Label]:
    """Return labels with hired reporters as a family of their own."""
    return [
        (account, label, HIRED_RING if operator == HIRED_RING else family, operator)
        for account, label, family, operator in labels
    ]


def count_family(
    operators: Sequence[OperatorResult],
    evaluation: Evaluation,
    within_a_week: dict[str, bool],
    prices: Prices,
    seed: int,
) -> FamilyCounts:
    """Count a family; the dollars of an operator are spread evenly over its accounts.

    Args:
        operators: The results of the family's operators.
        evaluation: Of the round.
        within_a_week: Of each account restricted or worse, whether that took at most a week.
        prices: Of an operator's expenses.
        seed: Of the bootstrap.
    """
    costs = [operator_cost(result, prices) for result in operators]
    total = sum(result.total_delivered for result in operators)
    delivered = np.array([n for r in operators for n in r.delivered.values()], np.float64)
    dollars = np.concatenate([
        np.full(len(result.delivered), cost / max(1, len(result.delivered)))
        for result, cost in zip(operators, costs, strict=True)
    ])  # fmt: skip
    accounts = {name for result in operators for name in result.delivered}
    recovered = {name for result in operators for name in result.recovered}
    actioned = accounts & within_a_week.keys()
    counts = evaluation.families[operators[0].entry.family]
    accuses = operators[0].entry.sender.work == ACCUSE
    return FamilyCounts(
        accounts=counts.accounts,
        challenged=counts.challenged,
        actioned=counts.actioned,
        correctly_handled=len(actioned | recovered),
        at_registration=counts.at_registration,
        without_report=counts.no_report_ever,
        within_a_week=sum(within_a_week[name] for name in actioned),
        delivered=total,
        delivered_median=float(np.median(delivered)) if len(delivered) else 0.0,
        delivered_p90=float(np.percentile(delivered, 90)) if len(delivered) else 0.0,
        attempted=sum(result.total_attempted for result in operators),
        cost=sum(costs),
        per_thousand=1000 * sum(costs) / total if total else None,
        interval=None if accuses else bootstrap_interval(dollars, delivered, seed),
        cheapest=min((
            1000 * cost / result.total_delivered
            for result, cost in zip(operators, costs, strict=True)
            if result.total_delivered and result.total_delivered >= total / 100
        ), default=None),
    )  # fmt: skip


def actioned_within_a_week(engine: Engine) -> dict[str, bool]:
    """Return the accounts restricted or worse, and whether within a week of their first event."""
    table = accounts_table(engine)
    names = ("account", "first_seen_ms", "first_action_ms")
    rows = zip(*(table[name].to_pylist() for name in names), strict=True)
    return {
        a: action - first_seen <= WEEK_MS for a, first_seen, action in rows if action is not None
    }


def cost_of_all(
    operators: Sequence[OperatorResult], prices: Prices, seed: int
) -> tuple[float | None, tuple[float, float] | None]:
    """Return the dollars per thousand delivered of all operators that deliver, and 95 %."""
    writers = [result for result in operators if result.entry.sender.work != ACCUSE]
    cost = np.array([operator_cost(result, prices) for result in writers], np.float64)
    delivered = np.array([result.total_delivered for result in writers], np.float64)
    if not delivered.sum():
        return None, None
    interval = bootstrap_interval(cost, delivered, seed)
    return float(1000 * cost.sum() / delivered.sum()), interval


def bootstrap_interval(cost: Floats, delivered: Floats, seed: int) -> tuple[float, float] | None:
    """Return 95 % of the dollars per thousand delivered, over resampled units.

    >>> bootstrap_interval(np.array([2.0, 2.0]), np.array([10.0, 10.0]), 0)
    (200.0, 200.0)
    """
    if not delivered.sum():
        return None
    rng = np.random.default_rng((seed, 7))
    rows = rng.integers(0, len(cost), (RESAMPLES, len(cost)))
    totals = delivered[rows].sum(1)
    ratios = 1000 * cost[rows].sum(1)[totals > 0] / totals[totals > 0]
    low, high = np.percentile(ratios, (2.5, 97.5))
    return round(float(low), 2), round(float(high), 2)
