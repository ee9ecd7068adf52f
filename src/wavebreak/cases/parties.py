"""Who a case is about: persons and companies, what ties them together and accounts to them."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from wavebreak.cases.dates import Span
from wavebreak.errors import CaseError

Text = Annotated[str, Meta(min_length=1, max_length=300)]
Long = Annotated[str, Meta(max_length=4_000)]
Names = Annotated[tuple[Text, ...], Meta(max_length=500)]


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

    `same_as` names the party into which a person has merged it ("": none).
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

    def __post_init__(self) -> None:
        """Refuse a number that is not E.164: two spellings would never meet."""
        for number in self.numbers:
            if not re.fullmatch(r"\+[1-9][0-9]{5,14}", number):
                raise CaseError(
                    f"party {self.id}, numbers: not E.164", fix="write it like +972501234567"
                )


class Relation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two parties that hang together: `party` is, of `other`, what `kind` says; by an exhibit."""

    party: Text
    other: Text
    kind: Literal["affiliate", "successor", "owner", "officer", "reseller"]
    strength: Strength
    exhibit: Text


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account, by its pseudonym, that is taken to be a party's; by an exhibit."""

    party: Text
    account: Text
    basis: Basis
    strength: Strength
    exhibit: Text


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one exhibit shows of a party's conduct.

    `kind` says where it was seen. `began` holds the instant at which the conduct began, `lasted`
    the last instant at which it is shown to have gone on; "ongoing for all that is known" is an
    open end. `basis` and `strength` tie the exhibit to the party. `conduct` is what the party did:
    it engaged in abuse itself, or assisted others. `confirmed` says whether a person (`by`)
    has found the exhibit to show this.
    """

    id: Text
    party: Text
    exhibit: Text
    kind: Literal["on_platform", "off_platform"]
    conduct: Literal["engaged", "assisted", "neither", "unknown"]
    began: Span
    lasted: Span
    basis: Basis
    strength: Strength
    confirmed: Literal["yes", "no", "unknown"] = "unknown"
    by: str = ""
    about: Long = ""

    def __post_init__(self) -> None:
        """Refuse conduct that ended before it began."""
        first, last = self.began.earliest, self.lasted.latest
        if first is not None and last is not None and last < first:
            raise CaseError(
                f"evidence {self.id}: the conduct ends before it begins",
                fix="mend `began` or `lasted`",
            )
