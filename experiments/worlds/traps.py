"""What traps add in a world, by where senders have their numbers from.

    python -m experiments.worlds.traps WORLD... [--share .01] [--seed 1] [--json FILE]

A static world does not say which numbers are unassigned. So a part of first contacts goes to a
trap in place of the person: that pair's answers and complaints are left out, and its recipient is
renamed. How often is an assumption (`HITS`): so many of the numbers that a sender has are nobody's,
and of these `--share` are traps. All abusive senders of a row have their numbers from one source;
honest people mistype one number in a hundred, and half of the mistyped ones are nobody's. Each row
is replayed twice over the same events (`experiments.worlds.headline`): unmarked, and marked.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from experiments.worlds.headline import Headline, World, load_world, measure, replayed
from experiments.worlds.replay import options_of, write_results
from wavebreak.rules import load_policy
from wavebreak.schema.events import TYPES

MISTYPED = 0.005
"""Share of nobody's numbers among those that honest people write to first."""
HITS: Mapping[str, float] = {
    "number ranges": 0.5,
    "bought list": 0.1,
    "scraped list": 0.02,
    "own address book": 0.0,
}
"""Share of nobody's numbers among a sender's, by where it has them from."""
RULE = "limit recipients_gone"
_FIRST = {TYPES.index(t) for t in ("message.sent", "contact.requested", "call.started")}
_CHATS = {*_FIRST, TYPES.index("contact.accepted")}


@dataclass
class Row:
    """Two replays of the same events: without marks of traps, and with them."""

    source: str
    share: float
    trap_contacts: tuple[int, int]
    without: Headline
    marked: Headline


def with_traps(world: World, source: str, share: float, seed: int) -> tuple[World, tuple[int, int]]:
    """Return a world in which some first contacts go to traps; how many honest and abusive ones.

    Args:
        world: The world.
        source: Where abusive senders have their numbers from.
        share: Share of traps among nobody's numbers.
        seed: The generator's seed.
    """
    draws = np.random.default_rng(seed)
    rates = {False: MISTYPED * share, True: HITS[source] * share}
    columns = (world.log.column(name).to_pylist() for name in ("type", "account", "peer"))
    trapped = dict[tuple[str, str], str]()
    met, counts = set[tuple[str, str]](), [0, 0]
    peers, keep, marks = list[str | None](), list[bool](), list[bool | None]()
    for kind, account, peer in zip(*columns, strict=True):
        pair = (account, peer)
        back = (peer, account)
        if kind in _FIRST and peer is not None and pair not in met and back not in met:
            abusive = world.labels.get(account, ("benign",))[0] != "benign"
            if draws.random() < rates[abusive]:
                counts[abusive] += 1
                trapped[pair] = f"trap-{len(trapped)}"
        if kind in _CHATS:
            met.add(pair)
        trap = trapped.get(pair)
        peers.append(trap or peer)
        marks.append(True if trap else None)
        keep.append(back not in trapped)
    log = world.log.set_column(
        world.log.schema.get_field_index("peer"), "peer", pa.array(peers, pa.string())
    )
    log = log.set_column(log.schema.get_field_index("trap"), "trap", pa.array(marks, pa.bool_()))
    return replace(world, log=log.filter(pa.array(keep))), (counts[0], counts[1])


def measure_row(world: World, source: str, share: float, seed: int, progress: Progress) -> Row:
    """Replay a world whose abusive senders have their numbers from one source, twice."""
    marked, counts = with_traps(world, source, share, seed)
    index = marked.log.schema.get_field_index("trap")
    unmarked = marked.log.set_column(index, "trap", pa.nulls(marked.log.num_rows, pa.bool_()))
    policy = load_policy()

    def headline(of: World, title: str) -> Headline:
        options: dict[str, Any] = {"enforce": True, "progress": progress, "title": title}
        return measure(replayed(of, policy, "none", **options), of)

    without = headline(replace(marked, log=unmarked), f"{source}, unmarked")
    return Row(source, share, counts, without, headline(marked, f"{source}, marked"))


def show(rows: list[Row], console: Console) -> None:
    """Print a table of rows; each cell is without marks, then with them."""
    table = Table(title=rows[0].marked.world)
    table.add_column("numbers from")
    for name in ("contacts to traps", "honest refused %", "honest limited", "stopped %",
                 "families equal %", "abusive limited by the rule"):  # fmt: skip
        table.add_column(name, justify="right")
    for row in rows:
        pairs = [
            (f"{h.percent_honest(h.refused):.2f}", str(h.rules.get(RULE, (0, 0))[0]),
             f"{h.percent_stopped:.1f}", f"{100 * h.families_equal:.1f}",
             str(h.rules.get(RULE, (0, 0))[1]))
            for h in (row.without, row.marked)
        ]  # fmt: skip
        cells = [f"{before} → {after}" for before, after in zip(*pairs, strict=True)]
        honest, abusive = row.trap_contacts
        table.add_row(f"{row.source}, {row.share:g}", f"{honest}; {abusive}", *cells)
    console.print(table)


def main(arguments: list[str] | None = None) -> int:
    """Measure the worlds that are named."""
    parser = options_of("traps", __doc__, model=False)
    parser.add_argument("--share", type=float, default=0.01, help="traps among nobody's numbers")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    results = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for directory in chosen.world:
            world = load_world(directory)
            rows = [measure_row(world, s, chosen.share, chosen.seed, progress) for s in HITS]
            show(rows, Console(width=130))
            results += rows
    write_results(chosen.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
