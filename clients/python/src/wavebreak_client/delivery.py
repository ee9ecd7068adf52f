"""What to do after a batch of events was sent, and how long to wait before the next try."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NamedTuple

Action = Literal["done", "retry", "hold", "split", "drop"]

BASE_S, LONGEST_S, LONGEST_RETRY_AFTER_S = 0.2, 30.0, 600.0


class Outcome(NamedTuple):
    """What an answer to a batch means.

    `done`: in the log, but for `refused`. `retry`: send it again. `hold`: send it again, the key
    was refused. `split`: send its halves, one event spoils it. `drop`: no event was taken, and
    none would be.
    """

    action: Action
    accepted: int = 0
    late: int = 0
    duplicates: int = 0
    refused: int = 0
    causes: tuple[str, ...] = ()


def read_answer(status: int, body: bytes) -> Outcome:
    """Return what an answer to `POST /v1/events` means.

    >>> read_answer(202, b'{"accepted": 2, "refused": []}').accepted
    2
    >>> [read_answer(status, b"").action for status in (202, 401, 413, 429, 503, 404)]
    ['retry', 'hold', 'split', 'retry', 'retry', 'drop']
    """
    if status in (401, 403):
        return Outcome("hold")
    if status in (408, 409, 425, 429) or status >= 500 or status < 200:
        return Outcome("retry")
    members = _members(body)
    if 200 <= status < 300:
        # A 2xx without the counts is not the service's: its answer was cut, or is a proxy's.
        return _counted(members) if isinstance(members.get("accepted"), int) else Outcome("retry")
    if status == 422 and _number(members, "refused_total") > 0:
        return _counted(members)
    return Outcome("split" if status in (400, 413, 422) else "drop")


def _counted(members: Mapping[str, Any]) -> Outcome:
    listed = members.get("refused")
    refused = (
        [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    )
    causes = {f"{each.get('cause', '')} {each.get('field', '')}".strip() for each in refused}
    return Outcome(
        "done",
        _number(members, "accepted"),
        _number(members, "late"),
        _number(members, "duplicates"),
        max(_number(members, "refused_total"), len(refused)),
        tuple(sorted(cause[:80] for cause in causes)),
    )


def _members(body: bytes) -> Mapping[str, Any]:
    try:
        read = json.loads(body)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _number(members: Mapping[str, Any], name: str) -> int:
    value = members.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """Return how long a Retry-After header asks to wait, at most ten minutes.

    >>> retry_after_s("3", 0), retry_after_s("Thu, 01 Jan 1970 00:00:09 GMT", 5)
    (3.0, 4.0)
    >>> retry_after_s("soon", 0) is None
    True
    """
    if value is None:
        return None
    try:
        wait = float(value)
    except ValueError:
        try:
            wait = parsedate_to_datetime(value).timestamp() - now_s
        except ValueError:
            return None
    return min(max(wait, 0.0), LONGEST_RETRY_AFTER_S) if wait == wait else None


def backoff_s(failures: int, retry_after: float | None = None) -> float:
    """Return how long to wait after so many failures in a row: full jitter, 0.2 to 30 s.

    Never shorter than a Retry-After asks.
    """
    highest = min(LONGEST_S, BASE_S * 2.0 ** min(failures, 16))
    return max(retry_after or 0.0, random.uniform(BASE_S, highest))
