"""Modes of outside lists: an administrator's switch for each list."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

Mode = Literal["off", "observe", "delay"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""The switch of a list: ignored; shown to reviewers; first messages also arrive as requests."""


class ListTerms(NamedTuple):
    """An administrator's terms of a list: its mode, and the contact of its keeper ("": unknown)."""

    mode: Mode = "observe"
    keeper: str = ""
