"""Count what a model decides about 300 honest accounts of a homeserver that opened minutes ago.

    PYTHONPATH=tests python integrations/synapse/measure_honest.py [--model shipped|none]
        [--people 300]

All are new, none has a number, and each opens three chats that are answered: on a real Synapse with
a real Wavebreak that enforces.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE / "tests"), str(ROOT / "tests"), str(ROOT / "clients/python/src")]

from synapse_support.honest_people import HONEST, outcomes_of_honest_people  # noqa: E402

SHIPPED = ROOT / "packages/engine/src/wavebreak/policy/model"


def main() -> None:
    """Measure, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=("shipped", "none"), default="shipped")
    parser.add_argument("--people", type=int, default=HONEST)
    chosen = parser.parse_args()
    options = ("--model", str(SHIPPED)) if chosen.model == "shipped" else ()
    with tempfile.TemporaryDirectory() as directory:
        print(directory, file=sys.stderr, flush=True)
        found = outcomes_of_honest_people(Path(directory), *options, people=chosen.people)
    print(f"model {chosen.model}, {chosen.people} people: {found} (load {os.getloadavg()[0]:.0f})")


if __name__ == "__main__":
    main()
