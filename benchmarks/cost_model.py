"""What a cluster of 1, 10 and 100 million events a second would need, from measured unit costs.

    python -m benchmarks.cost_model

Unit costs are those of `docs/benchmarks/cluster.md`, measured by `python -m benchmarks.flink_job`.
Prices and what a platform is like are assumptions, and are printed. Nothing of this size was ever
run: it says which part breaks first, and what one would pay if all others grew in proportion.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

HOURS = 730
"""Of a month."""
RATES = (1e6, 1e7, 1e8)
"""Events a second of the table."""


class UnitCosts(NamedTuple):
    """Processor time (ns) and bytes an event, bytes an account: what `cluster.md` tells of each.

    `flink_ns` is what a job of two groups took beyond these stages, measured with their costs of
    that day. `intake` is how many events a second one service writes durably (`service.md`, with
    PostgreSQL).
    """

    body_ns: float = 223.5
    fan_out_ns: float = 675.0
    shards_ns: float = 708.5
    flink_ns: float = 5213.0 - 223.5 - 675.0 - 708.5
    body_bytes: float = 100.0
    message_bytes: float = 132.0
    account_bytes: float = 639 + 4 * 21.1
    replica_bytes: float = 174.0
    intake: float = 465_000.0

    @property
    def engine_share(self) -> float:
        """The part of a job's processor time that is in the stages; the rest Flink adds."""
        stages = self.body_ns + self.fan_out_ns + self.shards_ns
        return stages / (stages + self.flink_ns)


class Platform(NamedTuple):
    """Assumed: events of an account in a day, the part of a core that is planned with, copies.

    Of a host's memory (4 GiB a core) half is for the replica; `partition_rate` is how many bytes a
    second one partition of a topic is asked to carry.
    """

    events_a_day: float = 100.0
    planned: float = 0.6
    host_cores: int = 16
    copies: int = 3
    body_days: float = 30.0
    partition_rate: float = 50e6

    @property
    def host_bytes(self) -> float:
        """Bytes of memory of a host."""
        return self.host_cores * 4 * 2**30


class Prices(NamedTuple):
    """Assumed list prices in US dollars of 2026-11, on demand, of a region in the United States.

    An hour of a core with 4 GiB of a general machine, a GB between zones in each direction, a month
    of a GB of disk. From memory and rounded: put in those of your contract.
    """

    core_hour: float
    zone_gb: float
    disk_gb: float


CLOUDS = {
    "AWS": Prices(0.050, 0.010, 0.080),
    "Azure": Prices(0.048, 0.000, 0.095),
    "Google Cloud": Prices(0.049, 0.010, 0.100),
}


class Need(NamedTuple):
    """What a rate of events needs; bytes a second, and GB."""

    accounts: float
    fan_outs: float
    cores: float
    hosts: int
    memory_gb: float
    replica_gb: float
    partitions: int
    log_rate: float
    message_rate: float
    disk_gb: float


def need_of(rate: float, costs: UnitCosts, platform: Platform) -> Need:
    """Return what a rate (events a second) needs.

    >>> round(need_of(1e6, UnitCosts(100, 900, 1000, 2000), Platform(planned=0.5)).fan_outs, 3)
    4.0
    """
    accounts = rate * 86_400 / platform.events_a_day
    # What Flink adds falls on all stages alike.
    stage = rate * 1e-9 / costs.engine_share / platform.planned
    fan_outs = stage * (costs.body_ns + costs.fan_out_ns)
    cores = fan_outs + stage * costs.shards_ns
    state = accounts * costs.account_bytes
    hosts = math.ceil(max(cores / platform.host_cores, state / platform.host_bytes))
    # Each host has a replica of what all shards share.
    replica = accounts * costs.replica_bytes
    log_rate = rate * costs.body_bytes
    disk = log_rate * 86_400 * platform.body_days * platform.copies
    return Need(
        accounts, fan_outs, cores, hosts, (state + hosts * replica) / 1e9, replica / 1e9,
        math.ceil(log_rate / platform.partition_rate), log_rate, rate * costs.message_bytes,
        disk / 1e9,
    )  # fmt: skip


def dollars(need: Need, prices: Prices, platform: Platform) -> float:
    """Return what a month costs: cores (or the memory, in cores), copies of the log, disks."""
    cores = max(need.cores, need.memory_gb / 4.3)
    copied = need.log_rate * (platform.copies - 1) * HOURS * 3600 / 1e9
    return (
        cores * prices.core_hour * HOURS
        + copied * 2 * prices.zone_gb
        + (need.disk_gb * prices.disk_gb)
    )


def limits(costs: UnitCosts, platform: Platform) -> dict[str, float]:
    """Return the events a second at which each part that there is once breaks, the first first."""
    account_rate = platform.events_a_day / 86_400
    found = {
        "the fan-out, on all of one core": 1e9 * costs.engine_share
        / (costs.body_ns + costs.fan_out_ns),
        "the replica of what all shards share, in half of a host's memory":
        platform.host_bytes / 2 / costs.replica_bytes * account_rate,
        "the service, which writes the log": costs.intake,
        "the topic's one partition": platform.partition_rate / costs.body_bytes,
    }  # fmt: skip
    return dict(sorted(found.items(), key=lambda each: each[1]))


def _short(value: float, units: str = "kMG") -> str:
    """Return a number in thousands, millions or more."""
    power = min(int(math.log10(max(value, 1)) // 3), len(units))
    number = value / 1000**power
    return f"{number:,.2g} {units[power - 1]}" if power and number < 10 else (
        f"{number:,.0f} {units[power - 1] if power else ''}".strip()
    )  # fmt: skip


def table(costs: UnitCosts, platform: Platform) -> Iterator[str]:
    """Return the lines of the table of needs, in Markdown."""
    yield (
        "| events/s | accounts | fan-outs | cores | hosts | memory; of it a replica on each "
        "host | partitions | log; messages | a month: " + ", ".join(CLOUDS) + " |"
    )
    yield "|" + "---|" * 9
    for rate in RATES:
        need = need_of(rate, costs, platform)
        bill = ", ".join(f"${_short(dollars(need, p, platform))}" for p in CLOUDS.values())
        yield (
            f"| {_short(rate)} | {_short(need.accounts)} | {need.fan_outs:,.0f} | "
            f"{need.cores:,.0f} | {need.hosts:,} | {_short(need.memory_gb * 1e9, 'kMGTP')}B; "
            f"{_short(need.replica_gb * 1e9, 'kMGTP')}B | {need.partitions:,} | "
            f"{_short(need.log_rate)}B/s; {_short(need.message_rate)}B/s | {bill} |"
        )


def breaking(costs: UnitCosts, platform: Platform) -> Iterator[str]:
    """Return the lines of the table of what breaks first, in Markdown."""
    yield "| part | at events/s |"
    yield "|---|---|"
    for part, rate in limits(costs, platform).items():
        yield f"| {part} | {_short(rate)} |"


def assumptions(costs: UnitCosts, platform: Platform) -> str:
    """Return the numbers that go in."""
    named = costs._asdict() | {"engine_share": costs.engine_share} | platform._asdict()
    return ", ".join(f"{name} {value:.4g}" for name, value in named.items())


def main() -> None:
    """Print the tables."""
    costs, platform = UnitCosts(), Platform()
    print(assumptions(costs, platform), *table(costs, platform), "", *breaking(costs, platform),
          sep="\n")  # fmt: skip


if __name__ == "__main__":
    main()
