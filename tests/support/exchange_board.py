"""An exchange within one process, for groups of shards in threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Board:
    """An exchange within one process: what groups say, by round."""

    groups: int
    said: dict[tuple[int, int], bytes] = field(default_factory=dict)
    news: threading.Condition = field(default_factory=threading.Condition)


@dataclass
class Seat:
    """A group's place at a board."""

    board: Board
    group: int

    @property
    def groups(self) -> int:
        return self.board.groups

    def all(self, number: int, row: bytes) -> Sequence[bytes]:
        keys = [(number, group) for group in range(self.groups)]
        with self.board.news:
            assert self.board.said.setdefault(keys[self.group], row) == row
            self.board.news.notify_all()
            there = self.board.news.wait_for(lambda: all(k in self.board.said for k in keys), 60)
            assert there, f"round {number}"
            return [self.board.said[key] for key in keys]
