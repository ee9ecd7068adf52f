"""Ledger of consent: who agreed to what, by whose word, and on what basis a send was.

Words stay in the order of the log. A claim of a business is kept, and is no basis without proof or
after a revocation: whoever opted out opts in again by their own word alone, since nobody can check
the proof. A revocation binds from the next message on, within its scope; the rules are those of the
compiled ones, written as one reads them (`tests` compare both).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
import numpy as np

from wavebreak.features.memory import GrowableArray
from wavebreak_business.platform.kernel import ANY, NONE
from wavebreak_business.platform.laws import CATEGORIES, categories_mask
from wavebreak_business.settings import Limits

WORD = np.dtype(
    [("position", "i8"), ("at", "i8"), ("number", "u4"), ("prev", "i4"), ("source", "u2"),
     ("category", "u1"), ("granted", "u1"), ("counts", "u1"), ("proven", "u1"),
     ("proof", "u1", 32), ("portfolio", "u4"), ("person", "u4")]
)  # fmt: skip
"""A word on consent. `prev`: the one before it of the same person and portfolio (-1: none)."""
MAX_SOURCES = 10_000


class Word(msgspec.Struct, frozen=True):
    """A word of a person, or one that a business claims.

    Attributes:
        position: Where it stands in the log.
        at: When it was said (ms).
        granted: False: revoked.
        number: The number that it is about; None: the portfolio.
        category: None: a grant of all, or a revocation of what the limits say.
        proof: Digest of its record.
        counts: Whether it is a basis; a claim without proof, or after a revocation, is none.
    """

    position: int
    at: int
    granted: bool
    number: int | None
    category: str | None
    source: str
    proof: str | None
    counts: bool


class Basis(msgspec.Struct, frozen=True):
    """On what basis a message may be sent: the state of consent, and the word that made it so."""

    state: Literal["granted", "revoked", "none"]
    word: Word | None = None


class Consents:
    """The words on consent of all portfolios.

    >>> from wavebreak_business.settings import load_limits
    >>> consents = Consents(load_limits())
    >>> consents.add(0, 7, position=1, at=5, granted=True, category="marketing", source="person")
    True
    >>> consents.basis(0, 7, 3, "marketing").state
    'granted'
    """

    def __init__(self, limits: Limits) -> None:
        self._trusted = frozenset(limits.consent.trusted)
        self._covered = categories_mask(limits.revocation.categories)
        self._words, self._count = GrowableArray(WORD, 256), 0
        self._last: dict[int, int] = {}
        self._same: dict[int, list[int]] = {}
        self._sources: dict[str, int] = {}

    def __len__(self) -> int:
        return self._count

    def add(
        self, portfolio: int, person: int, *, position: int, at: int, granted: bool, source: str,
        number: int = NONE, category: str | None = None, proof: str | None = None,
    ) -> bool:  # fmt: skip
        """Keep a word; return whether it counts.

        A grant needs a trusted source, or a proof where the person has revoked nothing of it.
        """
        counts = not granted or source in self._trusted
        if not counts and proof is not None:
            counts = not self._has_revoked(portfolio, person, number, category)
        self._words.fit(self._count + 1)
        word = self._words.records[self._count]
        key = portfolio << 32 | person
        word["position"], word["at"], word["number"] = position, at, number
        word["prev"], word["source"] = self._last.get(key, -1), self._source(source)
        word["category"] = CATEGORIES.index(category) if category else ANY
        word["granted"], word["counts"], word["proven"] = granted, counts, proof is not None
        if proof is not None:
            word["proof"] = np.frombuffer(bytes.fromhex(proof), np.uint8)
        word["portfolio"], word["person"] = portfolio, person
        self._last[key] = self._count
        self._count += 1
        return counts

    def _has_revoked(
        self, portfolio: int, person: int, number: int, category: str | None
    ) -> bool:  # fmt: skip
        """Whether a revocation holds in the scope of a grant, by number and category."""
        words = self.words(portfolio, person)
        scopes = [[w for w in words if w.number == scope] for scope in {None, number}]
        asked = CATEGORIES if category is None else (category,)
        return any(self._fold(said, each).state == "revoked" for said in scopes for each in asked)

    def _source(self, source: str) -> int:
        """Return the number of a source; beyond `MAX_SOURCES` they share the last."""
        if source not in self._sources and len(self._sources) >= MAX_SOURCES:
            source = "other"
        return self._sources.setdefault(source, len(self._sources))

    def merge_people(self, kept: int, gone: int) -> None:
        """Let two people be one."""
        if kept != gone:
            self._same.setdefault(kept, []).extend([gone, *self._same.pop(gone, ())])

    def people(self) -> Any:
        """Return the people who said something, and those who are one with them."""
        same = [each for kept, gone in self._same.items() for each in (kept, *gone)]
        said = self._words.records[: self._count]["person"].astype(np.int64)
        return np.concatenate([said, np.array(same, np.int64)])

    def words(self, portfolio: int, person: int) -> list[Word]:
        """Return what a person said to a portfolio, in the order of the log."""
        names, found = list(self._sources), []
        for each in (person, *self._same.get(person, ())):
            place = self._last.get(portfolio << 32 | each, -1)
            while place >= 0:
                found.append(_word(self._words.records[place], names))
                place = int(self._words.records[place]["prev"])
        return sorted(found, key=lambda word: word.position)

    def basis(
        self, portfolio: int, person: int, number: int, category: str, before: int | None = None
    ) -> Basis:  # fmt: skip
        """Return on what basis a message of a category is sent from a number.

        Args:
            portfolio: Slot of the portfolio.
            person: Slot of the person.
            number: Slot of the number that sends.
            category: Of the message.
            before: Position in the log up to which words are heard (None: all of them).
        """
        words = [w for w in self.words(portfolio, person) if before is None or w.position < before]
        general = self._fold((w for w in words if w.number is None), category)
        own = self._fold((w for w in words if w.number == number), category)
        if own.state == "revoked":
            return own
        if own.state == "granted":
            stop = general.word
            last = max(w.at for w in words if w.number == number and w.granted and w.counts)
            if general.state != "revoked" or stop is None or last > stop.at:
                return own
        return general

    def _fold(self, words: Iterable[Word], category: str) -> Basis:
        """Return the state that words leave; a grant from before a revocation lifts nothing."""
        basis, stopped_at = Basis("none"), -1
        latest: Word | None = None
        for word in words:
            if not word.counts:
                continue
            covered = self._covers(word, category)
            if not word.granted:
                if word.at > stopped_at:
                    stopped_at, latest = word.at, word
                if covered:
                    basis = Basis("revoked", word)
            elif covered and (basis.state != "revoked" or word.at > stopped_at):
                basis = Basis("granted", word)
        # A stop of another category too is later than what came before it.
        return Basis("revoked", latest) if basis.state == "revoked" and latest else basis

    def _covers(self, word: Word, category: str) -> bool:
        if word.category is not None:
            return word.category == category
        return word.granted or bool(self._covered >> CATEGORIES.index(category) & 1)

    def dump(self) -> dict[str, Any]:
        """Return the words as named arrays."""
        same = [(kept, gone) for kept, all_gone in self._same.items() for gone in all_gone]
        return {
            "words": self._words.records[: self._count].copy(),
            "sources": np.frombuffer("\n".join(self._sources).encode(), np.uint8),
            "same": np.array(same, np.int64).reshape(-1, 2),
        }

    def load(self, arrays: Mapping[str, Any]) -> None:
        """Restore the words from a dump."""
        self._words.hold(arrays["words"])
        self._count = int(arrays["words"].size)
        names = arrays["sources"].tobytes().decode()
        self._sources = {name: n for n, name in enumerate(names.split("\n"))} if names else {}
        pairs = zip(arrays["words"]["portfolio"], arrays["words"]["person"], strict=True)
        self._last = {int(p) << 32 | int(who): n for n, (p, who) in enumerate(pairs)}
        self._same = {}
        for kept, gone in arrays["same"].tolist():
            self._same.setdefault(kept, []).append(gone)


def _word(record: Any, sources: list[str]) -> Word:
    category = int(record["category"])
    return Word(
        position=int(record["position"]),
        at=int(record["at"]),
        granted=bool(record["granted"]),
        number=None if record["number"] == NONE else int(record["number"]),
        category=None if category == ANY else CATEGORIES[category],
        source=sources[int(record["source"])],
        proof=record["proof"].tobytes().hex() if record["proven"] else None,
        counts=bool(record["counts"]),
    )
