"""Which parties may be one: pairs proposed with reasons. Nothing is merged by itself."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from pathlib import Path

import msgspec
from rapidfuzz import fuzz

from wavebreak import sheets
from wavebreak.cases.parties import Party

PARTIES = 2_000
"""Parties that are compared by name at most: the pairs grow by the square."""


class Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The terms of proposals, from `cases/names.toml`."""

    propose: float
    weight: dict[str, float]
    name: dict[str, float]
    legal: dict[str, tuple[str, ...]]
    shared: dict[str, tuple[str, ...]]


class Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two parties that may be one: how much speaks for it (0 to 1), and what."""

    party: str
    other: str
    score: float
    reasons: tuple[str, ...]


def load_names(directory: Path | None = None) -> Names:
    """Read the terms: the shipped ones, or `cases/names.toml` of a local policy."""
    return sheets.read(sheets.chosen("cases/names.toml", directory), Names)


def normal(name: str, suffixes: Iterable[str]) -> str:
    """Write a name so that spellings of one name meet: no case, marks, punctuation or legal form.

    >>> normal("Envíos Rápidos, S.A. de C.V.", ["s a de c v"])
    'envios rapidos'
    >>> normal('שיווק ישיר בע"מ', ["בעמ"])
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


def host(address: str) -> str:
    """Host of an address or domain, without www.

    >>> host("https://www.Example.org/prices"), host("example.org")
    ('example.org', 'example.org')
    """
    bare = re.sub(r"^[a-z]+://", "", address.strip().lower()).split("/")[0].split("@")[-1]
    return bare.split(":")[0].removeprefix("www.").rstrip(".")


def proposals(parties: Sequence[Party], terms: Names) -> tuple[Proposal, ...]:
    """Propose pairs of parties that may be one, the likeliest first, each with its reasons.

    Pairs come from what they have in common, and, among the first `PARTIES`, from their names.
    """
    live = [party for party in parties if not party.same_as]
    found: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for kind, of in _marks(terms).items():
        owners: dict[str, list[str]] = defaultdict(list)
        for party in live:
            for mark in dict.fromkeys(of(party)):
                owners[mark].append(party.id)
        for mark, ids in owners.items():
            for pair in combinations(ids[:100], 2):
                found[pair][f"the same {kind}: {mark}"] = terms.weight[kind]
    for one, other in combinations(live[:PARTIES], 2):
        likeness, reason = _alike(one, other, terms)
        if likeness > 0:
            found[one.id, other.id][reason] = likeness
    made = (_proposal(pair, reasons) for pair, reasons in found.items())
    kept = [proposal for proposal in made if proposal.score >= terms.propose]
    return tuple(sorted(kept, key=lambda p: (-p.score, p.party, p.other)))


def _proposal(pair: tuple[str, str], reasons: dict[str, float]) -> Proposal:
    """Independent reasons together: what is left of the doubt after each."""
    doubt = 1.0
    for weight in reasons.values():
        doubt *= 1 - weight
    told = tuple(sorted(reasons, key=lambda reason: -reasons[reason]))
    return Proposal(*pair, round(1 - doubt, 3), told)


def _marks(terms: Names) -> dict[str, Callable[[Party], Iterable[str]]]:
    shared = set(terms.shared["hosts"])

    def hosts(addresses: Iterable[str]) -> list[str]:
        found = [host(address) for address in addresses]
        return [h for h in found if h and not any(h == s or h.endswith(f".{s}") for s in shared)]

    return {
        "domain": lambda p: hosts((*p.domains, *p.sites)),
        "number": lambda p: p.numbers,
        "app": lambda p: [app.casefold() for app in p.apps],
        "site": lambda p: [site.strip().rstrip("/").lower() for site in p.sites],
    }


def _alike(one: Party, other: Party, terms: Names) -> tuple[float, str]:
    """How much two parties' names, aliases included, speak for one party."""
    least, suffixes = terms.name["from"], terms.legal["suffixes"]
    best, reason = 0.0, ""
    for a in (one.name, *one.aliases)[:20]:
        for b in (other.name, *other.aliases)[:20]:
            left, right = normal(a, suffixes), normal(b, suffixes)
            if not left or not right:
                continue
            likeness = float(fuzz.token_sort_ratio(left, right))
            if likeness > best:
                best, reason = likeness, f"names alike ({likeness:.0f} of 100): {a} | {b}"
    if best < least:
        return 0.0, ""
    return terms.weight["name"] * (best - least + 1) / (100 - least + 1), reason
