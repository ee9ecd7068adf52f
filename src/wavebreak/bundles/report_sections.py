"""Sections of the case report, and the tables of a case for a terminal.

A section is a list of blocks, plain values that `report.typ` typesets: parties, evidence,
determinations, notices, chronology, and what captured pages claim. For a terminal, a case and a
determination are returned as tables and lines; nothing is read as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UnsetType

from wavebreak import claims
from wavebreak.cases.case import Action, Case, PreparedDetermination
from wavebreak.cases.date_ranges import DateRange, format_instant
from wavebreak.cases.determination import Determination
from wavebreak.cases.notices import Delivery, Notice
from wavebreak.cases.parties import DateSource, Evidence, MergeProposal, Party
from wavebreak.cases.post_notice_monitoring import overdue_items
from wavebreak.cases.reasons import LANGUAGES
from wavebreak.errors import ClaimError
from wavebreak.ledger.checkpoints import fingerprint
from wavebreak.ledger.verifier import read_key
from wavebreak.reports.tables import Table

Block = dict[str, Any]


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[Any]],
    widths: Sequence[float],
    *,
    none: str = "None.",
    right: Sequence[bool] = (),
) -> Block:
    """A table; a width of 0 is as wide as its words, others share the rest."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    return {
        "kind": "table",
        "head": list(head),
        "rows": cells,
        "widths": list(widths),
        "none": none,
        "right": list(right),
    }


def text(words: str) -> Block:
    """A paragraph."""
    return {"kind": "text", "text": words}


def note(words: str) -> Block:
    """A paragraph in small print."""
    return {"kind": "note", "text": words}


def heading(words: str) -> Block:
    """A heading within a section."""
    return {"kind": "heading", "text": words}


def bullets(items: Iterable[str], none: str = "None.") -> Block:
    """A list."""
    listed = list(items)
    return {"kind": "list", "items": listed} if listed else note(none)


def code(words: str) -> Block:
    """A command."""
    return {"kind": "code", "text": words}


def section(title: str, blocks: Iterable[Block]) -> Block:
    """A section."""
    return {"title": title, "blocks": list(blocks)}


def format_time(ms: int | None) -> str:
    """An instant to the second, in UTC.

    >>> format_time(0), format_time(None)
    ('1970-01-01 00:00:00', '—')
    """
    return "—" if ms is None else format_instant(ms - ms % 1000)[:-1].replace("T", " ")


def format_range(dates: DateRange) -> str:
    """A date as it was given, and the instants that it may mean.

    >>> format_range(DateRange(0, None, "since 1970"))
    'since 1970 [1970-01-01 00:00:00 to open]'
    """
    ends = [("open" if end is None else format_time(end)) for end in (dates.earliest, dates.latest)]
    if dates.earliest == dates.latest and dates.earliest is not None:
        return ends[0]
    return f"{dates.said} [{ends[0]} to {ends[1]}]"


def to_words(word: str) -> str:
    """A word of the code as people write it.

    >>> to_words("not_eligible")
    'not eligible'
    """
    return word.replace("_", " ")


_REASONS = {"en": "Reasons", "he": "נימוקים"}
_RULES = (
    "R1: evidence on the platform that is linked to the party, whenever the conduct was. R2: from "
    "a public notice on, evidence from outside the platform alone; R3: then only where the conduct "
    "continued at or after the notice's boundary, or the party is linked to conduct on the "
    "platform that began before it."
)
_TINTS = {
    "eligible": "#ffebe9",
    "undetermined": "#fff8c5",
    "not_eligible": "#dafbe1",
    "no_violation": "#dafbe1",
}


def parties(case: Case) -> Block:
    """Who the case is about, what ties them together, and accounts to them."""
    return section(
        "Parties",
        [
            table(
                ["id", "kind", "name and aliases", "domains, sites, apps, numbers"],
                [_party(case, party) for party in case.parties.values()],
                [0, 0, 1, 1],
            ),
            heading("Relationships"),
            table(
                ["party", "is", "of", "strength", "exhibit"],
                [(r.party, r.kind, r.other, r.strength, r.exhibit) for r in case.relations],
                [1, 1, 1, 1, 1],
                none="No relationship between parties is recorded.",
            ),
            heading("Linked accounts"),
            table(
                ["party", "account (pseudonym of this case)", "by", "strength", "exhibit"],
                [
                    (k.party, k.account, to_words(k.basis), k.strength, k.exhibit)
                    for k in case.links
                ],
                [0, 2, 1.2, 0, 0],
                none="No account is linked to a party.",
            ),
        ],
    )


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
        (
            e.id,
            e.exhibit,
            e.party,
            describe_conduct(e),
            f"began: {describe_date(e.began, e.began_source)}\n"
            f"lasted until: {describe_date(e.lasted, e.lasted_source)}",
            f"{to_words(e.basis)}, {e.strength}",
            f"{e.confirmed}{f' ({e.by})' if e.by else ''}",
        )
        for e in case.evidence.values()
    ]
    head = ["id", "exhibit", "party", "seen, conduct", "dates (UTC)", "linked by", "confirmed"]
    return section(
        "Evidence of conduct",
        [
            note(
                "An interval is what a date may mean; an open end is not known. What nobody has "
                "confirmed weighs as not known."
            ),
            table(head, rows, [0, 0, 0, 1, 2.2, 1, 1], none="No evidence yet."),
        ],
    )


def determinations(case: Case) -> Block:
    """Each determination with its grounds, what was left out and why, what would change it."""
    blocks: list[Block] = []
    for prepared in case.determinations.values():
        blocks += _determination(case, prepared)
    return section("Determination", [note(_RULES), *blocks] if blocks else [note("None yet.")])


def _determination(case: Case, prepared: PreparedDetermination) -> Iterator[Block]:
    value = prepared.value
    party = case.parties[value.party]
    yield heading(f"{prepared.id}: {party.name} ({party.id})")
    signed = (
        f"Signed by {prepared.signed_by}, {value.signs}, on {format_time(prepared.signed_at)} UTC, "
        f"{_authentication(prepared.signed_with)}."
    )
    yield {
        "kind": "verdict",
        "text": to_words(value.result).capitalize(),
        "tint": _TINTS[value.result],
        "lines": [
            f"As of {format_time(value.as_of)} UTC, under {value.policy}.",
            f"Prepared by {prepared.by} on {format_time(prepared.at)} UTC.",
            signed
            if prepared.signed_by
            else f"Not signed. A person with the role {value.signs}, "
            "who did not prepare it, may sign.",
        ],
    }
    yield text(value.advice)
    for language in LANGUAGES if value.sentences("en") else ():
        yield {
            "kind": "letter",
            "language": language,
            "subject": _REASONS[language],
            "paragraphs": list(value.sentences(language)),
        }
    yield table(
        ["rule", "public notice", "rests on evidence"],
        [(g.rule, g.notice or "none needed", ", ".join(g.evidence)) for g in value.grounds],
        [1, 1, 1],
        none="No rule holds.",
    )
    if value.exhibits:
        yield text(f"Exhibits relied on: {', '.join(value.exhibits)}.")
    if value.needs:
        yield bullets(f"Needs to be known: {need}." for need in value.needs)
    yield table(
        ["evidence", "exhibit", "disregarded because"],
        [(d.evidence, d.exhibit, d.why) for d in value.disregarded],
        [0, 0, 1],
        none="Nothing was disregarded.",
    )
    yield table(
        ["if only this changed", "the result would be"],
        [(c.supposing, to_words(c.result)) for c in value.changes],
        [3, 1],
        none="No single change would change the result.",
    )
    yield note(value.beside)
    yield table(
        ["account", "technical enforcement (independent)", "until (UTC)"],
        [(e.account, e.outcome, format_time(e.until)) for e in value.enforcement],
        [2, 1, 1],
        none="No enforcement against an account of the party is known.",
    )


def _authentication(signed_with: str) -> str:
    """How a signer was authenticated."""
    if not signed_with:
        return "under a name that nothing authenticates (an earlier version)"
    if signed_with == "console":
        return "signed in to the console"
    return f"with the key {fingerprint(read_key(signed_with))}"


def notices(case: Case) -> Block:
    """Notices as they were sent, with proof of delivery and answers."""
    blocks: list[Block] = []
    for notice in case.notices.values():
        blocks += _notice(case, notice)
    return section("Notices", blocks or [note("None was sent.")])


def _notice(case: Case, notice: Notice) -> Iterator[Block]:
    party = case.parties[notice.party]
    yield heading(f"{notice.id}: {party.name} ({party.id})")
    sent, deadline = format_time(notice.sent), format_time(notice.deadline)
    yield text(f"Sent {sent} UTC; to be answered by {deadline} UTC.")
    yield {
        "kind": "letter",
        "language": notice.language,
        "subject": notice.subject,
        "paragraphs": list(notice.paragraphs),
    }
    arrived = [
        ("arrived", format_time(d.at), _service(d), d.exhibit)
        for d in case.deliveries
        if d.notice == notice.id
    ]
    answers = [
        ("answered", format_time(r.at), r.about, r.exhibit)
        for r in case.replies
        if r.notice == notice.id
    ]
    failed = [
        (
            "not served",
            format_time(a.at),
            f"{a.method}, {a.address}: {a.failure}",
            a.exhibit if isinstance(a.exhibit, str) else "—",
        )
        for a in case.attempts
        if a.notice == notice.id
    ]
    yield table(
        ["what", "when (UTC)", "how, or what it says", "exhibit"],
        sorted(failed + arrived, key=lambda row: row[1]) + answers,
        [0, 1, 2, 0],
        none="No proof of delivery, and no answer.",
    )


def _service(delivery: Delivery) -> str:
    """How a notice arrived, with method and address where they are recorded."""
    given = (delivery.how, delivery.method, delivery.address)
    said = [each for each in given if isinstance(each, str)]
    return said[0] if said[1:] and said[0] == ", ".join(said[1:]) else "; ".join(said)


def chronology(case: Case) -> Block:
    """Every step of the case, in order."""
    rows = [
        (
            s.n,
            format_time(s.at),
            f"{s.by} ({s.role})",
            describe_action(s.did) + (f" — {s.why}" if s.why else ""),
        )
        for s in case.steps
    ]
    return section(
        "Chronology of the case",
        [
            table(["step", "when (UTC)", "by", "what"], rows, [0, 0, 1.4, 4], right=[True]),
        ],
    )


_ACTION_SUBJECTS = {
    "opened": "title", "named": "party.name", "related": "relation.party",
    "merged": "drop", "linked": "link.account", "exhibited": "exhibit.id",
    "found": "evidence.id", "confirmed": "evidence", "sent": "notice.id",
    "delivered": "delivery.notice", "replied": "reply.notice", "determined": "id",
    "corrected": "evidence.id", "reversed": "reversal.account", "attempted": "attempt.notice",
    "authorized": "signer.name",
    "signed": "determination", "tasked": "task.what", "finished": "task", "advanced": "to",
}  # fmt: skip
_ACTION_PHRASES = {
    "opened": "case opened", "named": "party named", "related": "tie between parties",
    "merged": "parties merged by a person", "linked": "account tied", "exhibited": "exhibit taken",
    "found": "evidence drawn", "confirmed": "evidence judged by a person", "sent": "notice sent",
    "delivered": "notice arrived", "replied": "notice answered",
    "corrected": "evidence stated anew", "reversed": "action reversed on appeal",
    "attempted": "notice not served", "authorized": "signer named",
    "determined": "determination prepared", "signed": "determination signed", "tasked": "task",
    "finished": "task done", "advanced": "case now",
}  # fmt: skip


def describe_action(what: Action) -> str:
    """A step in a few words.

    >>> from wavebreak.cases.case import StateChanged
    >>> describe_action(StateChanged("noticed"))
    'case now: noticed'
    """
    tag = str(type(what).__struct_config__.tag)
    value = msgspec.to_builtins(what)
    for name in _ACTION_SUBJECTS[tag].split("."):
        value = value[name]
    shows = getattr(what, "shows", None)
    judged = "" if shows is None else " shows it" if shows else " does not show it"
    return f"{_ACTION_PHRASES[tag]}: {value}{judged}"


def evidence_lines(case: Case, name: str) -> Iterator[str]:
    """An item of evidence line by line, as a person reviews it: what, whose, when, by what."""
    e = case.evidence[name]
    party, exhibit = case.parties[case.root(e.party)], case.exhibits[e.exhibit]
    yield f"{e.id}: {party.name} ({e.party}), by {e.exhibit}: {exhibit.title}"
    yield f"  conduct      {describe_conduct(e)}"
    yield f"  began        {describe_date(e.began, e.began_source)}"
    yield f"  lasted until {describe_date(e.lasted, e.lasted_source)}"
    yield f"  tied by      {to_words(e.basis)}, {e.strength}"
    if not isinstance(exhibit.reading, UnsetType):
        yield f"  the automatic reading of {e.exhibit}: {exhibit.reading}"
    if not isinstance(exhibit.review, UnsetType):
        found = "a claim" if exhibit.review.label == "claim" else "no claim"
        yield f"  {exhibit.review.by} found {e.exhibit} to be {found}: {exhibit.review.why}"


def describe_conduct(e: Evidence) -> str:
    """What an item shows that the party did, and where it was seen."""
    did: str = "no violation" if e.conduct == "neither" else e.conduct
    kinds = () if isinstance(e.violations, UnsetType) else e.violations
    if e.conduct in ("engaged", "assisted"):
        did += f" ({', '.join(map(to_words, kinds)) or 'kind of violation not stated'})"
    return f"{did}, {to_words(e.kind)}"


def describe_date(dates: DateRange, source: DateSource | UnsetType) -> str:
    """A date with what it rests on; one without a source counts as not known."""
    if dates.earliest is None and dates.latest is None:
        return "not known"
    if isinstance(source, UnsetType):
        return f"{format_range(dates)}; on no stated basis, so that it counts as not known"
    by = f"{source.by}: " if source.kind == "person" else ""
    return f"{format_range(dates)}, by {by}{source.basis}"


MAX_ITEMS = 12
MAX_PICTURE_BYTES = 8 << 20


def pages(directory: Path, case: Case, figures: dict[str, bytes]) -> Block:
    """What each captured page claims; screenshots are added to `figures` by name."""
    blocks: list[Block] = []
    for exhibit in case.exhibits.values():
        place = directory / exhibit.path
        if exhibit.kind == "claim" and (place / "exhibit.json").exists():
            blocks += [
                heading(f"{exhibit.id}: {exhibit.title}"),
                *_page(place, exhibit.id, figures),
            ]
    lead = note(
        "Read automatically, for review by a person; a reading is not a finding. Sentences are "
        "as they stand on the page."
    )
    return section("What the pages claim", [lead, *blocks] if blocks else [note("No page.")])


def _page(place: Path, name: str, figures: dict[str, bytes]) -> Iterator[Block]:
    about = claims.load_exhibit(place)
    yield text(f"{about.source}, captured {about.captured_at} by {about.actor.who}.")
    try:
        readings = [
            claims.read(page, about.captured_at) for page in claims.exhibit_documents(place)
        ]
    except ClaimError as error:
        yield note(f"Not read: {error.what}.")
    else:
        reading = claims.highest_scoring(readings)
        yield from _reading(reading, about.published or reading.published)
    for label in claims.read_labels(place):
        finding = "claim" if label.label == "claim" else "no claim"
        yield text(f"{finding}, reviewed by {label.by}, {label.at}: {label.reason}")
    picture = about.file("screenshot")
    if picture is not None and picture.size <= MAX_PICTURE_BYTES:
        figures[f"{name}.png"] = (place / picture.path).read_bytes()
        yield {"kind": "picture", "file": f"{name}.png", "alt": f"Screenshot of {about.source}"}


def _reading(reading: claims.Reading, public: claims.Published | None) -> Iterator[Block]:
    sentences = [
        (" ".join(r.text.split())[:400], ", ".join(map(to_words, r.offers)) or "by wording")
        for r in reading.relied_on[:MAX_ITEMS]
    ]
    yield table(["sentence", "offers"], sentences, [3, 1], none="No sentence offers anything.")
    numbers = [
        f"{c.count:,} {c.what}{f' a {c.period}' if c.period else ''}"
        for c in reading.capacities[:MAX_ITEMS]
    ]
    prices = [f"{m.amount:g} {m.currency}" for m in reading.prices[:MAX_ITEMS]]
    contacts = [value for values in reading.contacts.values() for value in values][:MAX_ITEMS]
    ends = [at or "not known" for at in (public.earliest, public.latest)] if public else []
    since = [f"{' to '.join(ends)}, by {public.basis}"] if public else []
    rows = [
        ("published", since),
        ("capacity claimed", numbers),
        ("prices", prices),
        ("contacts", contacts),
        ("brands", list(reading.brands[:MAX_ITEMS])),
        ("language", [reading.language]),
    ]
    known = [(n, ", ".join(dict.fromkeys(v))) for n, v in rows if any(v)]
    yield table(["read on the page", ""], known, [1, 3])
    yield note(f"Triage: {reading.verdict}, {reading.score:.2f}.")


def _table(title: str, head: Sequence[str], rows: list[Any]) -> Iterator[Table]:
    if rows:
        cells = [tuple(map(str, row)) for row in rows]
        yield Table(title, tuple(head), cells, words=frozenset(range(len(head))))


def case_tables(case: Case) -> Iterator[Table]:
    """The state of a case, table by table; empty ones are left out."""
    parties = [(p.id, p.kind, p.name, p.same_as) for p in case.parties.values()]
    yield from _table("parties", ["id", "kind", "name", "merged into"], parties)
    yield from _table(
        "accounts",
        ["party", "pseudonym", "by", "strength", "exhibit"],
        [(k.party, k.account, to_words(k.basis), k.strength, k.exhibit) for k in case.links],
    )
    yield from _table(
        "exhibits",
        ["id", "kind", "title", "taken (UTC)"],
        [
            (e.id, to_words(e.kind), e.title, format_time(e.captured))
            for e in case.exhibits.values()
        ],
    )
    yield from _table(
        "evidence",
        ["id", "party", "exhibit", "shows", "dates (UTC)", "confirmed"],
        [
            (
                e.id,
                e.party,
                e.exhibit,
                describe_conduct(e),
                f"{describe_date(e.began, e.began_source)}\n"
                f"{describe_date(e.lasted, e.lasted_source)}",
                e.confirmed,
            )
            for e in case.evidence.values()
        ],
    )
    yield from _table(
        "notices",
        ["id", "party", "template", "language", "sent (UTC)"],
        [
            (n.id, n.party, n.template, n.language, format_time(n.sent))
            for n in case.notices.values()
        ],
    )
    yield from _table(
        "determinations",
        ["id", "party", "result", "prepared by", "signed by"],
        [
            (d.id, d.value.party, to_words(d.value.result), d.by, d.signed_by or "nobody")
            for d in case.determinations.values()
        ],
    )
    yield from _table(
        "to do",
        ["id", "what", "by (UTC)"],
        [(t.id, t.what, format_time(t.due)) for t in case.open_tasks()],
    )


def summary_lines(case: Case, now: int) -> list[str]:
    """A case in a line, and what is late at `now` (ms)."""
    late = [f"late: {line}" for line in overdue_items(case, now)]
    return [f"{case.id}: {case.title}; {case.state}, {len(case.steps)} steps", *late]


def proposal_tables(proposals: Sequence[MergeProposal]) -> Iterator[Table]:
    """Pairs of parties that may be one, with reasons."""
    rows = [(p.party, p.other, f"{p.score:.2f}", "\n".join(p.reasons)) for p in proposals]
    yield from _table("may be one", ["party", "other", "score", "reasons"], rows)


def determination_lines(name: str, determination: Determination) -> Iterator[str]:
    """A determination line by line: result, grounds, what was left out, what would change it."""
    result, as_of = to_words(determination.result), format_time(determination.as_of)
    yield f"{name}: {result}, as of {as_of} UTC, under {determination.policy}"
    for ground in determination.grounds:
        yield f"  {ground.rule} {ground.notice} rests on {', '.join(ground.evidence)}"
    for flag in determination.flags:
        yield f"  {flag.evidence} ({flag.exhibit}) touches the day at the boundary of notice "
        yield f"    {flag.notice}: on its other side the result would be {to_words(flag.otherwise)}"
    for item in determination.disregarded:
        yield f"  {item.evidence} ({item.exhibit}) disregarded: {item.why}"
    for need in determination.needs:
        yield f"  needs to be known: {need}"
    for change in determination.changes:
        yield f"  {to_words(change.result)}, if: {change.supposing}"
    for beside in determination.enforcement:
        yield f"  beside, technical enforcement: {beside.account} {beside.outcome}"
    yield determination.advice
