"""What people do at a desk, from words they type: notices, determinations, what to show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from wavebreak.bundles import rerunning
from wavebreak.bundles.keeping import Desk
from wavebreak.cases.case import evidence_on
from wavebreak.cases.dates import shown
from wavebreak.cases.determining import Determination, Enforced, determine
from wavebreak.cases.grounds import load
from wavebreak.cases.notices import DAY_MS, Language, Notice, load_letters, written
from wavebreak.cases.steps import Determined
from wavebreak.decision import Decision
from wavebreak.errors import CaseError


def notice(
    desk: Desk, party: str, template: str, language: Language, *, operator: str, contact: str,
    days: int | None, policy: Path | None, about: str = "",
) -> Notice:  # fmt: skip
    """Write a notice to a party from a template; nothing is sent yet. `about` is a notice's id."""
    letters, case = load_letters(policy), desk.case
    if party not in case.parties:
        raise CaseError(f"there is no party {party[:40]}", fix="see `wavebreak case show`")
    now = max(desk.clock(), case.steps[-1].at)
    deadline = now + (days or letters.answer_days) * DAY_MS
    bearing = [e for e in evidence_on(case, party) if e.confirmed != "no"]
    did = dict.fromkeys(e.conduct for e in bearing if e.conduct in ("engaged", "assisted"))
    facts = {
        "party": case.parties[party].name, "operator": operator, "contact": contact,
        "case": case.id, "deadline": shown(deadline)[:10], "notice": about,
        "conduct": "; ".join(letters.conduct[language][c] for c in did),
        "exhibits": ", ".join(dict.fromkeys(e.exhibit for e in bearing)),
    }  # fmt: skip
    given = {name: value for name, value in facts.items() if value}
    subject, paragraphs = written(letters, template, language, given)
    return Notice(
        case.fresh("N"), party, template, language, subject, paragraphs, now, deadline
    )  # fmt: skip


def enforcement(desk: Desk, party: str) -> tuple[Enforced, ...]:
    """What technical enforcement last said of a party's accounts, as far as exhibits hold it."""
    root = desk.case.root(party)
    own = {link.account for link in desk.case.links if desk.case.root(link.party) == root}
    last: dict[str, Decision] = {}
    for exhibit in desk.case.exhibits.values():
        if exhibit.kind == "platform_run":
            for made in _relied(desk.path / exhibit.path):
                if made.account in own:
                    last[made.account] = made
    return tuple(Enforced(name, made.outcome, made.until) for name, made in last.items())


def _relied(place: Path) -> Iterator[Decision]:
    raw = (place / rerunning.ABOUT).read_bytes()
    about = msgspec.json.decode(raw, type=rerunning.Rerun)
    with (place / rerunning.DECISIONS).open("rb") as lines:
        for _, line in zip(range(about.as_run), lines, strict=False):
            yield msgspec.json.decode(line, type=Decision)


def prepare(
    desk: Desk, party: str, as_of: int | None, policy: Path | None, *, by: str, role: str
) -> tuple[str, Determination]:
    """Prepare a determination on a party as of an instant (None: now); gives its number too."""
    if party not in desk.case.parties:
        raise CaseError(f"there is no party {party[:40]}", fix="see `wavebreak case show`")
    party = desk.case.root(party)
    grounds, name = load(policy), desk.case.fresh("D")
    at = desk.clock() if as_of is None else as_of
    made = determine(party, evidence_on(desk.case, party), grounds, at, enforcement(desk, party))
    desk.keep_grounds(grounds)
    desk.take(Determined(name, made), by=by, role=role)
    return name, made
