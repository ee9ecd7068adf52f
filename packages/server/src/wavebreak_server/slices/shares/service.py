"""Links that show one case to an auditor from outside: made, opened, revoked, each audited.

Whoever has the link reads the case, so it ends by itself, with a revocation, and with the right of
who made it. A wrong link and one that has ended get the same answer.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet

from wavebreak.durations import DAY_MS, HOUR_MS
from wavebreak.ledger.ledger import encode_hashes
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.shares.models import SharedCase
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.texts import translate

DAYS = (1, 7, 30)
MOST = 20
"""Links of a case that are open at once."""
NOTED_MS = HOUR_MS
"""How often an opening is audited again."""


def open_links(case: ReviewCase, now_ms: int) -> QuerySet:
    """Return the links of a case that have not ended, newest first."""
    links = SharedCase.objects.filter(case=case, revoked_ms=None, expires_ms__gt=now_ms)
    return links.select_related("by").order_by("-id")


def share(acting: ActingUser, case: ReviewCase, days: int, reason: str) -> str:
    """Make a link to a case, in the open transaction; return its secret, which is stored nowhere.

    Raises:
        ApiError: The case has too many links (409), or the duration is none of `DAYS` (422).
    """
    if days not in DAYS:
        raise ApiError(
            422, translate("no duration was chosen"), fix=translate("choose one of the list")
        )
    if open_links(case, acting.now_ms).count() >= MOST:
        raise ApiError(
            409, translate("the case has {most} links", most=MOST), fix=translate("revoke one")
        )
    secret = secrets.token_urlsafe(32)
    link = SharedCase.objects.create(
        digest=_digest(secret), case=case, by=acting.user, reason=reason,
        created_ms=acting.now_ms, expires_ms=acting.now_ms + days * DAY_MS,
    )  # fmt: skip
    what = f"link {link.id} to case {case.id}, {days} days"
    write_audit_entry(acting.now_ms, acting.user.actor, "share_case", what, reason)
    return secret


def revoke(acting: ActingUser, number: int) -> SharedCase:
    """Revoke a link, in the open transaction; raises ApiError (404) where there is none open."""
    link: SharedCase | None = SharedCase.objects.filter(id=number).first()
    open_ones = SharedCase.objects.filter(id=number, revoked_ms=None)
    if link is None or not open_ones.update(revoked_ms=acting.now_ms):
        raise ApiError(404, translate("there is no such link"), fix=translate("reload the case"))
    what = f"link {link.id} to case {link.case_id}"
    write_audit_entry(acting.now_ms, acting.user.actor, "revoke_share", what, "")
    return link


def shared_case(secret: str, now_ms: int) -> SharedCase | None:
    """Return the link of a secret; None for a wrong one, and for one that has ended."""
    links = SharedCase.objects.filter(
        digest=_digest(secret[:128]), revoked_ms=None, expires_ms__gt=now_ms
    )
    link: SharedCase | None = links.select_related("by", "case").first()
    return link if link is not None and link.by.may("share_cases") else None


def note_opened(link: SharedCase, now_ms: int) -> None:
    """Audit that a link was opened, in the open transaction, at most once in `NOTED_MS`."""
    due = Q(opened_ms=None) | Q(opened_ms__lte=now_ms - NOTED_MS)
    if SharedCase.objects.filter(due, id=link.id).update(opened_ms=now_ms):
        what = f"link {link.id} to case {link.case_id}"
        write_audit_entry(now_ms, f"link:{link.id}", "open_shared_case", what, "")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


# What a browser checks


class Sealed(NamedTuple):
    """Sealed entries with their proofs, and the signed checkpoint to whose root they lead."""

    checkpoint: str
    entries: list[dict[str, Any]]

    @property
    def digest(self) -> str:
        """SHA-256 of the checkpoint, to be compared by telephone."""
        return hashlib.sha256(self.checkpoint.encode()).hexdigest()


def sealed_entries(service: Service, positions: Sequence[int]) -> Sealed:
    """Return ledger entries as they are hashed, each with its path to the checkpoint's root."""
    ledger = service.ledger_store.ledger()
    entries = [
        {
            "position": position,
            "line": ledger.storage.line(position).decode(),
            "path": list(encode_hashes(ledger.prove(position))),
        }
        for position in positions
        if position < ledger.sealed.size
    ]
    return Sealed(ledger.note.decode(), entries)
