"""Erasure of people from the platform's log: whoever was erased is somebody whom nobody knows.

Each pseudonym is replaced by one drawn at random, so that what was decided for others stays as it
was: counts, places of a limit, quality. The person's id leads to nothing any more: no window and no
consent goes on with it. Proofs of consent stay in the ledger, without whose they were.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from django.db import connection, transaction

from wavebreak.errors import ServiceError
from wavebreak.privacy.pseudonymizer import pseudonyms
from wavebreak_business.platform.events import ConsentGranted, ConsentRevoked, read_events
from wavebreak_business.service import retention
from wavebreak_business.service.live_platform import PEOPLE
from wavebreak_business.service.models import EVENTS, LogErasure, PlatformRow
from wavebreak_server.storage import row_macs
from wavebreak_server.storage.authentic_rows import checked
from wavebreak_server.storage.models import LedgerOpening

_CHUNK = 500


def erase(accounts: Sequence[str]) -> None:
    """Erase people from the log and from openings of the ledger; nothing where they are unknown.

    A running platform makes its state anew from the log then, and forgets its snapshots.

    Raises:
        ServiceError: There is a log, and no key is bound by which people are found in it.
    """
    secret = row_macs.bound_key(PEOPLE)
    if secret is None:
        if PlatformRow.objects.exists():
            raise ServiceError(
                "people cannot be erased from the platform's log without the deployment's key",
                fix="give the key that the service is started with",
            )
        return
    person = pseudonyms(secret, "person")
    names = {person(each).encode(): secrets.token_hex(16).encode() for each in accounts}
    strangers = {_quoted(name): _quoted(stranger) for name, stranger in names.items()}
    with transaction.atomic():
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA secure_delete = ON")
        rows = PlatformRow.objects.filter(kind=EVENTS).order_by("number")
        found = [_erased(row, strangers) for row in rows.iterator(chunk_size=_CHUNK)]
        if retention.holds(names) or any(found):
            LogErasure.objects.create()
            retention.erase(names, LogErasure.objects.count())


def _quoted(name: bytes) -> bytes:
    return b'"' + name + b'"'


def _erased(row: PlatformRow, strangers: dict[bytes, bytes]) -> bool:
    """Replace people in a row, and remove the openings of what they said; whether there was any."""
    body = bytes(row.body)
    lines = [line for line in body.split(b"\n") if any(name in line for name in strangers)]
    if not lines:
        return False
    checked([row])
    words = [
        each.id
        for each in read_events(lines).events
        if isinstance(each, ConsentGranted | ConsentRevoked)
    ]
    LedgerOpening.objects.filter(subject__in=words).delete()
    for name, stranger in strangers.items():
        body = body.replace(name, stranger)
    row.body = body
    row.save(update_fields=["body"])
    return True
