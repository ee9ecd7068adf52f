"""Sends of a business: the question whether they may go out, and the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wavebreak_client.errors import SettingsError

MOST_SENDS = 500
"""Sends of one question."""


@dataclass(frozen=True)
class Send:
    """A send of a business, before it goes out.

    Attributes:
        id: Its id within the portfolio. Who asks again with it gets the same answer for a day; a
            further try is another send with another id.
        number: The account of the number that sends.
        account: The account of the person.
        template: The template by which it is made; None: free text.

    """

    id: str
    number: str
    account: str
    template: str | None = None


@dataclass(frozen=True)
class SendAnswer:
    """Whether a send goes out.

    Attributes:
        id: The id of the send.
        allowed: Whether it goes out, now or after it was held.
        outcome: accepted, held, or why it does not, such as limit or opted_out.
        code: The field's code of that, such as 131048; empty where it has none.
        at_ms: When it was taken, in milliseconds of the service's time.
        retry_at_ms: From when it would not be refused for this; None: never by itself.
        basis: Of one that goes out: window, consent, or not_required.
        meaning: What the outcome means; empty for accepted.
        fix: What to do; empty for accepted.

    """

    id: str
    allowed: bool
    outcome: str
    code: str = ""
    at_ms: int = 0
    retry_at_ms: int | None = None
    basis: str = ""
    meaning: str = ""
    fix: str = ""


def sends_body(portfolio: str, sends: Sequence[Send]) -> dict[str, Any]:
    """Return the body of a question.

    Raises:
        SettingsError: Where there are no sends, or too many for one question.

    """
    if not 1 <= len(sends) <= MOST_SENDS:
        raise SettingsError(f"give 1 to {MOST_SENDS} sends", fix="ask several times")
    listed = []
    for send in sends:
        told = {"id": send.id, "number": send.number, "account": send.account}
        listed.append(told if send.template is None else told | {"template": send.template})
    return {"portfolio": portfolio, "sends": listed}


def read_answers(members: Any, sends: Sequence[Send]) -> list[SendAnswer]:
    """Return the answers that a JSON object has for sends, in their order.

    Raises:
        ValueError: Where it has none, or others.

    """
    if not isinstance(members, Mapping):
        raise ValueError("the answer is no object")
    answers, outcomes = members.get("answers"), members.get("outcomes", ())
    if not isinstance(answers, list) or not isinstance(outcomes, list):
        raise ValueError("the answer lacks answers or outcomes")
    meanings = {each["outcome"]: each for each in outcomes if isinstance(each, Mapping)}
    found = [_read_answer(each, meanings) for each in answers]
    if [each.id for each in found] != [send.id for send in sends]:
        raise ValueError("the answers are of other sends")
    return found


def _read_answer(members: Any, meanings: Mapping[str, Mapping[str, Any]]) -> SendAnswer:
    if not isinstance(members, Mapping):
        raise ValueError("an answer is no object")
    name, allowed, outcome = (members.get(each) for each in ("id", "allowed", "outcome"))
    if not isinstance(name, str) or not isinstance(outcome, str) or not isinstance(allowed, bool):
        raise ValueError("an answer lacks id, allowed or outcome")
    meaning = meanings.get(outcome, {})
    return SendAnswer(
        id=name,
        allowed=allowed,
        outcome=outcome,
        code=members.get("code", ""),
        at_ms=members.get("at_ms", 0),
        retry_at_ms=members.get("retry_at_ms"),
        basis=members.get("basis", ""),
        meaning=meaning.get("meaning", ""),
        fix=meaning.get("fix", ""),
    )
