"""Parties of a case: persons and companies, their relations and accounts, proposed merges."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from rapidfuzz import fuzz

from wavebreak import config
from wavebreak.errors import CaseError
from wavebreak_cases.cases.date_ranges import DateRange, Ternary

Text = Annotated[str, Meta(min_length=1, max_length=300)]
Long = Annotated[str, Meta(max_length=4_000)]
Names = Annotated[tuple[Text, ...], Meta(max_length=500)]
E164 = re.compile(r"\+[1-9][0-9]{5,14}")
"""A telephone number with its country."""


class Strength(StrEnum):
    """How strongly something ties an account or an exhibit to a party."""

    NONE = "none"
    WEAK = "weak"
    MODERATE = "moderate"
    STRONG = "strong"
    UNKNOWN = "unknown"


STRENGTHS = (Strength.NONE, Strength.WEAK, Strength.MODERATE, Strength.STRONG)
"""Weakest first; `unknown` may be any of them."""


class Basis(StrEnum):
    """Why something is taken to be a party's: the last two tie it to another party beside it."""

    STATEMENT = "statement"
    NUMBER = "number_in_claim"
    PAYMENT = "payment"
    PURCHASE = "test_purchase"
    INFRASTRUCTURE = "infrastructure"
    ADMISSION = "admission"
    AFFILIATION = "affiliation"
    SUCCESSION = "succession"


class Party(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person or company. `numbers` are those it publishes for its business, in E.164.

    `same_as` names the party into which a person has merged it ("": none). By `calendar_name`
    the days are counted that a letter gives it to answer. To a minor (`age_group`) no letter is
    written.
    """

    id: Text
    kind: Literal["person", "company"]
    name: Text
    aliases: Names = ()
    domains: Names = ()
    numbers: Names = ()
    apps: Names = ()
    sites: Names = ()
    note: Long = ""
    same_as: str = ""
    calendar_name: Text | UnsetType = msgspec.field(default=UNSET, name="calendar")

    age_group: Literal["adult", "minor"] | UnsetType = msgspec.field(default=UNSET, name="age")

    @property
    def age(self) -> str:
        """Whether it is `adult` or `minor`; else `not_stated`."""
        return "not_stated" if isinstance(self.age_group, UnsetType) else self.age_group

    @property
    def calendar(self) -> str:
        """The name of its calendar of days of business ("": none is stated)."""
        return "" if isinstance(self.calendar_name, UnsetType) else self.calendar_name

    def __post_init__(self) -> None:
        """Refuse a number that is not E.164: two spellings would never meet."""
        for number in self.numbers:
            if not E164.fullmatch(number):
                raise CaseError(
                    f"{number[:40]} is not E.164: a number with its country",
                    fix="write it like +972501234567",
                )


Violation = Literal["bulk", "automated", "non_personal"]
"""The kinds of violation."""


class DateSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a date rests on: `by` whom or what it is given, and on what `basis`, in words.

    `kind` is a person, the exhibit's own text or markup, the record of its capture (WARC), or the
    log of a run.
    """

    kind: Literal["person", "exhibit", "capture", "log"]
    by: Text
    basis: Text


class TieDates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a tie held: since an instant of `since`, until one of `until`, as `source` says.

    An end that nobody states is open: it held always before, or holds still.
    """

    since: DateRange
    until: DateRange
    source: DateSource

    def cover(self, first: DateRange, last: DateRange) -> Ternary:
        """Whether conduct from an instant of `first` to one of `last` falls within these dates.

        Conduct on both sides of an end does not count as within: what of it was whose is not known.
        """
        if _certainly_before(last, self.since) or _certainly_before(self.until, first):
            return Ternary.NO
        began = _is_unstated(self.since) or _surely_not_after(self.since, first)
        ended = _is_unstated(self.until) or _surely_not_after(last, self.until)
        return Ternary.YES if began and ended else Ternary.UNKNOWN


def _is_unstated(dates: DateRange) -> bool:
    return dates.earliest is None and dates.latest is None


def _certainly_before(one: DateRange, other: DateRange) -> bool:
    """Whether every instant of a range is before every one of another; open ends never are."""
    if one.latest is None or other.earliest is None:
        return False
    return one.latest < other.earliest


def _surely_not_after(one: DateRange, other: DateRange) -> bool:
    """Whether an instant is at or before another, whichever of their ranges they are."""
    return one.latest is not None and other.earliest is not None and one.latest <= other.earliest


class Relation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A relation of two parties: `party` is the `kind` of `other`, as an exhibit shows."""

    party: Text
    other: Text
    kind: Literal["affiliate", "successor", "owner", "officer", "reseller"]
    strength: Strength
    exhibit: Text
    dates: TieDates | UnsetType = UNSET


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account, by its pseudonym, that is taken to be a party's; by an exhibit.

    `dates` are when it was, where that is known: an account may change hands.
    """

    party: Text
    account: Text
    basis: Basis
    strength: Strength
    exhibit: Text
    dates: TieDates | UnsetType = UNSET


class HeldTie(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a tie held by which an item counts: of an account, or ("") of a related party."""

    account: str
    dates: TieDates
    exhibit: Text


class WeakTie(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tie of an item's account, where the item itself is stated to be tied more strongly."""

    account: Text
    basis: Basis
    strength: Strength
    exhibit: Text


class Translation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By what a person confirmed an exhibit in a language that the person does not read."""

    language: Text
    translator: Text
    exhibit: Text


class Settlement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Conduct until `at` (ms) was settled with the party, as an exhibit shows."""

    at: int
    exhibit: Text


class Bar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in the way of action against a party, as an exhibit shows.

    A settlement covers conduct until `since` (ms). While a stay or an insolvency lasts, from
    `since` until `until` (open: for all that is known), no legal action is taken.
    """

    party: Text
    kind: Literal["settlement", "stay", "insolvency"]
    since: int
    exhibit: Text
    until: int | UnsetType = UNSET

    @property
    def key(self) -> str:
        """What it is of: recorded again, with its end, it takes the earlier one's place."""
        return f"{self.party} {self.kind} {self.exhibit}"

    def lasts(self, at: int) -> bool:
        """Whether it is in force at an instant (ms); a settlement never ends action as a whole."""
        ended = not isinstance(self.until, UnsetType) and self.until <= at
        return self.kind != "settlement" and self.since <= at and not ended


class CaseFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What else a case holds on an item of evidence; never stored with the item.

    Attributes:
        rejected_by: Who rejected its exhibit as a claim ("": nobody did).
        rejected_why: For what reason.
        reviewed_why: The reason of who reviewed the item itself.
        reading: The verdict of the automatic reading of its exhibit ("": not read).
        reversed_accounts: Accounts of the item whose action an appeal reversed.
        erased_accounts: Accounts of the item whose openings were erased.
        conduct_of: The related party whose conduct it is ("": the party's own).
        relation: What that party is: `successor`, `affiliate` and so on.
        relation_exhibit: The exhibit that shows the relation.
        relation_strength: How strongly it does.
        held: When the ties held by which it counts, as far as that is stated.
        weaker_ties: Ties of its accounts that are weaker than its own.
        translation: By which translation a person confirmed it.
        settlement: What was settled with the party.
        jointly_with: Of conduct that another party's item states jointly, that party.
    """

    rejected_by: str = ""
    rejected_why: str = ""
    reviewed_why: str = ""
    reading: str = ""
    reversed_accounts: tuple[str, ...] = ()
    conduct_of: str = ""
    relation: str = ""
    relation_exhibit: str = ""
    relation_strength: str = ""
    erased_accounts: tuple[str, ...] | UnsetType = UNSET
    held: tuple[HeldTie, ...] | UnsetType = UNSET
    weaker_ties: tuple[WeakTie, ...] | UnsetType = UNSET
    translation: Translation | UnsetType = UNSET
    settlement: Settlement | UnsetType = UNSET
    jointly_with: str | UnsetType = UNSET


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one exhibit shows of a party's conduct.

    `kind` says where it was seen. `began` holds the instant at which the conduct began, `lasted`
    the last instant at which it is shown to have gone on; "ongoing for all that is known" is an
    open end. `basis` and `strength` tie the exhibit to the party. `conduct` is what the party did:
    it engaged in abuse itself, or assisted others; `neither` is no violation. `confirmed` says
    whether a person (`by`) has found the exhibit to show this.

    A date without its source counts as not known. Fields that earlier versions did not have are
    left out of the case's file where they are not given.

    Attributes:
        violations: Which kinds of violation it shows.
        began_source: What `began` rests on.
        lasted_source: What `lasted` rests on.
        accounts: Of a run, the accounts by pseudonym.
        jointly: Other parties, by whom together with the party it is stated to have been done.
        part: Of mixed use, which part of it this is, in words.
        facts: What else the case holds on it; set where evidence is collected, never stored.
    """

    id: Text
    party: Text
    exhibit: Text
    kind: Literal["on_platform", "off_platform"]
    conduct: Literal["engaged", "assisted", "neither", "unknown"]
    began: DateRange
    lasted: DateRange
    basis: Basis
    strength: Strength
    confirmed: Literal["yes", "no", "unknown"] = "unknown"
    by: str = ""
    about: Long = ""
    violations: Annotated[tuple[Violation, ...], Meta(max_length=3)] | UnsetType = UNSET
    began_source: DateSource | UnsetType = UNSET
    lasted_source: DateSource | UnsetType = UNSET
    accounts: Names | UnsetType = UNSET
    jointly: Names | UnsetType = UNSET
    part: Text | UnsetType = UNSET
    facts: CaseFacts | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Refuse conduct that ended before it began."""
        first, last = self.began.earliest, self.lasted.latest
        if first is not None and last is not None and last < first:
            raise CaseError(
                f"evidence {self.id}: the conduct ends before it begins",
                fix="give an end at or after the beginning",
                code="ends-before-it-begins",
            )

    @property
    def known_began(self) -> DateRange:
        """When the conduct began; open where nobody says on what basis."""
        return self.began if self.began_source is not UNSET else DateRange()

    @property
    def known_lasted(self) -> DateRange:
        """Until when it lasted; open where nobody says on what basis."""
        return self.lasted if self.lasted_source is not UNSET else DateRange()

    @property
    def case_facts(self) -> CaseFacts:
        """What else the case holds on it."""
        return CaseFacts() if isinstance(self.facts, UnsetType) else self.facts


MAX_COMPARED = 2_000
"""Parties that are compared by name at most: the pairs grow by the square."""


class NameWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The terms of proposals, from `cases/names.toml`."""

    propose: float
    weight: dict[str, float]
    name: dict[str, float]
    legal: dict[str, tuple[str, ...]]
    shared: dict[str, tuple[str, ...]]


class MergeProposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two parties that may be one: how much speaks for it (0 to 1), and what."""

    party: str
    other: str
    score: float
    reasons: tuple[str, ...]


def load_name_weights(directory: Path | None = None) -> NameWeights:
    """Read the terms: the shipped ones, or `cases/names.toml` of a local policy."""
    return config.load_config(config.resolve_path("cases/names.toml", directory), NameWeights)


def normalize_name(name: str, suffixes: Iterable[str]) -> str:
    """Write a name so that spellings of one name meet: no case, marks, punctuation or legal form.

    >>> normalize_name("Envíos Rápidos, S.A. de C.V.", ["s a de c v"])
    'envios rapidos'
    >>> normalize_name('שיווק ישיר בע"מ', ["בעמ"])
    'שיווק ישיר'
    """
    folded = unicodedata.normalize("NFKD", name.casefold())
    bare = "".join(c for c in folded if unicodedata.category(c) not in ("Mn", "Cf"))
    words = re.sub(r"[\"'׳״’`]", "", bare)
    words = " ".join(re.sub(r"[\W_]+", " ", words).split())
    ordered = sorted(suffixes, key=len, reverse=True)
    while True:
        for suffix in ordered:
            plain = " ".join(unicodedata.normalize("NFKD", suffix).split())
            if words.endswith(f" {plain}"):
                words = words[: -len(plain) - 1]
                break
            if words.startswith(f"{plain} "):
                words = words[len(plain) + 1 :]
                break
        else:
            return words


def parse_host(address: str) -> str:
    """Host of an address or domain, without www.

    >>> parse_host("https://www.Example.org/prices"), parse_host("example.org")
    ('example.org', 'example.org')
    """
    bare = re.sub(r"^[a-z]+://", "", address.strip().lower()).split("/")[0].split("@")[-1]
    return bare.split(":")[0].removeprefix("www.").rstrip(".")


def propose_merges(parties: Sequence[Party], terms: NameWeights) -> tuple[MergeProposal, ...]:
    """Propose pairs of parties that may be one, the likeliest first, each with its reasons.

    Pairs come from what they have in common, and, among the first `PARTIES`, from their names.
    """
    live = [party for party in parties if not party.same_as]
    reasons_by_pair: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for kind, of in _shared_features(terms).items():
        owners: dict[str, list[str]] = defaultdict(list)
        for party in live:
            for mark in dict.fromkeys(of(party)):
                owners[mark].append(party.id)
        for mark, ids in owners.items():
            for pair in combinations(ids[:100], 2):
                reasons_by_pair[pair][f"the same {kind}: {mark}"] = terms.weight[kind]
    for one, other in combinations(live[:MAX_COMPARED], 2):
        likeness, reason = _name_similarity(one, other, terms)
        if likeness > 0:
            reasons_by_pair[one.id, other.id][reason] = likeness
    proposals = (_combine_reasons(pair, reasons) for pair, reasons in reasons_by_pair.items())
    kept = [proposal for proposal in proposals if proposal.score >= terms.propose]
    return tuple(sorted(kept, key=lambda p: (-p.score, p.party, p.other)))


def _combine_reasons(pair: tuple[str, str], reasons: dict[str, float]) -> MergeProposal:
    """Independent reasons together: what is left of the doubt after each."""
    doubt = 1.0
    for weight in reasons.values():
        doubt *= 1 - weight
    ordered = tuple(sorted(reasons, key=lambda reason: -reasons[reason]))
    return MergeProposal(*pair, round(1 - doubt, 3), ordered)


def _shared_features(terms: NameWeights) -> dict[str, Callable[[Party], Iterable[str]]]:
    shared = set(terms.shared["hosts"])

    def hosts(addresses: Iterable[str]) -> list[str]:
        parsed = [parse_host(address) for address in addresses]
        return [h for h in parsed if h and not any(h == s or h.endswith(f".{s}") for s in shared)]

    return {
        "domain": lambda p: hosts((*p.domains, *p.sites)),
        "number": lambda p: p.numbers,
        "app": lambda p: [app.casefold() for app in p.apps],
        "site": lambda p: [site.strip().rstrip("/").lower() for site in p.sites],
    }


def _name_similarity(one: Party, other: Party, terms: NameWeights) -> tuple[float, str]:
    """How much two parties' names, aliases included, speak for one party."""
    least, suffixes = terms.name["from"], terms.legal["suffixes"]
    best, reason = 0.0, ""
    for a in (one.name, *one.aliases)[:20]:
        for b in (other.name, *other.aliases)[:20]:
            left, right = normalize_name(a, suffixes), normalize_name(b, suffixes)
            if not left or not right:
                continue
            likeness = float(fuzz.token_sort_ratio(left, right))
            if likeness > best:
                best, reason = likeness, f"names alike ({likeness:.0f} of 100): {a} | {b}"
    if best < least:
        return 0.0, ""
    return terms.weight["name"] * (best - least + 1) / (100 - least + 1), reason
