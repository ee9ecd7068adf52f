"""What can tie an account to a party: which exhibits show a tie, and ties that were overruled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from wavebreak.errors import CaseError
from wavebreak_cases.cases.case import Case, Exhibit, weaker_ties
from wavebreak_cases.cases.parties import Basis, Evidence, Link

_PAGES = (".html", ".warc", ".warc.gz", ".wacz")
_ANY = frozenset({"page", "document", "test_purchase", "partner_notice", "reply"})
SHOWN_BY: dict[Basis, frozenset[str]] = {
    Basis.STATEMENT: _ANY,
    Basis.NUMBER: _ANY,
    Basis.PAYMENT: frozenset({"document", "test_purchase", "partner_notice", "reply"}),
    Basis.PURCHASE: frozenset({"document", "test_purchase"}),
    Basis.INFRASTRUCTURE: frozenset({"page", "document", "partner_notice", "platform_run"}),
    Basis.ADMISSION: frozenset({"page", "document", "reply"}),
    Basis.AFFILIATION: _ANY,
    Basis.SUCCESSION: _ANY,
}
"""The kinds of exhibit that can show each tie: no web page shows that somebody paid."""
_NAMES = {
    "page": "web page", "document": "document", "test_purchase": "test purchase",
    "partner_notice": "partner's notice", "reply": "reply", "platform_run": "run",
    "delivery": "proof of delivery",
}  # fmt: skip


def exhibit_kind(exhibit: Exhibit) -> str:
    """Return what an exhibit is to a tie: its kind, but for pages, which are `page` however added.

    >>> exhibit_kind(Exhibit("E1", "document", "Prices", "exhibits/E1", {"original.html": ""}, 0))
    'page'
    """
    archived = any(name.endswith(_PAGES) for name in exhibit.sha256)
    return "page" if exhibit.kind == "claim" or archived else exhibit.kind


def can_show(basis: Basis, exhibit: Exhibit) -> bool:
    """Whether an exhibit is of a kind that can show a tie."""
    return exhibit_kind(exhibit) in SHOWN_BY[basis]


def require_fitting(basis: Basis, exhibit: Exhibit) -> None:
    """Raise CaseError where an exhibit is of a kind that cannot show a tie."""
    if not can_show(basis, exhibit):
        tie, kind = str(basis).replace("_", " "), _NAMES[exhibit_kind(exhibit)]
        kinds = ", ".join(sorted(_NAMES[each] for each in SHOWN_BY[basis]))
        raise CaseError(
            f"{exhibit.id} is a {kind}: it shows no tie by {tie}",
            fix=f"name the exhibit that shows it ({kinds}), or the tie that {exhibit.id} shows",
        )


OVERRULED = (
    "{item} is tied {strength}, but its account {account} is tied {weaker} only, by {tie} "
    "({exhibit}): a payment, a test purchase or an admission, in an exhibit of its own, would "
    "strengthen that"
)


class OverruledTie(NamedTuple):
    """An item that is tied to its party more strongly than an account of it is."""

    item: Evidence
    link: Link

    @property
    def values(self) -> dict[str, str]:
        """What `OVERRULED` leaves open."""
        return {
            "item": self.item.id,
            "strength": str(self.item.strength),
            "account": self.link.account,
            "weaker": str(self.link.strength),
            "tie": str(self.link.basis).replace("_", " "),
            "exhibit": self.link.exhibit,
        }

    def sentence(self) -> str:
        """Say it, and what would strengthen the tie."""
        return OVERRULED.format_map(self.values)


def overruled_ties(case: Case) -> Iterator[OverruledTie]:
    """Items whose own tie is stronger than the strongest of one of their accounts."""
    for item in case.evidence.values():
        if item.confirmed != "no":
            for link in weaker_ties(case, item):
                yield OverruledTie(item, link)
