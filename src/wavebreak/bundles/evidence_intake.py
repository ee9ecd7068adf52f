"""What a desk takes in: exhibits from claims, files and runs, and the evidence drawn from them.

What people do at a desk, from words they type: notices, determinations, what to show.

After a notice: what a later run shows of accounts that are tied to the party it went to.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from wavebreak.bundles import reproduction
from wavebreak.bundles.pseudonyms import case_key, renaming
from wavebreak.bundles.reproduction import Given, Rerun, decisions_in, take
from wavebreak.bundles.workspace import Desk, sums
from wavebreak.cases.case import Case, Determined, Exhibit, Exhibited, Found, Linked, evidence_on
from wavebreak.cases.date_ranges import Span, instant, shown
from wavebreak.cases.determination import Determination, Enforced, determine
from wavebreak.cases.eligibility import load
from wavebreak.cases.notices import DAY_MS, Language, Notice, load_letters, written
from wavebreak.cases.parties import STRENGTHS, Basis, Evidence, Link, Strength
from wavebreak.cases.post_notice_monitoring import WATCHER, noticed, watch
from wavebreak.claims import exhibits
from wavebreak.claims import exhibits as claims
from wavebreak.claims.exhibits import Actor
from wavebreak.engine.decision import Decision
from wavebreak.errors import CaseError

FileKind = Literal["delivery", "reply", "document"]
_KINDS = {
    "capture": "claim", "upload": "document", "test_purchase": "test_purchase",
    "partner_notice": "partner_notice",
}  # fmt: skip
MAX_FILE = 256 << 20


@contextmanager
def _place(desk: Desk) -> Iterator[tuple[str, Path]]:
    """A new exhibit's number and directory, which is taken away again where anything fails."""
    name, place = desk.fresh_exhibit()
    if place.exists():
        shutil.rmtree(place)
    place.parent.mkdir(exist_ok=True)
    try:
        yield name, place
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def take_claim(
    desk: Desk, source: Path, actor: claims.Actor, role: str, *, title: str = "", kind: str = ""
) -> Exhibit:
    """Take in a directory of `wavebreak claim`: checked, copied, its custody continued."""
    if wrong := claims.doubts(source):
        raise CaseError(f"{source}: {wrong[0]}", fix="take it again; keep what is there as it is")
    about = claims.load(source)
    with _place(desk) as (name, place):
        shutil.copytree(source, place)
        what = f"copied into case {desk.case.id} as exhibit {name}"
        claims.touch(place, actor, shown(desk.clock()), what)
        return _exhibited(
            desk, place, name, kind or _KINDS[about.kind], title or about.source or about.kind,
            instant(about.captured_at), actor, role,
        )  # fmt: skip


def take_file(
    desk: Desk, source: Path, actor: claims.Actor, role: str, *, title: str = "",
    kind: str = "",
) -> Exhibit:  # fmt: skip
    """Take in a file as it is: a proof of delivery, an answer, a document."""
    if not source.is_file() or source.stat().st_size > MAX_FILE:
        raise CaseError(f"{source} is no file of at most {MAX_FILE:,} bytes", fix="give a file")
    now = desk.clock()
    with _place(desk) as (name, place):
        exhibits.take_in(source.read_bytes(), place, actor, shown(now), source=title or source.name)
        kind = kind or "document"
        return _exhibited(desk, place, name, kind, title or source.name, now, actor, role)


def take_run(
    desk: Desk, run: Path, accounts: Sequence[str], given: Given, key: bytes,
    actor: claims.Actor, role: str, *, title: str = "",
) -> tuple[Exhibit, Rerun]:  # fmt: skip
    """Take from a run what decides again on accounts, under the case's pseudonyms."""
    now = desk.clock()
    with _place(desk) as (name, place):
        about = take(run, accounts, given, renaming(case_key(key, desk.case.id)), place)
        timelines = reproduction.of_exhibit(place, about.accounts)
        numbers = {account: reproduction.counted(found) for account, found in timelines.items()}
        content = msgspec.json.format(msgspec.json.encode(numbers), indent=1)
        (place / reproduction.NUMBERS).write_bytes(content + b"\n")
        touched = claims.Touch(
            shown(now), "taken from a run", actor.who, actor.where, actor.why, actor.authority,
            "accounts, groups, ids, numbers, addresses and devices have the case's pseudonyms; "
            "the log ends with the last decision relied on", name, "0" * 64,
        )  # fmt: skip
        (place / claims.CUSTODY).write_bytes(msgspec.json.encode(touched, order="sorted") + b"\n")
        kind, words = "platform_run", title or f"run of {about.events:,} events"
        return _exhibited(desk, place, name, kind, words, now, actor, role), about


def _exhibited(
    desk: Desk, place: Path, name: str, kind: str, title: str, captured: int,
    actor: claims.Actor, role: str,
) -> Exhibit:  # fmt: skip
    exhibit = msgspec.convert(
        {"id": name, "kind": kind, "title": title[:300], "captured": captured,
         "path": place.relative_to(desk.path).as_posix(), "sha256": sums(place)},
        Exhibit,
    )  # fmt: skip
    desk.take(Exhibited(exhibit), by=actor.who, role=role, why=actor.why)
    return exhibit


def found(desk: Desk, evidence: Evidence, *, by: str, role: str, why: str = "") -> Case:
    """Add evidence; where it shows conduct after a notice, the case reopens by itself."""
    desk.take(Found(evidence), by=by, role=role, why=why)
    for did, reason in watch(desk.case, evidence):
        desk.take(did, by=WATCHER, role=WATCHER, why=reason)
    return desk.case


def dates_of(desk: Desk, exhibit: Exhibit) -> tuple[Span, Span]:
    """When the conduct was that an exhibit shows by itself: began by, and lasted until.

    A captured page stood there at the capture; a run has the accounts' own first and last acts.
    """
    place = desk.path / exhibit.path
    if exhibit.kind == "platform_run":
        raw = (place / reproduction.NUMBERS).read_bytes()
        numbers = msgspec.json.decode(raw, type=dict[str, reproduction.Conduct]).values()
        firsts = [n.first for n in numbers if n.first is not None]
        lasts = [n.last for n in numbers if n.last is not None]
        if not firsts or not lasts:
            raise CaseError(f"the accounts in {exhibit.id} did nothing", fix="give other accounts")
        first, last = min(firsts), max(lasts)
        return Span(first, first, shown(first)), Span(last, last, shown(last))
    at = exhibit.captured
    return Span(None, at, f"by {shown(at)}"), Span(at, at, shown(at))


def tie(desk: Desk, party: str, accounts: Sequence[str]) -> tuple[Basis, Strength] | None:
    """The strongest tie of accounts, by pseudonym, to a party; for several, the weakest of them."""
    best = []
    for account in accounts:
        links = [
            link
            for link in desk.case.links
            if link.account == account and desk.case.root(link.party) == desk.case.root(party)
        ]
        known = [link for link in links if link.strength is not Strength.UNKNOWN] or links
        if not known:
            return None
        best.append(max(known, key=_rank))
    weakest = min(best, key=_rank)
    return weakest.basis, weakest.strength


def _rank(link: Link) -> int:
    known = link.strength is not Strength.UNKNOWN
    return STRENGTHS.index(link.strength) if known else -1


def linked(
    desk: Desk, party: str, accounts: Sequence[str], basis: Basis, strength: Strength,
    exhibit: str, *, by: str, role: str,
) -> None:  # fmt: skip
    """Tie accounts, by pseudonym, to a party."""
    for account in accounts:
        made = Link(party, account, basis, strength, exhibit)
        desk.take(Linked(made), by=by, role=role)


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
    raw = (place / reproduction.ABOUT).read_bytes()
    about = msgspec.json.decode(raw, type=reproduction.Rerun)
    with (place / reproduction.DECISIONS).open("rb") as lines:
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
    exhibit, about = take_run(desk, run, accounts, given, key, actor, role)
    ties: Any = tie(desk, party, about.accounts)
    name, dates = desk.case.fresh("V"), dates_of(desk, exhibit)
    told: Any = (name, party, exhibit.id, "on_platform", "engaged", *dates, *ties)
    found(desk, Evidence(*told), by=actor.who, role=role, why=actor.why)
    return name
