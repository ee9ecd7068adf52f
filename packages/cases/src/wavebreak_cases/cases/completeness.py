"""What a case still needs until counsel can sign: each gap, and the step that closes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from wavebreak_cases.cases.case import Case, Exhibit, current_links
from wavebreak_cases.cases.date_ranges import DateRange
from wavebreak_cases.cases.parties import Evidence, Strength
from wavebreak_cases.cases.ties import OVERRULED, overruled_ties
from wavebreak_cases.cases.workflow import is_current

MISSING = {
    "party": "nobody is named whom it is about",
    "conduct": "what the party did is not stated",
    "violation": "the kind of violation is not stated",
    "end": "until when it lasted is not known",
    "strength": "nobody judged how strongly it is tied to the party",
    "confirmed": "nobody has read the exhibit and confirmed it",
    "confirmed_benign": (
        "nobody has read the exhibit and confirmed it; the automatic reading found no offer in it"
    ),
    "unused": "no evidence is drawn from it",
    "exhibit": "there is no exhibit",
    "overruled": OVERRULED,
    "unjudged": "nobody judged how strongly account {account} is tied to it",
    "untied": "nobody said what ties account {account} to it, by which exhibit",
    "evidence": "no evidence shows what this party did",
    "determination": "no determination is prepared of the evidence as it is",
    "early_determination": (
        "no determination is prepared of the evidence as it is; it can be prepared now, and names "
        "what it does not know"
    ),
    "signature": "{determination} is not signed; another person than {by} signs it",
}
"""What may be missing, in words."""


class Gap(NamedTuple):
    """Something that is missing.

    Attributes:
        item: The item that it is missing of: V1, E1, P1; "" for the case itself.
        code: What: a code of `MISSING`.
        act: The form of the console that closes it.
        command: The command that closes it: its name, then what follows the case's directory.
        values: What its words leave open.
    """

    item: str
    code: str
    act: str
    command: tuple[str, ...]
    values: Mapping[str, str] = MappingProxyType({})

    @property
    def missing(self) -> str:
        """What is missing, in words."""
        return MISSING[self.code].format_map(self.values)


def find_gaps(case: Case, read: Mapping[str, tuple[str, ...]] | None = None) -> tuple[Gap, ...]:
    """Return what is missing, in the order in which it is best filled in.

    Args:
        case: The case.
        read: By exhibit, the kinds of violation that the automatic reading found offered there:
            the command that states them begins with these.

    >>> [gap.missing for gap in find_gaps(Case("C-7", title="Bulk Co", state="opened"))]
    ['nobody is named whom it is about']
    """
    live = [party for party in case.parties.values() if not party.same_as]
    if not live:
        return (Gap("", "party", "add_party", ("party", "NAME")),)
    gaps: list[Gap] = []
    for item in case.evidence.values():
        if item.confirmed != "no" and not _excluded(case.exhibits[item.exhibit]):
            kinds = (read or {}).get(item.exhibit) or ("bulk|automated|non_personal",)
            gaps += _evidence_gaps(item, case.exhibits[item.exhibit], kinds)
    gaps += _exhibit_gaps(case, live[0].id)
    gaps += _link_gaps(case)
    for party in live:
        gaps += _party_gaps(case, party.id, ready=not gaps)
    return tuple(gaps)


def _excluded(exhibit: Exhibit) -> bool:
    """Whether nothing can rest on an exhibit, because a person rejected it."""
    return exhibit.rejected is not None


def closing_commands(gaps: Iterable[Gap]) -> list[tuple[str, ...]]:
    """Return the commands that close gaps; corrections of one item are one command.

    >>> gap = Gap("V1", "conduct", "correct_evidence", ("correct", "V1", "--conduct", "engaged"))
    >>> closing_commands([gap, gap._replace(command=("correct", "V1", "--strength", "weak"))])
    [('correct', 'V1', '--conduct', 'engaged', '--strength', 'weak', '--why', 'WHY')]
    """
    commands: dict[tuple[str, ...], tuple[str, ...]] = {}
    for gap in gaps:
        if gap.act == "correct_evidence":
            head = gap.command[:2]
            commands[head] = commands.get(head, head) + gap.command[2:]
        else:
            commands[gap.command] = gap.command
    return [
        (*command, "--why", "WHY") if command[0] == "correct" else command
        for command in commands.values()
    ]


def _evidence_gaps(e: Evidence, exhibit: Exhibit, kinds: tuple[str, ...]) -> Iterator[Gap]:
    """What is missing of an item, and last its confirmation."""
    violation = tuple(word for kind in kinds for word in ("--violation", kind))
    if e.conduct == "unknown":
        options: tuple[str, ...] = ("--conduct", "engaged|assisted|neither")
        if e.violations is UNSET:
            options += violation
        yield _correction(e, "conduct", *options)
    elif e.conduct != "neither" and e.violations is UNSET:
        yield _correction(e, "violation", *violation)
    if _open(e.known_lasted) and e.conduct != "neither":
        yield _correction(e, "end", "--until", "DATE", "--date-basis", "ON WHAT IT RESTS")
    if e.strength is Strength.UNKNOWN:
        yield _correction(e, "strength", "--strength", "weak|moderate|strong")
    if e.confirmed == "unknown":
        read = exhibit.reading == "benign"
        why = ("--why", "WHY IT SHOWS THIS NEVERTHELESS") if read else ()
        code = "confirmed_benign" if read else "confirmed"
        yield Gap(e.id, code, "review_evidence", ("confirm", e.id, *why))


def _open(dates: DateRange) -> bool:
    return dates.earliest is None and dates.latest is None


def _correction(e: Evidence, code: str, *options: str) -> Gap:
    return Gap(e.id, code, "correct_evidence", ("correct", e.id, *options))


def _exhibit_gaps(case: Case, party: str) -> Iterator[Gap]:
    """Exhibits that show conduct by their kind, and from which nothing is drawn."""
    used = {item.exhibit for item in case.evidence.values()}
    for exhibit in case.exhibits.values():
        showing = exhibit.kind in ("claim", "test_purchase", "partner_notice", "platform_run")
        if showing and exhibit.id not in used and not _excluded(exhibit):
            options = ("--party", party, "--conduct", "engaged|assisted|neither|unknown")
            yield Gap(exhibit.id, "unused", "add_evidence", ("evidence", exhibit.id, *options))
    if not case.exhibits:
        yield Gap("", "exhibit", "add_exhibit", ("draft", "--file", "PAGE"))


def _link_gaps(case: Case) -> Iterator[Gap]:
    judged = {k.account for k in case.links if k.strength is not Strength.UNKNOWN}
    for tie in overruled_ties(case):
        if tie.item.confirmed == "yes" and case.reviews.get(tie.item.id, "").strip():
            continue  # a person said why
        strength = ("--basis", "payment|test_purchase|admission", "--strength", "moderate|strong")
        command = ("link", tie.link.party, "ACCOUNT", *strength, "--exhibit", "E…")
        yield Gap(tie.item.id, "overruled", "link_account", command, tie.values)
    for item in case.evidence.values():
        yield from _unlinked_gaps(case, item)
    for link in {k.account: k for k in case.links}.values():
        if link.account not in judged:
            strength = ("--strength", "weak|moderate|strong", "--exhibit", link.exhibit)
            options = (link.party, "ACCOUNT", "--basis", str(link.basis), *strength)
            account = {"account": link.account}
            yield Gap(link.party, "unjudged", "link_account", ("link", *options), account)


def _unlinked_gaps(case: Case, item: Evidence) -> Iterator[Gap]:
    """Accounts of a run's item that nothing ties to the party, where its own tie is not judged."""
    unjudged = item.strength is Strength.UNKNOWN and item.confirmed != "no"
    if isinstance(item.accounts, UnsetType) or not unjudged:
        return
    linked = {link.account for link in current_links(case, item.party)}
    for account in item.accounts:
        if account not in linked:
            tie = ("--basis", "number_in_claim|payment|test_purchase|statement")
            options = ("--strength", "weak|moderate|strong", "--exhibit", "E…")
            command = ("link", item.party, "ACCOUNT", *tie, *options)
            yield Gap(item.party, "untied", "link_account", command, {"account": account})


def _party_gaps(case: Case, party: str, *, ready: bool) -> Iterator[Gap]:
    """The steps after the evidence: a notice, a determination, a signature."""
    latest = {case.root(d.value.party): d for d in case.latest()}.get(party)
    if not any(case.root(e.party) == party for e in case.evidence.values()):
        options = ("--party", party, "--conduct", "engaged|assisted|neither|unknown")
        yield Gap(party, "evidence", "add_evidence", ("evidence", "E1", *options))
    elif latest is None or not is_current(case, latest.value):
        code = "determination" if ready else "early_determination"
        yield Gap(party, code, "prepare_determination", ("determine", party))
    elif not latest.signed_by:
        options = ("sign", latest.id, "--signing-key", "KEY FILE")
        named = {"determination": latest.id, "by": latest.by}
        yield Gap(party, "signature", "sign_determination", options, named)
