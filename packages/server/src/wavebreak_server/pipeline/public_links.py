"""Public links: signed addresses at which a holder reads a statement, and appeals.

A token holds a decision's id and the link's end, so that a webhook's message has the same body at
each attempt. A token cannot be guessed; its reader is taken to know the account.
"""

from __future__ import annotations

from django.core.signing import BadSignature, Signer, b62_decode, b62_encode

from wavebreak.notices import Links

MAX_TOKEN = 200


def _signer() -> Signer:
    return Signer(sep=".", salt="notice")


def sign(decision_id: str, ends_ms: int) -> str:
    """Return the token of a decision's pages; the same each time."""
    return str(_signer().sign(f"{decision_id}.{b62_encode(ends_ms // 1000)}"))


def decision_id_of(token: str, now_ms: int) -> str | None:
    """Return the id of the decision that a token is of; None if it is forged or has ended."""
    if len(token) > MAX_TOKEN:
        return None
    try:
        decision_id, _, end = str(_signer().unsign(token)).rpartition(".")
        ends_s = b62_decode(end)
    except (BadSignature, ValueError):
        return None
    return decision_id if now_ms <= ends_s * 1000 else None


def addresses(public_url: str, token: str) -> Links:
    """Return the addresses of a decision's pages; empty where no public address is known."""
    if not public_url:
        return Links()
    return Links(appeal=f"{public_url}/appeal/{token}", statement=f"{public_url}/notice/{token}")
