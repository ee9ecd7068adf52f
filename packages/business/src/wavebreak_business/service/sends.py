"""Turns over sends and over acts of people: each id once, and the same answer to who repeats it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import msgspec

from wavebreak.schema.events import (
    AccountDeleted,
    AccountRegistered,
    MessageRead,
    MessageSent,
    MessageUndeliverable,
    UserBlocked,
    UserReported,
)
from wavebreak_business.platform import kernel as k
from wavebreak_business.platform.events import AccountIdChanged, EntryOpened, UserMuted
from wavebreak_business.platform.outcomes import OUTCOMES, code_of
from wavebreak_business.platform.platform import Platform
from wavebreak_business.platform.portfolios import Portfolio
from wavebreak_business.service.live_platform import Turn
from wavebreak_business.service.reporters import weighed
from wavebreak_business.settings import Settings
from wavebreak_server.errors import ApiError
from wavebreak_server.http.schemas import Response

T = TypeVar("T")

ActType = Literal[
    "message.sent", "message.undeliverable", "message.read", "user.blocked", "user.reported",
    "user.muted", "entry.opened", "account.id_changed", "account.deleted", "account.registered",
]  # fmt: skip
_ACTS: dict[str, Any] = {
    str(each.__struct_config__.tag): each
    for each in (
        MessageSent, MessageUndeliverable, MessageRead, UserBlocked, UserReported, UserMuted,
        EntryOpened, AccountIdChanged, AccountDeleted, AccountRegistered,
    )
}  # fmt: skip
_OF_NUMBER = "message.undeliverable"
"""The act that a number tells of a person; all others are acts of people."""
ALONE = ("account.deleted", "account.registered")
"""Acts that concern no number."""


class SendAnswer(Response):
    """What becomes of a send: whether it goes out, else why not, and from when it would.

    `code` is the field's, where it has one. `retry_at_ms` is null where nothing opens by itself.
    `basis` of one that goes out: `window`, `consent`, or `not_required`.
    """

    id: str
    allowed: bool
    outcome: str
    code: str
    at_ms: int
    retry_at_ms: int | None
    basis: str


class OutcomeMeaning(Response):
    """What an outcome means, and what to do."""

    outcome: str
    code: str
    meaning: str
    fix: str


class SendAnswers(Response):
    """The answers in the order of the sends, and what the outcomes among them mean."""

    portfolio: str
    answers: list[SendAnswer]
    outcomes: list[OutcomeMeaning]


class AskedSend(NamedTuple):
    """A send that is asked about, with the pseudonym of its person."""

    id: str
    number: str
    person: str
    template: str | None


class ToldAct(NamedTuple):
    """What a person did, or what became of a send to them, with their pseudonyms.

    `account` is who tells it, as the request named it: it is compared, and stored nowhere.
    """

    id: str
    account: str
    ts: int
    type: ActType
    person: str
    number: str | None
    previous: str | None


class EdgeKeys(Protocol):
    """Keys of the edge: what is stored of an id, and of what it stands for, says neither."""

    def id_key(self, *names: str) -> bytes:
        """Return the key of an id."""

    def digest(self, *values: str | bool | None) -> bytes:
        """Return a digest of what an id stands for."""


def not_found() -> ApiError:
    """Return what who names a portfolio is told that is not theirs, or that there is not."""
    return ApiError(
        404, "there is no such portfolio", fix="list yours: GET /v1/business, or have it registered"
    )


def portfolio_of(platform: Platform, name: str) -> Portfolio:
    """Return a portfolio; raises ApiError (404) where there is none."""
    found = platform.portfolio(name)
    if found is None:
        raise not_found()
    return found


def decide(turn: Turn, portfolio: str, sends: Sequence[AskedSend], edge: EdgeKeys) -> list[Any]:
    """Decide sends of a portfolio; return the answer of each as JSON, in their order.

    Raises:
        ApiError: There is no such portfolio (404), or an id stood for another send (409).
    """
    known = portfolio_of(turn.platform, portfolio)
    keys = [edge.id_key("send", portfolio, send.id) for send in sends]
    digests = [edge.digest(*send[1:]) for send in sends]
    answers, fresh = sort_out(turn, keys, digests, sends)
    events = [
        MessageSent(
            ts=turn.now_ms, id=key.hex(), account=send.number, peer=send.person,
            template=send.template,
        )
        for key, (send, _) in fresh.items()
        if send.number in known.numbers
    ]  # fmt: skip
    made = {each.id: each for each in turn.take(events).answers} if events else {}
    taken = []
    for key, (send, digest) in fresh.items():
        one = made.get(key.hex())
        if one is None:
            row = OUTCOMES[k.NO_PORTFOLIO]
            answer = SendAnswer(send.id, False, row.name, row.code, turn.now_ms, None, "")
        else:
            answer = SendAnswer(
                send.id, one.accepted, one.outcome, one.code, one.at, one.retry_at, one.basis
            )
        answers[key] = msgspec.json.encode(answer)
        taken.append((key, digest, answers[key]))
    turn.note(taken)
    return [msgspec.json.decode(answers[key], type=SendAnswer) for key in keys]


def sort_out(
    turn: Turn, keys: Sequence[bytes], digests: Sequence[bytes], items: Sequence[T]
) -> tuple[dict[bytes, bytes], dict[bytes, tuple[T, bytes]]]:
    """Return the answers of items that were taken before, and those that are new, by key.

    Args:
        turn: The turn.
        keys: The key of each item's id.
        digests: What each id stands for.
        items: The items; each new one is returned once, with its digest.

    Raises:
        ApiError: An id stood for something else (409).
    """
    found = turn.taken(keys)
    taken = {key: each.stands_for for key, each in found.items()}
    for key, digest in zip(keys, digests, strict=True):
        if taken.setdefault(key, digest) != digest:
            raise ApiError(
                409, "an id stands for something else already", fix="give each its own id"
            )
    fresh = {
        key: (item, digest)
        for key, item, digest in zip(keys, items, digests, strict=True)
        if key not in found
    }
    return {key: each.answer for key, each in found.items()}, fresh


def without_other_ids(
    turn: Turn, keys: Sequence[bytes], digests: Sequence[bytes], items: Sequence[T]
) -> list[T]:
    """Return items but those whose id stood for something else, before or among them."""
    stands = {key: each.stands_for for key, each in turn.taken(keys).items()}
    return [
        item
        for key, digest, item in zip(keys, digests, items, strict=True)
        if stands.setdefault(key, digest) == digest
    ]


def meanings(answers: Sequence[SendAnswer], settings: Settings) -> list[OutcomeMeaning]:
    """Return what the outcomes among answers mean, in the order of the table."""
    found = {answer.outcome for answer in answers}
    told = {}
    for outcome, row in OUTCOMES.items():
        if row.name in found and outcome >= k.HELD:
            code = code_of(outcome, settings)
            meaning, fix = (code.meaning, code.fix) if code else (row.meaning, row.fix)
            told[row.name] = OutcomeMeaning(row.name, row.code, meaning, fix)
    return list(told.values())


def tell(
    turn: Turn, acts: Sequence[ToldAct], edge: EdgeKeys, weights: Mapping[str, int]
) -> tuple[int, int]:  # fmt: skip
    """Let the platform take acts; return how many were new, and how many it had before.

    Args:
        turn: The turn.
        acts: The acts, in their order.
        edge: Keys of the edge.
        weights: What reactions of people weigh, in hundredths, by pseudonym.

    Raises:
        ApiError: An id stood for another act (409), or a number's own send is told (422).
    """
    for act in acts:
        if act.type == "message.sent" and act.account in turn.platform.registry.numbers:
            raise ApiError(
                422, "a number's own send is not told here", fix="ask POST /v1/business/decide"
            )
    keys = [edge.id_key("act", act.id) for act in acts]
    digests = [edge.digest(*act[3:]) for act in acts]
    _, fresh = sort_out(turn, keys, digests, acts)
    if fresh:
        # Between people, nothing of it is stored: neither who they are nor what number it was.
        numbers = turn.platform.registry.numbers
        events = [
            _event(act, key.hex())
            for key, (act, _) in fresh.items()
            if act.number is None or act.number in numbers
        ]
        if events:
            reacting = {act.person for act, _ in fresh.values() if act.number in numbers}
            known = {person: w for person, w in weights.items() if person in reacting}
            turn.take([*weighed(turn.platform, known, turn.now_ms), *events])
        turn.note((key, digest, b"") for key, (_, digest) in fresh.items())
    return len(fresh), len(acts) - len(fresh)


def _event(act: ToldAct, name: str) -> Any:
    """Return an act as an event, with the fields that the platform reads and no other."""
    kind = _ACTS[act.type]
    if act.type == _OF_NUMBER:
        return kind(ts=act.ts, id=name, account=act.number, peer=act.person)
    if act.type == "account.id_changed":
        return kind(ts=act.ts, id=name, account=act.person, previous=act.previous)
    if act.type in ALONE:
        return kind(ts=act.ts, id=name, account=act.person)
    return kind(ts=act.ts, id=name, account=act.person, peer=act.number)
