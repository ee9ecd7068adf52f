"""Measure what becomes of honest accounts on a real Synapse with a real Wavebreak that enforces.

    PYTHONPATH=tests:. python integrations/synapse/measure_honest.py [--people 300]
    PYTHONPATH=tests:. python integrations/synapse/measure_honest.py --groups [--only WORD]

The first counts what is decided about 300 accounts of a homeserver that opened minutes ago:
all are new, none has a number, and each opens three chats that are answered. The second prints a
table of groups of people who invite many, alone and while fifteen fresh accounts attack: how many
are limited, and how many of their invitations arrive at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [
    str(HERE / "tests"), str(ROOT / "tests"), str(ROOT), str(ROOT / "clients/python/src")
]  # fmt: skip

from synapse_support.honest_groups import GROUPS, result_of  # noqa: E402
from synapse_support.honest_people import HONEST, outcomes_of_honest_people  # noqa: E402


def print_groups(home: Path, only: str) -> None:
    """Print the table of groups, a line each as it is measured."""
    print(
        "| who | server | people | limited | invited | arrived at once | attackers reached |"
        " unanswered questions |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for number, (name, group) in enumerate(GROUPS.items()):
        for attacked in (False, True):
            if only not in name:
                continue
            place = home / f"{number}{attacked}"
            found = result_of(place, group, attacked=attacked)
            reached = "–" if found.attacked is None else "{} of {}".format(*found.attacked)
            print(
                f"| {name} | {'attacked' if attacked else 'clean'} | {found.people} |"
                f" {found.limited} | {found.wanted} | {found.delivered} | {reached} |"
                f" {found.unanswered} |",
                flush=True,
            )


def main() -> None:
    """Measure, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=HONEST)
    parser.add_argument("--groups", action="store_true")
    parser.add_argument("--only", default="", help="groups whose name has this word")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        print(directory, file=sys.stderr, flush=True)
        if chosen.groups:
            print_groups(Path(directory), chosen.only)
            return
        found = outcomes_of_honest_people(Path(directory), people=chosen.people)
    print(f"{chosen.people} people: {found} (load {os.getloadavg()[0]:.0f})")


if __name__ == "__main__":
    main()
