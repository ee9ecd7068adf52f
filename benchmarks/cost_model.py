"""What a cluster of 1, 10 and 100 million events a second would need, from measured unit costs.

    python -m benchmarks.cost_model

Unit costs are those of `docs/benchmarks/cluster.md`, whose commands measure them. Prices and what a
platform is like are assumptions, and are printed. Nothing of this size was ever run: it says which
part breaks first, and what one would pay if all others grew in proportion.
"""

from __future__ import annotations

import math
from typing import NamedTuple

HOURS = 730
"""Of a month."""


class UnitCosts(NamedTuple):
    """Processor time (ns) and bytes an event, bytes an account: what `cluster.md` tells of each."""

    body_ns: float = 320.0
    fan_out_ns: float = 1440.0
    shards_ns: float = 900.0
    engine_share: float = 0.35
    body_bytes: float = 100.0
    message_bytes: float = 132.0
    account_bytes: float = 639 + 4 * 21.1
    replica_bytes: float = 174.0


class Platform(NamedTuple):
    """Assumed: events of an account in a day, the part of a core that is planned with, copies."""

    events_a_day: float = 100.0
    planned: float = 0.6
    host_cores: int = 16
    copies: int = 3
    body_days: float = 30.0


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
    log_rate: float
    message_rate: float
    disk_gb: float


def need_of(rate: float, costs: UnitCosts, platform: Platform) -> Need:
    """Return what a rate (events a second) needs.

    >>> round(need_of(1e6, UnitCosts(100, 900, 1000, 0.5), Platform(planned=0.5)).fan_outs, 3)
    4.0
    """
    accounts = rate * 86_400 / platform.events_a_day
    # What Flink adds falls on all stages alike.
    stage = rate * 1e-9 / costs.engine_share / platform.planned
    fan_outs = stage * (costs.body_ns + costs.fan_out_ns)
    cores = fan_outs + stage * costs.shards_ns
    state = accounts * costs.account_bytes
    # A machine has 4 GiB a core; each host has a replica of what all shards share.
    by_memory = state / (platform.host_cores * 4 * 2**30)
    hosts = math.ceil(max(cores / platform.host_cores, by_memory))
    replica = accounts * costs.replica_bytes
    log_rate = rate * costs.body_bytes
    disk = log_rate * 86_400 * platform.body_days * platform.copies
    return Need(
        accounts, fan_outs, cores, hosts, (state + hosts * replica) / 1e9, replica / 1e9,
        log_rate, rate * costs.message_bytes, disk / 1e9,
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


def main() -> None:
    """Print the tables."""
    costs, platform = UnitCosts(), Platform()
    for what in (costs, platform):
        print(", ".join(f"{name} {value:g}" for name, value in what._asdict().items()))
    limit = 1e9 * costs.engine_share / (costs.body_ns + costs.fan_out_ns)
    print(f"one fan-out that uses all of a core: {limit / 1e6:.2f} M events/s\n")
    print("| events/s | accounts | fan-outs | cores | hosts | memory; a replica | log | messages "
          "| a month: " + ", ".join(CLOUDS) + " |\n|" + "---|" * 9)  # fmt: skip
    for rate in (1e6, 1e7, 1e8):
        need = need_of(rate, costs, platform)
        bill = ", ".join(f"${dollars(need, p, platform) / 1000:,.0f} k" for p in CLOUDS.values())
        print(
            f"| {rate / 1e6:,.0f} M | {need.accounts / 1e9:,.1f} billion | {need.fan_outs:,.0f} | "
            f"{need.cores:,.0f} | {need.hosts:,} | {need.memory_gb / 1000:,.1f} TB; "
            f"{need.replica_gb / 1000:,.2f} TB | "
            f"{need.log_rate / 1e6:,.0f} MB/s | {need.message_rate / 1e6:,.0f} MB/s | {bill} |"
        )


if __name__ == "__main__":
    main()
