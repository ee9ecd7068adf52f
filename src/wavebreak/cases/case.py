"""Where a case stands: parties, exhibits, evidence, notices, determinations, tasks, its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from wavebreak.cases.determining import Determination
from wavebreak.cases.notices import Delivery, Notice, Reply
from wavebreak.cases.parties import STRENGTHS, Basis, Evidence, Link, Party, Relation, Strength
from wavebreak.cases.steps import Exhibit, Step, Task


@dataclass(frozen=True)
class Prepared:
    """A determination in a case: who prepared it, who signed it ("": nobody)."""

    id: str
    value: Determination
    by: str
    at: int
    signed_by: str = ""
    signed_at: int | None = None


@dataclass(frozen=True)
class Case:
    """Where a case stands after its steps. Everything is in the order in which it came."""

    id: str
    title: str = ""
    about: str = ""
    state: str = ""
    parties: dict[str, Party] = field(default_factory=dict)
    relations: tuple[Relation, ...] = ()
    links: tuple[Link, ...] = ()
    exhibits: dict[str, Exhibit] = field(default_factory=dict)
    evidence: dict[str, Evidence] = field(default_factory=dict)
    notices: dict[str, Notice] = field(default_factory=dict)
    deliveries: tuple[Delivery, ...] = ()
    replies: tuple[Reply, ...] = ()
    determinations: dict[str, Prepared] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    done: frozenset[str] = frozenset()
    steps: tuple[Step, ...] = ()

    def fresh(self, letter: str) -> str:
        """The next number of a kind: P, E, V, N, D, T."""
        kept: dict[str, Mapping[str, object]] = {
            "P": self.parties, "E": self.exhibits, "V": self.evidence, "N": self.notices,
            "D": self.determinations, "T": self.tasks,
        }  # fmt: skip
        return f"{letter}{len(kept[letter]) + 1}"

    def root(self, party: str) -> str:
        """The party that a party has been merged into, or itself."""
        while self.parties[party].same_as:
            party = self.parties[party].same_as
        return party

    def open_tasks(self) -> list[Task]:
        """What is still to be done."""
        return [task for task in self.tasks.values() if task.id not in self.done]

    def latest(self) -> list[Prepared]:
        """The last determination on each party, under the party that it is merged into."""
        last = {self.root(d.value.party): d for d in self.determinations.values()}
        return list(last.values())


def evidence_on(case: Case, party: str) -> tuple[Evidence, ...]:
    """All evidence that bears on a party: its own, that of parties merged into it, and of others.

    Of a party that it hangs together with, what was seen on the platform bears on it, tied by that
    alone. Evidence of another party is as strong as the weaker of its tie and the relation's.
    """
    root = case.root(party)
    bearing = [e for e in case.evidence.values() if case.root(e.party) == root]
    for relation in case.relations:
        ends = [case.root(relation.party), case.root(relation.other)]
        if root not in ends or ends[0] == ends[1]:
            continue
        other = ends[1] if ends[0] == root else ends[0]
        basis = Basis.SUCCESSION if relation.kind == "successor" else Basis.AFFILIATION
        bearing += [
            msgspec.structs.replace(
                e, id=f"{e.id}/{relation.exhibit}", party=root, basis=basis,
                strength=_weaker(e.strength, relation.strength),
            )
            for e in case.evidence.values()
            if case.root(e.party) == other and e.kind == "on_platform"
        ]  # fmt: skip
    return tuple({e.id: e for e in bearing}.values())


def _weaker(one: Strength, other: Strength) -> Strength:
    known = [s for s in (one, other) if s is not Strength.UNKNOWN]
    least = min(known, key=STRENGTHS.index, default=Strength.UNKNOWN)
    return least if len(known) == 2 or least is Strength.NONE else Strength.UNKNOWN
