"""Rule evaluation: the grounds (`cases/determination.toml`), each item of evidence by each rule.

Every rule is a conjunction of conditions on one item, and a party is eligible where some rule has
its items: so an item is evaluated alone, and items are combined by their maximum. What one unknown
turns out to be does not affect another, except that a date after one boundary is not before an
earlier one; but "beyond" is a condition on evidence from outside the platform and "before" on
evidence on it, so no item has both. Combining three-valued answers then gives exactly the result of
enumerating all values of the unknowns (the tests enumerate them).

A condition has a code and values; `reasons` puts them into words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from wavebreak import config
from wavebreak.errors import PolicyError
from wavebreak_cases.cases.date_ranges import DateRange, Ternary, parse_instant
from wavebreak_cases.cases.parties import STRENGTHS, Basis, Evidence, HeldTie, Strength

Conduct = Annotated[tuple[Literal["engaged", "assisted"], ...], Meta(min_length=1)]
Result = Literal["eligible", "not_eligible", "no_violation", "undetermined", "barred"]
RESULTS: tuple[Result, ...] = ("not_eligible", "undetermined", "eligible")
"""Results of evidence by rank; `no_violation` is one of rank 0. While a stay or an insolvency is in
force, `barred` stands for `eligible`."""


class OnPlatform(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rule R1: which conduct counts."""

    about: str
    source: str
    conduct: Conduct


class PublicNotice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules R2 and R3 of one public notice; both instants are RFC 3339 with an offset."""

    id: str
    effective: str
    beyond: str
    conduct: Conduct
    source: str

    @property
    def effective_ms(self) -> int:
        """From when a determination may rest on this notice."""
        return parse_instant(self.effective)

    @property
    def beyond_ms(self) -> int:
        """The boundary: conduct at or after it is beyond the notice."""
        return parse_instant(self.beyond)


class LinkRequirements(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ties an exhibit to a party itself, what is merely linked, and how strongly at least.

    `continued` are the ties of another party by whose conduct a party's own abuse goes on.
    """

    own: tuple[Basis, ...]
    linked: tuple[Basis, ...]
    least: Strength
    continued: tuple[Basis, ...] | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Refuse a least tie that everything or nothing has, and one that only continues."""
        if self.least not in STRENGTHS[1:]:
            raise ValueError("`link.least` is none of weak, moderate, strong")
        if not set(self.continues) <= set(self.linked):
            raise ValueError("`link.continued` has a tie that `link.linked` has not")

    @property
    def continues(self) -> tuple[Basis, ...]:
        """The ties by which another's conduct continues a party's."""
        return () if isinstance(self.continued, UnsetType) else self.continued


class Grounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it. `signs` is the role of who may sign."""

    name: str
    signs: str
    on_platform: OnPlatform
    notice: tuple[PublicNotice, ...]
    link: LinkRequirements

    @property
    def version(self) -> str:
        """Name and first 12 hex digits of the SHA-256 of the content."""
        content = msgspec.json.encode(self, order="deterministic")
        return f"{self.name}-{hashlib.sha256(content).hexdigest()[:12]}"


def load_grounds(directory: Path | None = None) -> Grounds:
    """Read the grounds: the shipped ones, or `cases/determination.toml` of a local policy.

    Raises `PolicyError` that names the file, the field and the fix.

    >>> load_grounds().notice[0].beyond
    '2019-12-08T00:00:00Z'
    """
    path = config.resolve_path("cases/determination.toml", directory)
    loaded = config.load_config(path, Grounds)
    for notice in loaded.notice:
        if notice.beyond_ms < notice.effective_ms:
            raise PolicyError(
                f"{path.name}, notice {notice.id}: `beyond` lies before `effective`",
                fix="nobody can continue beyond a notice that is not yet in effect",
            )
    if len({notice.id for notice in loaded.notice}) < len(loaded.notice):
        raise PolicyError(f"{path.name}: two notices of one id", fix="give each its own")
    return loaded


RANK = {Ternary.NO: 0, Ternary.UNKNOWN: 1, Ternary.YES: 2}
TERNARY = (Ternary.NO, Ternary.UNKNOWN, Ternary.YES)


class Condition(NamedTuple):
    """One condition on an item: the answer, its code in `cases/reasons.toml`, values in its words.

    A value is plain text, but for `date:` instants, which each language writes in its own way, and
    for the dates of a tie (`held`).
    """

    answer: Ternary
    code: str
    values: Mapping[str, str | int | HeldTie] = {}


class EvaluatedItem(NamedTuple):
    """An item with its conditions under each rule by name."""

    item: Evidence
    rules: dict[str, tuple[Condition, ...]]

    def answer(self, rule: str) -> Ternary:
        """Whether the item meets all conditions of a rule."""
        ranks = (RANK[c.answer] for c in self.rules.get(rule, (Condition(Ternary.NO, ""),)))
        return TERNARY[min(ranks)]


class NoticeRules(NamedTuple):
    """Names of a notice's conjunctions, each of conditions on one item."""

    outside: str
    continued: str
    linked: str
    succeeded: str


def rule_names(notice: PublicNotice) -> NoticeRules:
    """Names of a notice's conjunctions: from outside, continued, linked before, by another."""
    return NoticeRules(
        *(
            f"{rule} {notice.id}"
            for rule in ("R2", "R3 continued", "R3 linked", "R3 continued by a successor")
        )
    )


def notices_in_force(grounds: Grounds, as_of: int) -> tuple[PublicNotice, ...]:
    """The notices that a determination at that instant may rest on."""
    return tuple(notice for notice in grounds.notice if notice.effective_ms <= as_of)


def evaluate_item(item: Evidence, grounds: Grounds, as_of: int) -> EvaluatedItem:
    """Weigh one item under every rule that is in force at `as_of` (ms)."""
    always = (
        *(_check_date(item, as_of), _check_review(item), _check_appeals(item)),
        *(_check_held(item, as_of), _check_account_ties(item, grounds.link.least)),
        _check_settlement(item, as_of),
    )
    ties = grounds.link
    own = _check_link(item, ties.least, ties.own)
    another = _check_link(item, ties.least, ties.continues)
    continues = item.basis in ties.continues and item.case_facts.relation != "predecessor"
    rules: dict[str, tuple[Condition, ...]] = {}
    on_platform = (*always, *_check_conduct(item, grounds.on_platform.conduct))
    if item.kind == "on_platform":
        rules["R1"] = (*on_platform, own)
    for notice in notices_in_force(grounds, as_of):
        names = rule_names(notice)
        if item.kind == "off_platform":
            counts = (*always, *_check_conduct(item, notice.conduct))
            beyond = check_beyond(item, notice, as_of)
            rules[names.outside] = (*counts, own)
            rules[names.continued] = (*counts, own, beyond)
            if continues:
                rules[names.succeeded] = (*counts, another, beyond)
        else:
            linked = _check_link(item, ties.least, ties.own + ties.linked)
            rules[names.linked] = (*on_platform, linked, check_before(item, notice, as_of))
            if continues:
                # Before the boundary it is linked, from then on it continues: either is enough.
                rules[names.succeeded] = (*on_platform, another)
    return EvaluatedItem(item, rules)


def is_own_conduct(item: Evidence, as_of: int) -> bool:
    """Whether an item may be held against the party itself, in a letter: confirmed, and its own.

    Conduct of another party, of an account at another's time, of an action that was reversed, and
    what was settled is not.
    """
    facts = item.case_facts
    if facts.conduct_of or not isinstance(facts.jointly_with, UnsetType) or facts.rejected_by:
        return False
    checks = (_check_appeals(item), _check_held(item, as_of), _check_settlement(item, as_of))
    shown = item.confirmed == "yes" and item.conduct != "neither"
    return shown and all(check.answer is Ternary.YES for check in checks)


def _check_date(item: Evidence, as_of: int) -> Condition:
    first = item.known_began.earliest
    later = first is not None and first > as_of
    return Condition(Ternary.NO if later else Ternary.YES, "date", {"date:as_of": as_of})


def _check_review(item: Evidence) -> Condition:
    """Whether a person found that the exhibit shows it; one who rejected the exhibit did not."""
    facts = item.case_facts
    if facts.rejected_by:
        who = {"by": facts.rejected_by, "why": facts.rejected_why}
        return Condition(Ternary.NO, "claim_rejected", who)
    if item.confirmed == "no":
        if facts.reviewed_why:
            reviewed = {"by": item.by, "why": facts.reviewed_why}
            return Condition(Ternary.NO, "review_rejected_why", reviewed)
        return Condition(Ternary.NO, "review_rejected")
    if item.confirmed == "unknown":
        read = "review_of_benign" if facts.reading == "benign" else "review"
        return Condition(Ternary.UNKNOWN, read)
    return Condition(Ternary.YES, "review")


def _check_appeals(item: Evidence) -> Condition:
    """Whether the platform's action, on which the item rests, still is in force."""
    reversed_ = item.case_facts.reversed_accounts
    own = () if isinstance(item.accounts, UnsetType) else item.accounts
    if item.kind == "off_platform" or not reversed_:
        return Condition(Ternary.YES, "appeal")
    named = {"accounts": ", ".join(reversed_)}
    if own and set(own) <= set(reversed_):
        return Condition(Ternary.NO, "appeal", named)
    return Condition(Ternary.UNKNOWN, "appeal_of_some", named)


def _check_held(item: Evidence, as_of: int) -> Condition:
    """Whether the conduct falls in the time at which its accounts were the party's.

    Conduct at another time grounds nothing, and neither does what lies on both sides of a change of
    hands, until a person draws the part of it that is the party's.
    """
    held = item.case_facts.held
    if isinstance(held, UnsetType):
        return Condition(Ternary.YES, "held")
    first, last = first_known(item, as_of), last_known(item, as_of)
    best: dict[str, tuple[int, HeldTie]] = {}
    for tie in held:
        rank = RANK[tie.dates.cover(first, last)]
        if tie.account not in best or rank > best[tie.account][0]:
            best[tie.account] = rank, tie
    own = () if isinstance(item.accounts, UnsetType) else item.accounts
    full, some = RANK[Ternary.YES], RANK[Ternary.UNKNOWN]
    ranks = {best[account][0] if account in best else full for account in own} or {full}
    # Of several accounts, of which some were another's, the item shows conduct of both.
    rank = ranks.pop() if len(ranks) == 1 else some
    rank = min(rank, best[""][0]) if "" in best else rank
    if rank == full:
        return Condition(Ternary.YES, "held")
    tie = min(best.values(), key=lambda of: of[0])[1]
    code = "held" if tie.account else "held_relation"
    named: dict[str, str | int | HeldTie] = {"held": tie, "tie": tie.exhibit}
    return Condition(TERNARY[rank], code, named | {"account": tie.account})


def _check_account_ties(item: Evidence, least: Strength) -> Condition:
    """Whether a tie of an account that is too weak is overruled by the item's with a reason."""
    facts = item.case_facts
    ties = () if isinstance(facts.weaker_ties, UnsetType) else facts.weaker_ties
    for tie in ties:
        if (
            STRENGTHS.index(tie.strength) < STRENGTHS.index(least)
            and not facts.reviewed_why.strip()
        ):
            named = {
                "account": tie.account,
                "strength": str(tie.strength),
                "basis": str(tie.basis),
                "tie": tie.exhibit,
            }
            return Condition(Ternary.UNKNOWN, "account_tie", named)
    return Condition(Ternary.YES, "account_tie")


def _check_settlement(item: Evidence, as_of: int) -> Condition:
    """Whether the conduct went on after what was settled with the party."""
    settled = item.case_facts.settlement
    if isinstance(settled, UnsetType):
        return Condition(Ternary.YES, "settled")
    answer = last_known(item, as_of).reaches(settled.at + 1)
    return Condition(answer, "settled", {"date:settled": settled.at, "tie": settled.exhibit})


def _check_conduct(item: Evidence, wanted: tuple[str, ...]) -> tuple[Condition, ...]:
    """What the party did, and which kinds of violation that is."""
    reach = "engaged" if wanted == ("engaged",) else "assisted" if len(wanted) == 1 else "either"
    if item.conduct == "unknown":
        return (Condition(Ternary.UNKNOWN, "conduct"),)
    if item.conduct == "neither":
        return (Condition(Ternary.NO, "no_violation"),)
    kinds = Ternary.YES if item.violations else Ternary.UNKNOWN
    reached = Ternary.YES if item.conduct in wanted else Ternary.NO
    return (Condition(reached, f"conduct_reached_{reach}"), Condition(kinds, "violation"))


def _check_link(item: Evidence, least: Strength, bases: tuple[Basis, ...]) -> Condition:
    facts = item.case_facts
    if item.basis not in bases:
        if facts.conduct_of:
            return Condition(Ternary.NO, "conduct_of_another")
        return Condition(Ternary.NO, "basis", {"basis": item.basis})
    if item.strength is Strength.NONE:
        return Condition(Ternary.NO, "not_the_party")
    needed: dict[str, str | int] = {"least": least, "strength": item.strength}
    if item.strength is Strength.UNKNOWN:
        return Condition(Ternary.UNKNOWN, "relation" if facts.conduct_of else "strength", needed)
    if STRENGTHS.index(item.strength) < STRENGTHS.index(least):
        return Condition(Ternary.UNKNOWN, "weak_relation" if facts.conduct_of else "weak", needed)
    return Condition(Ternary.YES, "strength", needed)


def last_known(item: Evidence, as_of: int) -> DateRange:
    """The instants that the last one of the conduct may be, as far as dates have a source."""
    began, lasted = item.known_began, item.known_lasted
    starts = [end for end in (began.earliest, lasted.earliest) if end is not None]
    latest = as_of if lasted.latest is None else min(lasted.latest, as_of)
    earliest = min(max(starts), latest) if starts else None
    return DateRange(earliest, latest, lasted.said)


def first_known(item: Evidence, as_of: int) -> DateRange:
    """The instants that the first one of the conduct may be, as far as dates have a source."""
    began, lasted = item.known_began, item.known_lasted
    latest = min(end for end in (began.latest, lasted.latest, as_of) if end is not None)
    earliest = began.earliest
    return DateRange(None if earliest is None else min(earliest, latest), latest, began.said)


def check_beyond(item: Evidence, notice: PublicNotice, as_of: int) -> Condition:
    """Whether the conduct went on at or after the boundary: the last instant is no earlier."""
    answer = last_known(item, as_of).reaches(notice.beyond_ms)
    code = "beyond" if _has_dates(item.known_lasted) else "beyond_undated"
    return Condition(answer, code, {"date:beyond": notice.beyond_ms})


def check_before(item: Evidence, notice: PublicNotice, as_of: int) -> Condition:
    """Whether the conduct began before the boundary."""
    reached = first_known(item, as_of).reaches(notice.beyond_ms)
    answer = {Ternary.YES: Ternary.NO, Ternary.NO: Ternary.YES}.get(reached, reached)
    code = "before" if _has_dates(item.known_began) else "before_undated"
    return Condition(answer, code, {"date:beyond": notice.beyond_ms})


def _has_dates(dates: DateRange) -> bool:
    return dates.earliest is not None or dates.latest is not None


Ranks = tuple[int, ...]
"""What an item says: whether it may show a violation (0, 1), whether it shows that there is none,
then ranks (0 no, 1 unknown, 2 yes): R1, then the four rules of each notice."""


def rule_ranks(weighed: EvaluatedItem, grounds: Grounds, as_of: int) -> Ranks:
    """What one item says to each rule."""
    rules = ["R1", *(name for n in notices_in_force(grounds, as_of) for name in rule_names(n))]
    item, ties = weighed.item, grounds.link
    checks = (_check_date(item, as_of), _check_review(item), _check_appeals(item))
    excluded = Ternary.NO in {c.answer for c in (*checks, _check_held(item, as_of))}
    excluded = excluded or item.strength is Strength.NONE
    shown = item.conduct == "neither" and item.confirmed == "yes"
    tied = _check_link(item, ties.least, ties.own).answer is Ternary.YES
    return (
        int(not excluded and not shown),
        int(not excluded and shown and tied),
        *(RANK[weighed.answer(rule)] for rule in rules),
    )


def ranks_width(grounds: Grounds, as_of: int) -> int:
    """How many ranks an item has."""
    return 3 + 4 * len(notices_in_force(grounds, as_of))


def max_ranks(many: Iterable[Ranks], width: int) -> Ranks:
    """The most that any says, rule by rule; no where nobody speaks."""
    return tuple(max(column) for column in zip((0,) * width, *many, strict=True))


def combined_ranks(weighed: Sequence[EvaluatedItem], grounds: Grounds, as_of: int) -> Ranks:
    """What all items together say."""
    width = ranks_width(grounds, as_of)
    return max_ranks((rule_ranks(w, grounds, as_of) for w in weighed), width)


def outcome(said: Ranks) -> Result:
    """Follow from what is said.

    >>> outcome((1, 0, 0, 2, 0, 2, 0)), outcome((1, 0, 0, 2, 1, 0, 0))
    ('eligible', 'undetermined')
    >>> outcome((1, 0, 0, 0, 0, 2, 0))
    'not_eligible'
    >>> outcome((0, 1, 0))
    'no_violation'
    """
    violating, clean, platform, *rest = said
    notices = [rest[at : at + 4] for at in range(0, len(rest), 4)]
    rank = max(
        platform, *(max(on, min(out, max(linked, by))) for out, on, linked, by in notices), 0
    )
    return "no_violation" if not rank and clean and not violating else RESULTS[rank]
