"""Decisions in the log's order: page by page, or as they are made.

Answers from the ledger: its last checkpoint, a decision's entry with proof, how it went on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import msgspec
from django.http import HttpResponse, StreamingHttpResponse
from msgspec import UNSET

from wavebreak.ledger import merkle_tree
from wavebreak.ledger.proofs import encode_hashes, encode_proof
from wavebreak.service.api import schemas
from wavebreak.service.api.accounts import numbered
from wavebreak.service.api.openapi import STREAM
from wavebreak.service.api.requests import Call
from wavebreak.service.app_context import closing, read
from wavebreak.service.errors import RefusedError
from wavebreak.service.ledger_store import Opened
from wavebreak.service.models import Decision

AT_ONCE = 500
QUIET_S = 15.0
STREAMS = 200
"""Streams that are open at once at most."""


def after(number: int, limit: int) -> list[tuple[int, Any]]:
    """Decisions beyond a number, as (number, body)."""
    found = Decision.objects.filter(number__gt=number).order_by("number")
    return list(found.values_list("number", "body")[:limit])


async def decisions(call: Call) -> schemas.Decisions:
    """Decisions after a number."""
    since = call.query.since
    found = await read(lambda: after(since, call.query.limit))
    return schemas.Decisions(
        decisions=tuple(numbered(*one) for one in found), next=found[-1][0] if found else since
    )


async def follow_decisions(call: Call) -> StreamingHttpResponse:
    """Decisions as they are made, from a number on."""
    last = call.headers.get("Last-Event-ID", "")
    if last and not (last.isdecimal() and len(last) <= 16):
        raise RefusedError(422, "Last-Event-ID is not a decision's number")
    if call.desk.streams >= STREAMS:
        raise RefusedError(503, "too many streams are open", retry_after_s=5)
    made = StreamingHttpResponse(_stream(call, int(last or call.query.since)), content_type=STREAM)
    made["Cache-Control"], made["X-Accel-Buffering"] = "no-store", "no"
    return made


async def _stream(call: Call, since: int) -> AsyncIterator[bytes]:
    call.desk.streams += 1
    try:
        yield b"retry: 2000\n\n"
        while True:
            # A stream holds no connection while it waits.
            found = await asyncio.to_thread(closing(partial(after, since, AT_ONCE)))
            for number, body in found:
                yield b"id: %d\nevent: decision\ndata: %s\n\n" % (number, bytes(body))
                since = number
            try:
                await asyncio.wait_for(call.service.news(since), QUIET_S)
            except TimeoutError:
                yield b": quiet\n\n"
    finally:
        call.desk.streams -= 1


async def checkpoint(call: Call) -> HttpResponse:
    """Give the last checkpoint as the signed note that it is."""
    note = await read(lambda: call.service.seals.ledger().note)
    return HttpResponse(note, content_type="text/plain; charset=utf-8")


async def sealed_decision(call: Call) -> schemas.Sealed:
    """Give a decision's entry with its openings and proof."""

    def find() -> schemas.Sealed:
        opened, name = Opened(), call.path["decision"]
        ledger = call.service.seals.ledger()
        found = [p for p in opened.positions("id", name) if ledger.entry(p).kind == "decision"]
        if not found:
            raise RefusedError(404, "no decision of this id was sealed, or it was erased")
        told = encode_proof(ledger, found[0], opened.of(found[0]))
        return schemas.Sealed(
            checkpoint=ledger.note.decode(), proof=msgspec.convert(told, schemas.Shown)
        )

    return await read(find)


async def continued(call: Call) -> schemas.Continued:
    """Give the proof that the ledger goes on from an older size."""

    def find() -> schemas.Continued:
        ledger, old = call.service.seals.ledger(), call.query.old
        new = ledger.sealed.size if call.query.new is UNSET else call.query.new
        if not old <= new <= ledger.sealed.size:
            raise RefusedError(404, "the ledger has not so many entries, or fewer than before")
        path = merkle_tree.consistency_proof(ledger.storage.node, old, new)
        return schemas.Continued(
            old=old, new=new, path=tuple(encode_hashes(path)), checkpoint=ledger.note.decode()
        )

    return await read(find)
