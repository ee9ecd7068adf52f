"""Answers from the ledger: its last checkpoint, a decision's entry with proof, how it went on."""

from __future__ import annotations

import msgspec
from django.http import HttpResponse
from msgspec import UNSET

from wavebreak.evidence import tree
from wavebreak.evidence.parcels import hashes, shown
from wavebreak.service import shapes
from wavebreak.service.desk import read
from wavebreak.service.problems import RefusedError
from wavebreak.service.replying import Call
from wavebreak.service.sealing import Opened


async def checkpoint(call: Call) -> HttpResponse:
    """Give the last checkpoint as the signed note that it is."""
    note = await read(lambda: call.service.seals.ledger().note)
    return HttpResponse(note, content_type="text/plain; charset=utf-8")


async def sealed_decision(call: Call) -> shapes.Sealed:
    """Give a decision's entry with its openings and proof."""

    def find() -> shapes.Sealed:
        opened, name = Opened(), call.path["decision"]
        ledger = call.service.seals.ledger()
        found = [p for p in opened.positions("id", name) if ledger.entry(p).kind == "decision"]
        if not found:
            raise RefusedError(404, "no decision of this id was sealed, or it was erased")
        told = shown(ledger, found[0], opened.of(found[0]))
        return shapes.Sealed(
            checkpoint=ledger.note.decode(), proof=msgspec.convert(told, shapes.Shown)
        )

    return await read(find)


async def continued(call: Call) -> shapes.Continued:
    """Give the proof that the ledger goes on from an older size."""

    def find() -> shapes.Continued:
        ledger, old = call.service.seals.ledger(), call.query.old
        new = ledger.sealed.size if call.query.new is UNSET else call.query.new
        if not old <= new <= ledger.sealed.size:
            raise RefusedError(404, "the ledger has not so many entries, or fewer than before")
        path = tree.consistency(ledger.storage.node, old, new)
        return shapes.Continued(
            old=old, new=new, path=tuple(hashes(path)), checkpoint=ledger.note.decode()
        )

    return await read(find)
