"""What a desk takes in: exhibits from claims, files and runs, and the evidence drawn from them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from wavebreak.bundles import conduct
from wavebreak.bundles.keeping import Desk, sums
from wavebreak.bundles.pseudonyms import case_key, renaming
from wavebreak.bundles.rerunning import Given, Rerun, take
from wavebreak.cases.case import Case
from wavebreak.cases.dates import Span, instant, shown
from wavebreak.cases.parties import STRENGTHS, Basis, Evidence, Link, Strength
from wavebreak.cases.steps import Exhibit, Exhibited, Found, Linked
from wavebreak.cases.watching import WATCHER, watch
from wavebreak.claims import exhibits as claims
from wavebreak.claims import taking
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
        taking.take_in(source.read_bytes(), place, actor, shown(now), source=title or source.name)
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
        timelines = conduct.of_exhibit(place, about.accounts)
        numbers = {account: conduct.counted(found) for account, found in timelines.items()}
        content = msgspec.json.format(msgspec.json.encode(numbers), indent=1)
        (place / conduct.NUMBERS).write_bytes(content + b"\n")
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
        raw = (place / conduct.NUMBERS).read_bytes()
        numbers = msgspec.json.decode(raw, type=dict[str, conduct.Conduct]).values()
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
