"""Declare accounts of a world: a copy of it in which an administrator gave families a lane.

    python -m experiments.worlds.declared WORLD COPY FAMILY=LANE... [--every LANE]

Each account of a family is declared right before its first event. With `--every` all abusive
accounts are declared as well: the worst that buying declared accounts can be. What that changes is
measured with `experiments.worlds.headline`.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from pathlib import Path

from wavebreak.schema.events import LANES


def declare(world: Path, copy: Path, lanes: dict[str, str], every: str = "") -> int:
    """Write the copy of a world, and return how many accounts are declared in it.

    Args:
        world: A directory with events.jsonl and labels.csv.
        copy: The directory to write.
        lanes: The lane of each family.
        every: The lane of all abusive accounts (empty: of none).
    """
    copy.mkdir(parents=True, exist_ok=True)
    shutil.copy(world / "labels.csv", copy / "labels.csv")
    with (world / "labels.csv").open(encoding="utf-8", newline="") as file:
        given = {
            row["account"]: lane
            for row in csv.DictReader(file)
            if (lane := every if every and row["label"] == "abusive" else lanes.get(row["family"]))
        }
    waiting = dict(given)
    with (
        (world / "events.jsonl").open(encoding="utf-8") as events,
        (copy / "events.jsonl").open("w", encoding="utf-8") as out,
    ):
        for line in events:
            event = json.loads(line)
            if lane := waiting.pop(event.get("account"), None):
                out.write(json.dumps(_declared(event, lane)) + "\n")
            out.write(line)
    return len(given) - len(waiting)


def _declared(event: dict[str, object], lane: str) -> dict[str, object]:
    named = {"id": f"declared-{event['account']}", "ts": event["ts"], "type": "account.declared"}
    return named | {"account": event["account"], "lane": lane}


def main() -> None:
    """Run the command."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("world", type=Path)
    asked.add_argument("copy", type=Path)
    asked.add_argument("lanes", nargs="*", metavar="FAMILY=LANE")
    asked.add_argument("--every", choices=LANES[1:], default="")
    chosen = asked.parse_args()
    lanes = dict(each.split("=", 1) for each in chosen.lanes)
    print(declare(chosen.world, chosen.copy, lanes, chosen.every), "accounts are declared")


if __name__ == "__main__":
    main()
