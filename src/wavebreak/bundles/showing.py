"""A case and a determination as tables and lines for a terminal; nothing is read as markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from wavebreak.bundles.blocks import plain, span, when
from wavebreak.cases.case import Case
from wavebreak.cases.determining import Determination
from wavebreak.cases.resolving import Proposal
from wavebreak.cases.watching import overdue
from wavebreak.pages import Table


def _table(title: str, head: Sequence[str], rows: list[Any]) -> Iterator[Table]:
    if rows:
        cells = [tuple(map(str, row)) for row in rows]
        yield Table(title, tuple(head), cells, words=frozenset(range(len(head))))


def tables(case: Case) -> Iterator[Table]:
    """Where a case stands, table by table; empty ones are left out."""
    parties = [(p.id, p.kind, p.name, p.same_as) for p in case.parties.values()]
    yield from _table("parties", ["id", "kind", "name", "merged into"], parties)
    yield from _table("accounts", ["party", "pseudonym", "by", "strength", "exhibit"],
                      [(k.party, k.account, plain(k.basis), k.strength, k.exhibit)
                       for k in case.links])  # fmt: skip
    yield from _table("exhibits", ["id", "kind", "title", "taken (UTC)"],
                      [(e.id, plain(e.kind), e.title, when(e.captured))
                       for e in case.exhibits.values()])  # fmt: skip
    yield from _table("evidence", ["id", "party", "exhibit", "shows", "dates (UTC)", "confirmed"],
                      [(e.id, e.party, e.exhibit, f"{plain(e.kind)}, {e.conduct}",
                        f"{span(e.began)}\n{span(e.lasted)}", e.confirmed)
                       for e in case.evidence.values()])  # fmt: skip
    yield from _table("notices", ["id", "party", "template", "language", "sent (UTC)"],
                      [(n.id, n.party, n.template, n.language, when(n.sent))
                       for n in case.notices.values()])  # fmt: skip
    yield from _table("determinations", ["id", "party", "result", "prepared by", "signed by"],
                      [(d.id, d.value.party, plain(d.value.result), d.by, d.signed_by or "nobody")
                       for d in case.determinations.values()])  # fmt: skip
    yield from _table("to do", ["id", "what", "by (UTC)"],
                      [(t.id, t.what, when(t.due)) for t in case.open_tasks()])  # fmt: skip


def lines(case: Case, now: int) -> list[str]:
    """A case in a line, and what is late at `now` (ms)."""
    late = [f"late: {line}" for line in overdue(case, now)]
    return [f"{case.id}: {case.title}; {case.state}, {len(case.steps)} steps", *late]


def proposed(found: Sequence[Proposal]) -> Iterator[Table]:
    """Pairs of parties that may be one, with reasons."""
    rows = [(p.party, p.other, f"{p.score:.2f}", "\n".join(p.reasons)) for p in found]
    yield from _table("may be one", ["party", "other", "score", "reasons"], rows)


def determined(name: str, made: Determination) -> Iterator[str]:
    """A determination line by line: result, grounds, what was left out, what would change it."""
    yield f"{name}: {plain(made.result)}, as of {when(made.as_of)} UTC, under {made.policy}"
    for ground in made.grounds:
        yield f"  {ground.rule} {ground.notice} rests on {', '.join(ground.evidence)}"
    for item in made.disregarded:
        yield f"  {item.evidence} ({item.exhibit}) disregarded: {item.why}"
    for need in made.needs:
        yield f"  needs to be known: {need}"
    for change in made.changes:
        yield f"  {plain(change.result)}, if: {change.supposing}"
    for beside in made.enforcement:
        yield f"  beside, technical enforcement: {beside.account} {beside.outcome}"
    yield made.advice
