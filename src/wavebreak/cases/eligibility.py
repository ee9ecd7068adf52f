"""Rule evaluation: the grounds (`cases/determination.toml`), each item of evidence by each rule.

Every rule is a conjunction of conditions on one item, and a party is eligible where some rule has
its items: so an item is evaluated alone, and items are combined by their maximum. What one unknown
turns out to be does not affect another, except that a date after one boundary is not before an
earlier one; but "beyond" is a condition on evidence from outside the platform and "before" on
evidence on it, so no item has both. Combining three-valued answers then gives exactly the result of
enumerating all values of the unknowns (the tests enumerate them).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from wavebreak import config
from wavebreak.cases.date_ranges import Ternary, format_instant, parse_instant
from wavebreak.cases.parties import STRENGTHS, Basis, Evidence, Strength
from wavebreak.errors import PolicyError

Conduct = Annotated[tuple[Literal["engaged", "assisted"], ...], Meta(min_length=1)]


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
    """What ties an exhibit to a party itself, what is merely linked, and how strongly at least."""

    own: tuple[Basis, ...]
    linked: tuple[Basis, ...]
    least: Strength

    def __post_init__(self) -> None:
        """Refuse a least tie that everything or nothing has."""
        if self.least not in STRENGTHS[1:]:
            raise ValueError("`link.least` is none of weak, moderate, strong")


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
    """One condition on an item: the answer, why it fails, and what would have to be known."""

    answer: Ternary
    fails: str
    needs: str


class EvaluatedItem(NamedTuple):
    """An item with its conditions under each rule by name."""

    item: Evidence
    rules: dict[str, tuple[Condition, ...]]

    def answer(self, rule: str) -> Ternary:
        """Whether the item meets all conditions of a rule."""
        ranks = (RANK[c.answer] for c in self.rules.get(rule, (Condition(Ternary.NO, "", ""),)))
        return TERNARY[min(ranks)]


def rule_names(notice: PublicNotice) -> tuple[str, str, str]:
    """Names of a notice's three conjunctions: from outside, continued, linked before."""
    return f"R2 {notice.id}", f"R3 continued {notice.id}", f"R3 linked {notice.id}"


def notices_in_force(grounds: Grounds, as_of: int) -> tuple[PublicNotice, ...]:
    """The notices that a determination at that instant may rest on."""
    return tuple(notice for notice in grounds.notice if notice.effective_ms <= as_of)


def evaluate_item(item: Evidence, grounds: Grounds, as_of: int) -> EvaluatedItem:
    """Weigh one item under every rule that is in force at `as_of` (ms)."""
    always = (_check_date(item, as_of), _check_confirmation(item))
    own = _check_link(item, grounds, grounds.link.own)
    rules: dict[str, tuple[Condition, ...]] = {}
    on_platform = (*always, _check_conduct(item, grounds.on_platform.conduct))
    if item.kind == "on_platform":
        rules["R1"] = (*on_platform, own)
    for notice in notices_in_force(grounds, as_of):
        outside, continued, linked = rule_names(notice)
        if item.kind == "off_platform":
            counts = (*always, _check_conduct(item, notice.conduct), own)
            rules[outside] = counts
            rules[continued] = (*counts, _check_beyond(item, notice, as_of))
        else:
            ties = _check_link(item, grounds, grounds.link.own + grounds.link.linked)
            rules[linked] = (*on_platform, ties, _check_before(item, notice, as_of))
    return EvaluatedItem(item, rules)


def _check_date(item: Evidence, as_of: int) -> Condition:
    first = item.began.earliest
    later = first is not None and first > as_of
    fails = f"it shows conduct after {format_instant(as_of)}, as of which is determined"
    return Condition(Ternary.NO if later else Ternary.YES, fails, "")


def _check_confirmation(item: Evidence) -> Condition:
    return Condition(
        Ternary(item.confirmed),
        "a person found that it does not show this",
        f"that a person confirms that {item.exhibit} shows it",
    )


def _check_conduct(item: Evidence, wanted: tuple[str, ...]) -> Condition:
    known = Ternary.YES if item.conduct in wanted else Ternary.NO
    return Condition(
        Ternary.UNKNOWN if item.conduct == "unknown" else known,
        f"the conduct that it shows is not to have {' or '.join(wanted)}",
        f"whether {item.exhibit} shows that the party {' or '.join(wanted)} others"
        if "assisted" in wanted
        else f"whether {item.exhibit} shows that the party engaged in abuse",
    )


def _check_link(item: Evidence, grounds: Grounds, bases: tuple[Basis, ...]) -> Condition:
    least = grounds.link.least
    if item.basis not in bases:
        fails = f"it is tied to the party by {item.basis.replace('_', ' ')} only"
        return Condition(Ternary.NO, fails, "")
    needs = f"how strongly {item.exhibit} is tied to the party: at least {least}"
    if item.strength is Strength.UNKNOWN:
        return Condition(Ternary.UNKNOWN, "", needs)
    enough = STRENGTHS.index(item.strength) >= STRENGTHS.index(least)
    fails = f"its tie to the party is {item.strength}, under {least}"
    return Condition(Ternary.YES if enough else Ternary.NO, fails, needs)


def _check_beyond(item: Evidence, notice: PublicNotice, as_of: int) -> Condition:
    """Whether the conduct went on at or after the boundary: the last instant is no earlier."""
    boundary = notice.beyond_ms
    starts = [end for end in (item.began.earliest, item.lasted.earliest) if end is not None]
    latest = as_of if item.lasted.latest is None else min(item.lasted.latest, as_of)
    answer = Ternary.UNKNOWN
    if starts and min(max(starts), as_of) >= boundary:
        answer = Ternary.YES
    elif latest < boundary:
        answer = Ternary.NO
    return Condition(
        answer,
        f"it does not show conduct at or after {notice.beyond}",
        f"whether the conduct in {item.exhibit} continued at or after {notice.beyond}",
    )


def _check_before(item: Evidence, notice: PublicNotice, as_of: int) -> Condition:
    """Whether the conduct began before the boundary."""
    boundary = notice.beyond_ms
    ends = [end for end in (item.began.latest, item.lasted.latest, as_of) if end is not None]
    answer = Ternary.UNKNOWN
    if min(ends) < boundary:
        answer = Ternary.YES
    elif item.began.earliest is not None and item.began.earliest >= boundary:
        answer = Ternary.NO
    return Condition(
        answer,
        f"it does not show conduct before {notice.beyond}",
        f"whether the conduct in {item.exhibit} began before {notice.beyond}",
    )


Ranks = tuple[int, ...]
"""Ranks (0 no, 1 unknown, 2 yes): R1, then for each notice outside, continued, linked."""


def rule_ranks(weighed: EvaluatedItem, grounds: Grounds, as_of: int) -> Ranks:
    """What one item says to each rule."""
    rules = ["R1", *(name for n in notices_in_force(grounds, as_of) for name in rule_names(n))]
    return tuple(RANK[weighed.answer(rule)] for rule in rules)


def max_ranks(many: Iterable[Ranks], width: int) -> Ranks:
    """The most that any says, rule by rule; no where nobody speaks."""
    return tuple(max(column) for column in zip((0,) * width, *many, strict=True))


def combined_ranks(weighed: Sequence[EvaluatedItem], grounds: Grounds, as_of: int) -> Ranks:
    """What all items together say."""
    width = 1 + 3 * len(notices_in_force(grounds, as_of))
    return max_ranks((rule_ranks(w, grounds, as_of) for w in weighed), width)


def outcome(said: Ranks) -> int:
    """Follow from what is said: 0 not eligible, 1 undetermined, 2 eligible.

    >>> outcome((0, 2, 0, 2)), outcome((0, 2, 1, 0)), outcome((0, 0, 0, 2))
    (2, 1, 0)
    """
    notices = [said[at : at + 3] for at in range(1, len(said), 3)]
    return max([said[0], *(max(on, min(out, linked)) for out, on, linked in notices)])
