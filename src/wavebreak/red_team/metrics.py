"""What a round came to: by family, what was caught and what it cost to get through; by persona."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from wavebreak.engine import Engine
from wavebreak.engine.batch_run import accounts_table
from wavebreak.evaluation import Evaluation, evaluate
from wavebreak.red_team.config import Price
from wavebreak.red_team.round import Bout, Played
from wavebreak.simulation.context import Label
from wavebreak.simulation.geography import VIRTUAL

WEEK_MS = 7 * 86_400_000
HIRED = "ring-for-hire"
"""Family of the reporters who are hired against the persona victim-of-reports."""


@dataclass(frozen=True)
class Count:
    """What became of one family in one round; counts of accounts, messages, dollars.

    `rightly`: actioned, or, for a hijacked account, its owner asked to recover it. `week`:
    accounts restricted or worse within seven days of registering. `delivered`: acts on strangers
    that reached them (messages, group adds, reports) in all; median and p90 are an account's.
    """

    accounts: int
    challenged: int
    actioned: int
    rightly: int
    at_registration: int
    no_report: int
    week: int
    delivered: int
    delivered_median: float
    delivered_p90: float
    tried: int
    cost: float

    @property
    def per_thousand(self) -> float:
        """Dollars for a thousand acts delivered; not a number where none was."""
        return 1000 * self.cost / self.delivered if self.delivered else float("nan")


def cost(played: Played, price: Price) -> float:
    """Return what an operator paid in dollars."""
    spent, how = played.spent, played.entry.sender.enrolment
    numbers = spent.get("numbers", 0.0)
    number = price.virtual_number if how.ranges == VIRTUAL else price.number
    networks = 0 if how.residential or played.entry.sender.hijack else how.networks
    return (
        numbers * (number + price.attested * how.attested)
        + spent.get("devices", 0.0) * price.device
        + spent.get("addresses", 0.0) * price.address
        + networks * price.network
        + spent.get("challenges", 0.0) * price.challenge
        + spent.get("taken_over", 0.0) * price.taken_over
        + spent.get("hours", 0.0) * price.hour
    )


def keep_round(bout: Bout, engine: Engine, out: Path) -> Evaluation:
    """Write a round's accounts and labels into a directory, and hold one against the other."""
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(accounts_table(engine), out / "accounts.parquet", compression="zstd")
    write_labels(bout.labels, out / "labels.csv")
    return evaluate(out, out / "labels.csv")


def named(labels: Iterable[Label]) -> list[Label]:
    """Return labels with the ring that people hire as a family of its own."""
    return [(a, kind, HIRED if by == HIRED else family, by) for a, kind, family, by in labels]


def write_labels(labels: Iterable[Label], path: Path) -> None:
    """Write labels as a CSV that every other verb reads."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("account", "label", "family", "operator"))
        writer.writerows(named(labels))


def count(bout: Bout, found: Evaluation, price: Price, out: Path) -> dict[str, Count]:
    """Count every family of a round that was kept in `out`."""
    soon = _within_a_week(out / "accounts.parquet")
    by_family: dict[str, list[Played]] = {}
    for played in bout.played:
        by_family.setdefault(played.entry.family, []).append(played)
    return {
        family: _count(teams, found, family, price, soon) for family, teams in by_family.items()
    }


def _count(
    teams: list[Played], found: Evaluation, family: str, price: Price, soon: dict[str, bool]
) -> Count:
    delivered = np.array([n for team in teams for n in team.delivered.values()] or [0])
    told = found.families[family]
    mine = {name for team in teams for name in team.delivered}
    recovered = {name for team in teams for name in team.recovered}
    actioned = {name for name in mine if name in soon}
    return Count(
        accounts=told.accounts,
        challenged=told.challenged,
        actioned=told.actioned,
        rightly=len(actioned | recovered),
        at_registration=told.at_registration,
        no_report=told.no_report_ever,
        week=sum(soon[name] for name in actioned),
        delivered=int(delivered.sum()),
        delivered_median=float(np.median(delivered)),
        delivered_p90=float(np.percentile(delivered, 90)),
        tried=sum(sum(team.tried.values()) for team in teams),
        cost=sum(cost(team, price) for team in teams),
    )


def _within_a_week(path: Path) -> dict[str, bool]:
    """Return the accounts restricted or worse, and whether within a week of their first sight."""
    columns = ["account", "first_seen_ms", "first_action_ms"]
    table = pq.read_table(path, columns=columns)
    rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
    return {a: acted - seen <= WEEK_MS for a, seen, acted in rows if acted is not None}
