"""Measure what the modules add to a message, beside a server without a module in the same run.

    PYTHONPATH=tests:. .venv/bin/python -m integrations.measure_xmpp [prosody] [ejabberd]
    PYTHONPATH=tests:. .venv/bin/python -m integrations.measure_xmpp --spammer-gap 40 prosody

With `--spammer-gap` a spammer writes to a stranger every so many seconds, every second one of whom
reports it; how many it reaches is counted.

Arms of one server send in turn, a message each: no module, told only (`ask` never), cached (a known
chat of a calm account), asked (`ask` always). Each message is timed from sender to recipient; pairs
are an arm's messages and those without a module in the same turns. The processor is that of each
arm's server. The module's own times of its hooks follow.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import random
import re
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from integrations.harness.ejabberd import ejabberd
from integrations.harness.measures import median_of_pairs, percentile, processor_s
from integrations.harness.prosody import HOST, prosody
from integrations.harness.service_cases import STRANGERS, patient_spam
from integrations.harness.wavebreak import wavebreak
from integrations.harness.xmpp import Account

MESSAGES, WARM_UP = 300, 20
PACE_S = (0.3, 0.9)
"""Seconds from round to round, at least and at most. The arms share two accounts, and a hundred
messages of one within 15 s are a ban."""
SERVERS: dict[str, Callable[..., Any]] = {"prosody": prosody, "ejabberd": ejabberd}
ARMS = {"none": None, "told": "never", "cached": "new_chats", "asked": "always"}


async def _pair(server: Any) -> tuple[Account, Account]:
    server.add_users(["ann", "ben"])
    one = await Account(f"ann@{HOST}", server.port, register=False).online()
    return one, await Account(f"ben@{HOST}", server.port, register=False).online()


async def _drive(servers: dict[str, Any]) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return the times of each arm, and the milliseconds of processor that a message took."""
    pairs = {arm: await _pair(server) for arm, server in servers.items()}
    times: dict[str, list[float]] = {arm: [] for arm in servers}
    pace = random.Random(1)
    used_s: dict[str, float] = {}
    for number in range(MESSAGES + WARM_UP):
        if number == WARM_UP:
            used_s = {arm: processor_s(server.pid) for arm, server in servers.items()}
        for arm, (one, other) in pairs.items():
            # Each answers the other, as people do: nobody is limited.
            sender, recipient = (one, other) if number % 2 else (other, one)
            arrived = asyncio.get_event_loop().create_future()
            recipient.add_event_handler(
                "message",
                lambda _m, done=arrived: done.done() or done.set_result(None),
                disposable=True,
            )
            began = time.perf_counter()
            sender.say(recipient.boundjid.bare, "x" * (20 + number % 90))
            await asyncio.wait_for(arrived, 20)
            if number >= WARM_UP:
                times[arm].append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(pace.uniform(*PACE_S) / len(servers))
    used_ms = {
        arm: (processor_s(server.pid) - used_s[arm]) * 1000 / MESSAGES
        for arm, server in servers.items()
    }
    for pair in pairs.values():
        for account in pair:
            await account.offline()
    return times, used_ms


def _line(values: list[float]) -> str:
    ordered = sorted(values)
    quarter = len(ordered) // 4
    return (
        f"p50 {statistics.median(ordered):6.2f}  quartiles {ordered[quarter]:.2f} to "
        f"{ordered[-quarter]:.2f}  p99 {percentile(ordered, 0.99):6.2f}"
    )


def measure(name: str) -> None:
    """Measure one server, and print what was found."""
    serve = SERVERS[name]
    quoted = '"{}"'.format if name == "prosody" else str
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as stack:
        service = stack.enter_context(wavebreak(Path(home) / "wavebreak"))
        servers = {}
        for arm, ask in ARMS.items():
            more = {"ask": quoted(ask)} if ask else {}
            servers[arm] = stack.enter_context(
                serve(
                    Path(home) / arm,
                    service.url,
                    key=service.adapter_key("xmpp"),
                    module=bool(ask),
                    more=more,
                )
            )
        times, used_ms = asyncio.run(_drive(servers))
        print(f"{name}: {MESSAGES} messages an arm, in turn; ms from sender to recipient")
        for arm, values in times.items():
            added = median_of_pairs(values, times["none"])
            used = f"processor {used_ms[arm]:5.2f}"
            print(f"  {arm:7} {_line(values)}  median of pairs {added:+.2f}  {used}")
        print(f"  load {os.getloadavg()[0]:.1f} at the end")
        for arm, server in servers.items():
            for found in re.findall(r"Time, .*", server.status() if ARMS[arm] else ""):
                print(f"  {arm:7} in the hook: {found}")


def measure_spammer(name: str, gap_s: float) -> None:
    """Count how many strangers a patient spammer reaches on one server, and print it."""
    serve = SERVERS[name]
    with tempfile.TemporaryDirectory() as home, wavebreak(Path(home) / "wavebreak") as service:
        key = service.adapter_key("xmpp")
        # So long a wait that this machine's speed decides nothing.
        more = {"timeout": {"prosody": "10", "ejabberd": "10000"}[name]}
        with serve(Path(home) / name, service.url, key=key, more=more) as server:
            server.add_users(STRANGERS)
            reached, tried = asyncio.run(patient_spam(server, gap_s, len(STRANGERS)))
            outcome = service.outcome(f"spammer@{HOST}")
            print(f"{name}: gap {gap_s:g} s, reached {reached} of {tried} tried, then {outcome}")


def main() -> None:
    """Print the machine, then what is asked for of each server."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("servers", nargs="*", default=["prosody", "ejabberd"])
    parser.add_argument("--spammer-gap", type=float, metavar="SECONDS")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    load = os.getloadavg()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load[0]:.1f}, "
        f"Python {platform.python_version()}"
    )
    for name in asked.servers:
        if asked.spammer_gap is None:
            measure(name)
        else:
            measure_spammer(name, asked.spammer_gap)


if __name__ == "__main__":
    main()
