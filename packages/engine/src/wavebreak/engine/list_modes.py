"""What an administrator says of outside lists: the most that each one's word does."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

Mode = Literal["observe", "delay", "refuse"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""What a hit may do, mildest first: nothing, a first message as a request, a refusal of it."""


class ListTerms(NamedTuple):
    """What an administrator says of a list: its mode, whom to ask, and until when pauses are over.

    Attributes:
        mode: The most that a hit does.
        keeper: Where its keeper can be asked ("": not known).
        resumed_ms: Pauses that began before are over.
    """

    mode: Mode = "observe"
    keeper: str = ""
    resumed_ms: int = 0
