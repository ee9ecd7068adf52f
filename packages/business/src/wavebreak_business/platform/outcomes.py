"""What becomes of a send, in neutral names with the field's code beside; what to do about it."""

from __future__ import annotations

from typing import NamedTuple

from wavebreak_business.platform import kernel as k
from wavebreak_business.settings import MESSENGER, Code, Settings


class SendOutcome(NamedTuple):
    """An outcome.

    Attributes:
        name: Its neutral name.
        code: The code by which the field knows it; "": it has none.
        meaning: What happened, where no code says it.
    """

    name: str
    code: str = ""
    meaning: str = ""
    fix: str = ""


OUTCOMES: dict[int, SendOutcome] = {
    k.IN_WINDOW: SendOutcome("accepted"),
    k.SENT: SendOutcome("accepted"),
    k.HELD: SendOutcome(
        "held", "",
        "It is held until the first people have had time to react, and goes out or is dropped.",
        "Wait for it: sending it again holds it again.",
    ),
    k.NO_PORTFOLIO: SendOutcome(
        "no_portfolio", "", "The sender is no number of a registered portfolio.",
        "Register the portfolio and its number; until then its sender is judged as a person.",
    ),
    k.LOCKED: SendOutcome("locked", "131031"),
    k.BLOCKED: SendOutcome("blocked", "368"),
    k.RESTRICTED: SendOutcome("restricted", "368"),
    k.THROUGHPUT: SendOutcome("throughput", "130429"),
    k.TEMPLATE_MISSING: SendOutcome("template_missing", "132001"),
    k.TEMPLATE_PAUSED: SendOutcome("template_paused", "132015"),
    k.TEMPLATE_DISABLED: SendOutcome("template_disabled", "132016"),
    k.OPTED_OUT: SendOutcome("opted_out", "131050"),
    k.WINDOW_CLOSED: SendOutcome("window_closed", "131047"),
    k.NO_CONSENT: SendOutcome(
        "no_consent", "", "The person has not agreed to messages of this category.",
        "Ask for consent where the person meets you, and send the grant with its proof.",
    ),
    k.PAIR_RATE: SendOutcome("pair_rate", "131056"),
    k.LIMIT: SendOutcome("limit", "131048"),
    k.PERSON_CAP: SendOutcome("person_cap", "131049"),
}  # fmt: skip
"""Every outcome of the compiled rules by its code there."""


def code_of(outcome: int, settings: Settings) -> Code | None:
    """Return what the table of codes says of an outcome; None where the field has no code.

    >>> from wavebreak_business.settings import load_settings
    >>> code_of(k.OPTED_OUT, load_settings()).stop
    'person'
    """
    code = OUTCOMES[outcome].code
    return settings.code(MESSENGER, code) if code else None
