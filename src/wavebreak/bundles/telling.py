"""The sections of a report that are told from the case alone: parties, evidence, determinations."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from wavebreak.bundles.blocks import (
    Block,
    bullets,
    heading,
    note,
    plain,
    section,
    span,
    table,
    text,
    when,
)
from wavebreak.cases.case import Case, Prepared
from wavebreak.cases.notices import Notice
from wavebreak.cases.parties import Party
from wavebreak.cases.steps import Did

_RULES = (
    "R1: evidence on the platform that is linked to the party, whenever the conduct was. R2: from "
    "a public notice on, evidence from outside the platform alone; R3: then only where the conduct "
    "continued at or after the notice's boundary, or the party is linked to conduct on the "
    "platform that began before it."
)
_TINTS = {"eligible": "#ffebe9", "undetermined": "#fff8c5", "not_eligible": "#dafbe1"}


def parties(case: Case) -> Block:
    """Who the case is about, what ties them together, and accounts to them."""
    return section("Parties", [
        table(["id", "kind", "name and aliases", "domains, sites, apps, numbers"],
              [_party(case, party) for party in case.parties.values()], [0, 0, 1, 1]),
        heading("How they hang together"),
        table(["party", "is", "of", "strength", "exhibit"],
              [(r.party, r.kind, r.other, r.strength, r.exhibit) for r in case.relations],
              [1, 1, 1, 1, 1], none="No ties between parties are claimed."),
        heading("Accounts tied to them"),
        table(["party", "account (pseudonym of this case)", "by", "strength", "exhibit"],
              [(k.party, k.account, plain(k.basis), k.strength, k.exhibit) for k in case.links],
              [0, 2, 1.2, 0, 0], none="No account is tied to a party."),
    ])  # fmt: skip


def _party(case: Case, party: Party) -> tuple[str, ...]:
    names = party.name
    if party.aliases:
        names += f"\nalso: {', '.join(party.aliases)}"
    if party.same_as:
        names += f"\nmerged into {case.root(party.id)} by a person"
    where = [*party.domains, *party.sites, *party.apps, *party.numbers]
    return party.id, party.kind, names, "\n".join(where) or "—"


def evidence(case: Case) -> Block:
    """What the exhibits show of the parties' conduct."""
    rows = [
        (e.id, e.exhibit, e.party, f"{plain(e.kind)}, {e.conduct}",
         f"began: {span(e.began)}\nlasted until: {span(e.lasted)}",
         f"{plain(e.basis)}, {e.strength}", f"{e.confirmed}{f' ({e.by})' if e.by else ''}")
        for e in case.evidence.values()
    ]  # fmt: skip
    head = ["id", "exhibit", "party", "seen, conduct", "dates (UTC)", "tied by", "confirmed"]
    return section("Evidence of conduct", [
        note("An interval is what a date may mean; an open end is not known. What nobody has "
             "confirmed weighs as not known."),
        table(head, rows, [0, 0, 0, 1, 2.2, 1, 1], none="No evidence was drawn yet."),
    ])  # fmt: skip


def determinations(case: Case) -> Block:
    """Each determination with its grounds, what was left out and why, what would change it."""
    blocks: list[Block] = []
    for made in case.determinations.values():
        blocks += _determination(case, made)
    return section("Determination", [note(_RULES), *blocks] if blocks else [note("None yet.")])


def _determination(case: Case, made: Prepared) -> Iterator[Block]:
    value = made.value
    party = case.parties[value.party]
    yield heading(f"{made.id}: {party.name} ({party.id})")
    signed = f"Signed by {made.signed_by}, {value.signs}, on {when(made.signed_at)} UTC."
    yield {
        "kind": "verdict", "text": plain(value.result).capitalize(), "tint": _TINTS[value.result],
        "lines": [
            f"As of {when(value.as_of)} UTC, under {value.policy}.",
            f"Prepared by {made.by} on {when(made.at)} UTC.",
            signed if made.signed_by else f"Not signed. A person with the role {value.signs}, "
            "who did not prepare it, may sign.",
        ],
    }  # fmt: skip
    yield text(value.advice)
    yield table(["rule", "public notice", "rests on evidence"],
                [(g.rule, g.notice or "none needed", ", ".join(g.evidence)) for g in value.grounds],
                [1, 1, 1], none="No rule holds.")  # fmt: skip
    if value.exhibits:
        yield text(f"Exhibits relied on: {', '.join(value.exhibits)}.")
    if value.needs:
        yield bullets(f"Needs to be known: {need}." for need in value.needs)
    yield table(["evidence", "exhibit", "disregarded because"],
                [(d.evidence, d.exhibit, d.why) for d in value.disregarded], [0, 0, 1],
                none="Nothing was disregarded.")  # fmt: skip
    yield table(["supposing this alone", "it would be"],
                [(c.supposing, plain(c.result)) for c in value.changes], [3, 1],
                none="Nothing supposed alone would change it.")  # fmt: skip
    yield note(value.beside)
    yield table(["account", "technical enforcement, beside", "until (UTC)"],
                [(e.account, e.outcome, when(e.until)) for e in value.enforcement], [2, 1, 1],
                none="No account of the party is known to be acted on.")  # fmt: skip


def notices(case: Case) -> Block:
    """Notices as they were sent, with proof of delivery and answers."""
    blocks: list[Block] = []
    for notice in case.notices.values():
        blocks += _notice(case, notice)
    return section("Notices", blocks or [note("None was sent.")])


def _notice(case: Case, notice: Notice) -> Iterator[Block]:
    party = case.parties[notice.party]
    yield heading(f"{notice.id}: {party.name} ({party.id})")
    yield text(f"Sent {when(notice.sent)} UTC; to be answered by {when(notice.deadline)} UTC.")
    yield {"kind": "letter", "language": notice.language, "subject": notice.subject,
           "paragraphs": list(notice.paragraphs)}  # fmt: skip
    arrived = [
        ("arrived", when(d.at), d.how, d.exhibit)
        for d in case.deliveries
        if d.notice == notice.id
    ]  # fmt: skip
    answers = [
        ("answered", when(r.at), r.about, r.exhibit) for r in case.replies if r.notice == notice.id
    ]
    yield table(["what", "when (UTC)", "how, or what it says", "exhibit"], arrived + answers,
                [0, 1, 2, 0], none="No proof of delivery, and no answer.")  # fmt: skip


def chronology(case: Case) -> Block:
    """Every step of the case, in order."""
    rows = [
        (s.n, when(s.at), f"{s.by} ({s.role})", did(s.did) + (f" — {s.why}" if s.why else ""))
        for s in case.steps
    ]
    return section("Chronology of the case", [
        table(["step", "when (UTC)", "by", "what"], rows, [0, 0, 1.4, 4], right=[True]),
    ])  # fmt: skip


_ABOUT = {
    "opened": "title", "named": "party.name", "related": "relation.party",
    "merged": "drop", "linked": "link.account", "exhibited": "exhibit.id",
    "found": "evidence.id", "confirmed": "evidence", "sent": "notice.id",
    "delivered": "delivery.notice", "replied": "reply.notice", "determined": "id",
    "signed": "determination", "tasked": "task.what", "finished": "task", "advanced": "to",
}  # fmt: skip
_DONE = {
    "opened": "case opened", "named": "party named", "related": "tie between parties",
    "merged": "parties merged by a person", "linked": "account tied", "exhibited": "exhibit taken",
    "found": "evidence drawn", "confirmed": "evidence judged by a person", "sent": "notice sent",
    "delivered": "notice arrived", "replied": "notice answered",
    "determined": "determination prepared", "signed": "determination signed", "tasked": "task",
    "finished": "task done", "advanced": "case now",
}  # fmt: skip


def did(what: Did) -> str:
    """A step in a few words.

    >>> from wavebreak.cases.steps import Advanced
    >>> did(Advanced("noticed"))
    'case now: noticed'
    """
    tag = str(type(what).__struct_config__.tag)
    value = msgspec.to_builtins(what)
    for name in _ABOUT[tag].split("."):
        value = value[name]
    shows = getattr(what, "shows", None)
    judged = "" if shows is None else " shows it" if shows else " does not show it"
    return f"{_DONE[tag]}: {value}{judged}"
