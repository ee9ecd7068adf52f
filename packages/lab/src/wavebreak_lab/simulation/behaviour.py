"""Parameters of how people converse and how they respond to unsolicited messages."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wavebreak.durations import HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.log import Ints


@dataclass(frozen=True, slots=True)
class ConversationStyle:
    """How people converse. Times are milliseconds; spreads are sigmas of natural logarithms.

    `turn_first`: the chance that the first message is followed by the other; `turn`: any later.
    `answer_gap` and `own_gap` are median gaps before the other's and before one's own next
    message. Text has `characters` (median) and becomes `overhead` bytes of ciphertext and blocks
    of 16. `media` are shares of MEDIA. `speed` is typed characters a second. A message is
    delivered after `deliver` (median), or, for `offline` of them, after `offline_delay`; it is
    read after `look`, unless `unread`. `dead` of messages cannot be delivered at all.
    """

    turn_first: float = 0.78
    turn: float = 0.56
    answer_gap: float = 28 * SECOND_MS
    answer_spread: float = 1.35
    own_gap: float = 9 * SECOND_MS
    own_spread: float = 1.15
    longest_gap: float = 5 * HOUR_MS
    characters: float = 26.0
    characters_spread: float = 0.95
    overhead: int = 96
    media: tuple[float, ...] = (0.85, 0.06, 0.035, 0.035, 0.01, 0.01)
    speed: float = 4.0
    speed_spread: float = 0.7
    deliver: float = 700.0
    deliver_spread: float = 0.9
    offline: float = 0.12
    offline_delay: float = 25 * MINUTE_MS
    offline_spread: float = 1.4
    look: float = 45 * SECOND_MS
    look_spread: float = 1.8
    unread: float = 0.1
    dead: float = 0.0005
    length: float = 5.0
    length_spread: float = 0.8
    longest: int = 150

    def lengths(self, rng: np.random.Generator, count: int) -> Ints:
        """Draw how many messages conversations have."""
        counts = 1 + rng.lognormal(np.log(self.length), self.length_spread, count)
        return np.minimum(counts, self.longest).astype(np.int64)

    def mean_length(self) -> float:
        """Return the mean number of messages of a conversation (one half a message is cut off)."""
        return float(self.length * np.exp(self.length_spread**2 / 2) + 0.5)


STYLE = ConversationStyle()
"""How people converse."""


def adjust_style(style: ConversationStyle, **changes: float) -> ConversationStyle:
    """Return a style with some numbers changed."""
    return replace(style, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class RecipientBehaviour:
    """How recipients meet a message that they did not ask for; shares are of messages delivered.

    Of those who read (`read`), some answer, block or report, each at most once a sender: the
    shares below are of all delivered. Delays after reading are log-normal: median milliseconds
    and sigma; a report may come hours later, or never. `report_reasons` are shares of spam, scam,
    other.
    """

    read: float = 0.45
    reply: float = 0.02
    block: float = 0.045
    report: float = 0.02
    reply_delay: float = 3 * MINUTE_MS
    block_delay: float = 2 * MINUTE_MS
    report_delay: float = 25 * MINUTE_MS
    spread: float = 1.7
    report_reasons: tuple[float, float, float] = (0.7, 0.2, 0.1)


UNWANTED = RecipientBehaviour()
"""Bulk messages from strangers."""

TOLERATED = RecipientBehaviour(read=0.7, reply=0.08, block=0.003, report=0.0005)
"""Messages that people asked for, or understand."""


@dataclass(frozen=True, slots=True)
class MessageContent:
    """What an operator sends: a template of `characters`, varied by `variation` (one sigma).

    `known`: recipients who happen to have the sender in contacts. `dead`: numbers that are no
    accounts any more. `image`: the share sent as a picture.
    """

    characters: float = 160.0
    variation: float = 14.0
    overhead: int = 96
    known: float = 0.01
    dead: float = 0.02
    image: float = 0.15
    image_bytes: float = 90e3


DEFAULT_CONTENT = MessageContent()
