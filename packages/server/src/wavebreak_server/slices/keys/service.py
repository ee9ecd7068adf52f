"""API key management: create, list, rotate and revoke keys, each with an audit entry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from wavebreak_server.errors import ApiError
from wavebreak_server.http import auth
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.storage.models import ApiKey, AuditEntry
from wavebreak_server.texts import translate


class KeyTerms(NamedTuple):
    """What a key may do.

    Attributes:
        rate: Requests per second.
        burst: Requests at once.
        source: The source that it belongs to (empty: to none).
        identifiers: Whether ids that it sends may look like personal data.
        owner: Prefix of the first key of which it is a successor.
    """

    rate: float = 1000.0
    burst: float = 2000.0
    source: str = ""
    identifiers: bool = False
    owner: str = ""


def create_key(
    name: str,
    scopes: Iterable[str],
    now_ms: int,
    by: str,
    reason: str,
    terms: KeyTerms = KeyTerms(),  # noqa: B008 - immutable
) -> tuple[ApiKey, str]:
    """Create a key; return its record and its text, which is stored nowhere.

    Raises:
        ApiError: It would have the scope `list` beside another one (409).
    """
    generated = auth.generate_key()
    wanted = set(scopes)
    if auth.LIST in wanted and len(wanted) > 1:
        raise ApiError(
            409,
            translate("a key has the scope `list` alone"),
            fix=translate("create a key for each"),
        )
    key = ApiKey.objects.create(
        prefix=generated.prefix,
        digest=generated.digest,
        name=name,
        scopes=" ".join(scope for scope in auth.SCOPES if scope in wanted),
        created_ms=now_ms,
        **terms._asdict(),
    )
    write_audit_entry(now_ms, by, "add_key", generated.prefix, reason)
    return key, generated.text


def rotate_key(prefix: str, grace_s: int, now_ms: int, by: str, reason: str) -> tuple[ApiKey, str]:
    """Create a key's successor with its scopes and rate; the old key expires after the grace.

    Raises:
        ApiError: The key is unknown or expired (404), or already has a successor, or was put into
            the database by somebody else (409).
    """
    former = _active_key(prefix, now_ms)
    if not former.is_authentic:
        raise ApiError(
            409, translate("the key was not made by this service"), fix=translate("revoke it")
        )
    if former.ends_ms is not None:
        raise ApiError(
            409, translate("the key already has a successor"), fix=translate("rotate the successor")
        )
    former.ends_ms = now_ms + grace_s * 1000
    former.save()
    write_audit_entry(now_ms, by, "rotate_key", prefix, reason)
    return create_key(
        former.name,
        former.scopes.split(),
        now_ms,
        by,
        f"successor of {prefix}",
        KeyTerms(
            former.rate,
            former.burst,
            former.source,
            former.identifiers,
            former.owner or former.prefix,
        ),
    )


def revoke_key(prefix: str, now_ms: int, by: str, reason: str) -> None:
    """Expire a key now; raises ApiError (404) if it is unknown or already expired."""
    key = _active_key(prefix, now_ms)
    # Of two requests at once, the second one may have read the clock before the first did.
    if AuditEntry.objects.filter(action="revoke_key", object=prefix).exists():
        raise ApiError(404, "the key is unknown or expired")
    key.ends_ms = now_ms
    key.save()
    write_audit_entry(now_ms, by, "revoke_key", prefix, reason)


def list_keys() -> list[ApiKey]:
    """Return every key, oldest first."""
    return list(ApiKey.objects.order_by("created_ms", "prefix"))


def _active_key(prefix: str, now_ms: int) -> ApiKey:
    # Of two rotations at once, the second one sees that there is a successor.
    key: ApiKey | None = ApiKey.objects.select_for_update().filter(prefix=prefix).first()
    if key is None or (key.ends_ms is not None and key.ends_ms <= now_ms):
        raise ApiError(404, translate("the key is unknown or expired"))
    return key
