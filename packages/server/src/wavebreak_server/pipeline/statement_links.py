"""Links to statements of reasons: signed, with their own end, and the same whenever they are made.

A link holds a decision's id and its own end, so that a webhook's message has the same body at each
attempt. Who has it knows the account; nobody can guess it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.signing import BadSignature, Signer, TimestampSigner, b62_decode, b62_encode

from wavebreak.durations import DAY_MS
from wavebreak.notices import appeal_deadline
from wavebreak.outcomes import WITHOUT_STATEMENT
from wavebreak_server.pipeline.holder_notices import HolderNotices, Notice

LINK_DAYS = 30
"""For how long a link outlives the time for an appeal."""
MAX_TOKEN = 200


class _EndSigner(TimestampSigner):
    """Signs a value with the second at which it ends, instead of the second of signing."""

    def __init__(self, ends_s: int = 0) -> None:
        super().__init__(sep=".", salt="notice")
        self._ends_s = ends_s

    def timestamp(self) -> str:
        """Return the end."""
        return str(b62_encode(self._ends_s))

    def read(self, token: str) -> tuple[str, int]:
        """Return a token's value and end (seconds); raises BadSignature."""
        value, _, end = Signer.unsign(self, token).rpartition(self.sep)
        try:
            return value, b62_decode(end)
        except (ValueError, KeyError):
            raise BadSignature("no end") from None


def token_of(notices: HolderNotices, decision: Mapping[str, Any]) -> str:
    """Return the token of a decision's statement; the same each time."""
    notified = notices.notify_at_ms(decision)
    ends = appeal_deadline(decision, notices.platform, notified) + LINK_DAYS * DAY_MS
    return str(_EndSigner(ends // 1000).sign(str(decision["id"])))


def decision_id_of(token: str, now_ms: int) -> str | None:
    """Return the id of the decision that a token is of; None if it is forged or over."""
    if len(token) > MAX_TOKEN:
        return None
    try:
        decision_id, ends_s = _EndSigner().read(token)
    except BadSignature:
        return None
    return None if now_ms > ends_s * 1000 else decision_id


def has_notice(decision: Mapping[str, Any]) -> bool:
    """Whether a holder is notified of a decision."""
    return decision["outcome"] not in WITHOUT_STATEMENT


def notice_of(notices: HolderNotices, decision: Mapping[str, Any]) -> Notice | None:
    """Return where a decision's statement is, and from when.

    None where there is no notice, and where no public address is known.
    """
    if not notices.public_url or not has_notice(decision):
        return None
    url = notices.address("notice", token_of(notices, decision))
    return Notice(url=url, notify_at_ms=notices.notify_at_ms(decision))
