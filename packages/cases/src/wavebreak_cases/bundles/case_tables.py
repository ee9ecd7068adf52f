"""A case for a terminal and for forms: as tables and lines; nothing is read as markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import UnsetType

from wavebreak.reports.tables import Table
from wavebreak_cases.cases.case import Case, PreparedDetermination, weaker_ties
from wavebreak_cases.cases.date_ranges import DateRange, format_instant
from wavebreak_cases.cases.determination import Determination
from wavebreak_cases.cases.parties import DateSource, Evidence, Link, MergeProposal, TieDates
from wavebreak_cases.cases.post_notice_monitoring import overdue_items
from wavebreak_cases.cases.ties import overruled_ties
from wavebreak_cases.cases.workflow import is_current, stale_determinations


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


def evidence_lines(case: Case, name: str) -> Iterator[str]:
    """An item of evidence line by line, as a person reviews it: what, whose, when, by what."""
    e = case.evidence[name]
    party, exhibit = case.parties[case.root(e.party)], case.exhibits[e.exhibit]
    yield f"{e.id}: {party.name} ({e.party}), by {e.exhibit}: {exhibit.title}"
    yield f"  conduct      {describe_conduct(e)}"
    yield f"  began        {describe_date(e.began, e.began_source)}"
    yield f"  lasted until {describe_date(e.lasted, e.lasted_source)}"
    yield f"  tied by      {to_words(e.basis)}, {e.strength}"
    for link in weaker_ties(case, e):
        yield f"  its account  {describe_link(link)}: say why the item is tied more strongly"
    if not isinstance(e.jointly, UnsetType):
        yield f"  jointly with {', '.join(e.jointly)}"
    if not isinstance(e.part, UnsetType):
        yield f"  part of use  {e.part}"
    if not isinstance(exhibit.reading, UnsetType):
        yield f"  the automatic reading of {e.exhibit}: {exhibit.reading}"
    if not isinstance(exhibit.review, UnsetType):
        found = "a claim" if exhibit.review.label == "claim" else "no claim"
        yield f"  {exhibit.review.by} found {e.exhibit} to be {found}: {exhibit.review.why}"


def describe_link(link: Link) -> str:
    """A tie of an account: how strong, by what, by which exhibit, and when it held.

    >>> from wavebreak_cases.cases.parties import Basis, Strength
    >>> describe_link(Link("P1", "a-1", Basis.PAYMENT, Strength.WEAK, "E3"))
    'a-1, weak, by payment (E3)'
    """
    said = f"{link.account}, {link.strength}, by {to_words(link.basis)} ({link.exhibit})"
    return said + (f", {_tie_span(link.dates)}" if not isinstance(link.dates, UnsetType) else "")


def _tie_span(dates: TieDates) -> str:
    ends = (("since", dates.since), ("until", dates.until))
    stated = [f"{what} {end.said}" for what, end in ends if end != DateRange()]
    return f"{' '.join(stated)}, by {dates.source.by}: {dates.source.basis}"


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
        ["party", "pseudonym", "by", "strength", "exhibit", "when"],
        [
            (
                *(k.party, k.account, to_words(k.basis), k.strength, k.exhibit),
                "" if isinstance(k.dates, UnsetType) else _tie_span(k.dates),
            )
            for k in case.links
        ],
    )
    yield from _table(
        "bars to action",
        ["party", "what", "since (UTC)", "until (UTC)", "exhibit"],
        [
            (
                *(b.party, b.kind, format_time(b.since)),
                format_time(None if isinstance(b.until, UnsetType) else b.until),
                b.exhibit,
            )
            for b in case.bars.values()
        ],
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
            (d.id, d.value.party, describe_result(case, d), d.by, d.signed_by or "nobody")
            for d in case.determinations.values()
        ],
    )
    yield from _table(
        "to do",
        ["id", "what", "by (UTC)"],
        [(t.id, t.what, format_time(t.due)) for t in case.open_tasks()],
    )


def describe_result(case: Case, prepared: PreparedDetermination) -> str:
    """What a determination says; of one that is not current, that first.

    A signature, too, was given for evidence that the case no longer holds so.
    """
    said = to_words(prepared.value.result)
    if is_current(case, prepared.value):
        return said
    if prepared.id not in {latest.id for latest in case.latest()}:
        return f"superseded; said: {said}"
    return f"not current; of earlier evidence it said: {said}"


def stale_lines(case: Case) -> list[str]:
    """What is not current, a line each: it comes before everything else about a case."""
    return [
        f"not current: {d.id} on {d.value.party} is of evidence that changed after it was prepared"
        f"{f' and signed by {d.signed_by}' if d.signed_by else ''}; determine again, and do not "
        "serve it"
        for d in stale_determinations(case)
    ]


def tie_lines(case: Case) -> list[str]:
    """Ties that were overruled by what was stated of an item, a line each."""
    return [f"note: {tie.sentence()}" for tie in overruled_ties(case)]


def summary_lines(case: Case, now: int) -> list[str]:
    """A case in a line, before it what is not current, after it what is late at `now` (ms)."""
    late = [f"late: {line}" for line in overdue_items(case, now)]
    said = f"{case.id}: {case.title}; {case.state}, {len(case.steps)} steps"
    return [*stale_lines(case), said, *late, *tie_lines(case)]


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
