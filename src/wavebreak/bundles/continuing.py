"""After a notice: what a later run shows of accounts that are tied to the party it went to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wavebreak.bundles import working
from wavebreak.bundles.keeping import Desk
from wavebreak.bundles.pseudonyms import case_key, renaming
from wavebreak.bundles.rerunning import Given, decisions_in
from wavebreak.cases.parties import Evidence
from wavebreak.cases.watching import noticed
from wavebreak.claims.exhibits import Actor

QUIET = ("allow", "observe")


def continued(
    desk: Desk, run: Path, given: Given, key: bytes, actor: Actor, role: str
) -> list[str]:  # fmt: skip
    """Take in, as evidence, what a run shows of accounts of noticed parties; the evidence's ids.

    An account counts that is tied to the party and was acted on after the notice arrived, and later
    than any evidence from the platform that is there: the same run twice adds nothing. The case
    reopens by itself; that it is the party's conduct a person still has to confirm.
    """
    rename = renaming(case_key(key, desk.case.id))
    last = {d.account: d.ts for d in decisions_in(run) if d.outcome not in QUIET}
    hidden = {rename("a", account): account for account in last}
    made = []
    for party, since in noticed(desk.case).items():
        tied = {link.account for link in desk.case.links if desk.case.root(link.party) == party}
        accounts = [hidden[name] for name in sorted(tied & hidden.keys())]
        accounts = [account for account in accounts if last[account] > since]
        if accounts:
            made.append(_taken(desk, run, party, accounts, given, key, actor, role))
    return made


def _taken(
    desk: Desk, run: Path, party: str, accounts: list[str], given: Given, key: bytes,
    actor: Actor, role: str,
) -> str:  # fmt: skip
    exhibit, about = working.take_run(desk, run, accounts, given, key, actor, role)
    ties: Any = working.tie(desk, party, about.accounts)
    name, dates = desk.case.fresh("V"), working.dates_of(desk, exhibit)
    told: Any = (name, party, exhibit.id, "on_platform", "engaged", *dates, *ties)
    working.found(desk, Evidence(*told), by=actor.who, role=role, why=actor.why)
    return name
