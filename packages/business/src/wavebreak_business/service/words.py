"""Turns over words on consent, which a person says or a business claims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from wavebreak.ledger.entries import ConsentEntry
from wavebreak.schema.events import Category
from wavebreak_business.platform.events import ConsentGranted, ConsentRevoked
from wavebreak_business.service.live_platform import Turn
from wavebreak_business.service.sends import EdgeKeys, portfolio_of, sort_out
from wavebreak_server.errors import ApiError
from wavebreak_server.http.schemas import Response

_COUNTS, _CLAIM, _REFUSED = b"1", b"0", b"-"
_REASONS = {
    _COUNTS: "",
    _CLAIM: "a claim counts with its proof alone, and not after the person revoked consent",
    _REFUSED: "it is no number of the portfolio",
}


class WordAnswer(Response):
    """What became of a word: whether it is taken, and whether it is a basis.

    A grant that a business claims is none without a proof, nor after the person revoked consent.
    `reason` says why a word is not taken, or is no basis.
    """

    id: str
    taken: bool
    counts: bool
    reason: str


class WordAnswers(Response):
    """The answers in the order of the words."""

    words: list[WordAnswer]


class SaidWord(NamedTuple):
    """A word on consent, with the pseudonym of the person."""

    id: str
    ts: int
    granted: bool
    person: str
    number: str | None
    category: Category | None
    source: str
    proof: str | None


def say(turn: Turn, portfolio: str, words: Sequence[SaidWord], edge: EdgeKeys) -> list[WordAnswer]:
    """Put words into the ledger of consent; return what became of each.

    Raises:
        ApiError: There is no such portfolio (404), or an id stood for another word (409).
    """
    known = portfolio_of(turn.platform, portfolio)
    keys = [edge.id_key("word", portfolio, word.id) for word in words]
    digests = [edge.digest(*word[2:]) for word in words]
    answers, fresh = sort_out(turn, keys, digests, words)
    if fresh:
        # A number that is not the portfolio's is refused here: whose it is is nobody's business. A
        # revocation for one covers the portfolio: too much, not nothing.
        own = {key.hex(): (word, word.number in known.numbers) for key, (word, _) in fresh.items()}
        may = {
            name: word if is_own else word._replace(number=None)
            for name, (word, is_own) in own.items()
            if is_own or word.number is None or not word.granted
        }
        result = turn.take([_event(portfolio, word, name) for name, word in may.items()])
        made = {
            str(draft.hidden_values["id"]): draft.body.counts
            for draft in result.drafts
            if isinstance(draft.body, ConsentEntry)
        }
        for key in fresh:
            counts = made.get(key.hex())
            answers[key] = _REFUSED if counts is None else _COUNTS if counts else _CLAIM
        turn.note((key, digest, answers[key]) for key, (_, digest) in fresh.items())
    return [
        WordAnswer(
            id=word.id,
            taken=answers[key] != _REFUSED,
            counts=answers[key] == _COUNTS,
            reason=_REASONS[answers[key]],
        )
        for key, word in zip(keys, words, strict=True)
    ]


def _event(portfolio: str, word: SaidWord, name: str) -> ConsentGranted | ConsentRevoked:
    kind = ConsentGranted if word.granted else ConsentRevoked
    return kind(
        ts=word.ts, id=name, account=word.person, business=portfolio, number=word.number,
        category=word.category, source=word.source, proof=word.proof,
    )  # fmt: skip


def refuse_trusted(sources: Sequence[str], trusted: Sequence[str]) -> None:
    """Raise ApiError (403) for a source whose word counts without proof: no business claims it."""
    if any(source in trusted for source in sources):
        raise ApiError(
            403,
            "a business does not speak as the person",
            fix="name your own source, and give the proof's digest",
        )
