"""Answers about one account: how it stands, overrides and labels, more quota, erasure."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, NamedTuple, get_args

import msgspec
import pyarrow as pa
from asgiref.sync import sync_to_async

from wavebreak.engine import Engine
from wavebreak.engine.enforcement import MEANING
from wavebreak.ledger import Draft
from wavebreak.ledger.entries import AppealEntry, ErasureEntry, LabelEntry, OverrideEntry
from wavebreak.rules.model import Outcome
from wavebreak.service.api import schemas
from wavebreak.service.api.requests import Call
from wavebreak.service.app_context import CYCLE_MS, changed, read, write
from wavebreak.service.decide import Chats, Quota, chats, quota
from wavebreak.service.errors import RefusedError
from wavebreak.service.event_log import Cut, erase
from wavebreak.service.ledger_store import Opened
from wavebreak.service.models import Change, Decision, Extension
from wavebreak.service.pending_requests import Accepted
from wavebreak.service.request_decoder import Body

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
LIMIT = OUTCOMES.index("limit")
NEWEST = 20
SEALED_S = 5.0
"""How long an answer waits for the seal of a decision that it would tell."""
_UNKNOWN = "the log has no such account"


class Looked(NamedTuple):
    """An account in the engine: standing, its end (ms), the log's time (ms), chats if limited."""

    standing: int
    until_ms: int | None
    now_ms: int
    chats: Chats | None


def look(engine: Engine, account: str) -> Looked | None:
    """Look at an account, by the engine's own thread; None where the log has not named it."""
    slot = int(engine.fanout.accounts.find(pa.array([account]))[0])
    if not 0 <= slot < engine.core.accounts:
        return None
    row = engine.core.row_of(slot)
    now_s = max(int(engine.fanout.clock[0]["newest"]) // 1000, int(row["clock"]))
    standing, until = int(row["enforcement"]), int(row["until"])
    if standing == 0 or 0 < until <= now_s:
        return Looked(0, None, now_s * 1000, None)
    found = chats(engine.core, slot, now_s) if standing == LIMIT else None
    return Looked(standing, until * 1000 if until else None, now_s * 1000, found)


async def _looked(call: Call) -> Looked:
    name = call.path["account"]
    looked: Looked | None = await call.service.ask(lambda engine: look(engine, name))
    await _sealed(call, name)
    if looked is None:
        raise RefusedError(404, _UNKNOWN)
    return looked


async def _sealed(call: Call, name: str) -> None:
    """Wait until what was decided on an account may be told; raises RefusedError (503)."""
    try:
        await asyncio.wait_for(call.service.sealed(name), SEALED_S)
    except TimeoutError:
        raise RefusedError(503, "a decision is not sealed yet", retry_after_s=1) from None


def _extended(account: str, now_ms: int) -> bool:
    """Whether the account was given more in the cycle that ends now."""
    return bool(Extension.objects.filter(account=account, at_ms__gt=now_ms - CYCLE_MS).exists())


def _quota(call: Call, looked: Looked, extended: bool) -> Quota:
    limit = call.desk.quota if looked.standing == LIMIT else None
    return quota(call.desk.terms, limit, looked.chats, extended)


async def account(call: Call) -> schemas.Account:
    """Tell how an account stands."""
    looked, name = await _looked(call), call.path["account"]

    def rows() -> tuple[list[Any], bool]:
        newest = Decision.objects.filter(account=name).order_by("-number")[:NEWEST]
        found = list(newest.values_list("number", "outcome", "ts", "body"))
        return found, _extended(name, looked.now_ms)

    found, extended = await read(rows)
    outcome = OUTCOMES[looked.standing]
    since = next((ts for _, made, ts, _ in found if made == outcome), None)
    refuses, ends = MEANING[outcome]
    force = schemas.Restriction(
        outcome=outcome, since_ms=since, until_ms=looked.until_ms, refuses=refuses, ends=ends
    )
    return schemas.Account(
        account=name, outcome=outcome, until_ms=looked.until_ms,
        quota=_quota(call, looked, extended), restrictions=(force,) if looked.standing else (),
        decisions=tuple(numbered(number, body) for number, _, _, body in found),
    )  # fmt: skip


def numbered(number: int, body: Any) -> schemas.Numbered:
    """A decision as it was written, with its number; its bytes are passed on as they are."""
    raw: Any = msgspec.Raw(bytes(body))
    return schemas.Numbered(number, raw)


async def _labelled(call: Call, labels: list[dict[str, Any]], ask: Any = None) -> Any:
    """Put labels into the log, under ids of their own, and seal them with it.

    Gives what `ask` is told, or `Accepted`.
    """
    newest: int = await call.service.ask(lambda engine: int(engine.fanout.clock[0]["newest"]))
    # A log may run ahead of this clock: a label that is late would change nothing.
    now = max(call.now_ms, newest)
    lines = [{"type": "label.assigned", "ts": now} | label for label in labels]
    content = b"\n".join(map(msgspec.json.encode, lines))
    drafts = tuple(
        Draft("label", LabelEntry(each["label"], each["source"]),
              {"account": each["account"], "by": call.key})
        for each in labels
    )  # fmt: skip
    made = await call.service.accept(
        Body(content, "lines"), sender=call.key, ask=ask, drafts=drafts
    )
    if isinstance(made, Accepted) and made.refused:
        raise RefusedError(422, "a label was refused: no account has such a name")
    return made


async def override(call: Call) -> schemas.Overridden:
    """Put a person's verdict into the log, and tell what came of it."""
    name, asked = call.path["account"], call.body
    number = await _begun(call, "override", name, f"{asked.verdict}, {asked.by}: {asked.reason}")
    over: int | None = await read(lambda: call.service.seals.newest(name))
    event = f"override-{secrets.token_hex(12)}"
    label = {"id": event, "account": name, "label": asked.verdict, "source": asked.by}
    looked: Looked = await _labelled(call, [label], lambda engine: look(engine, name))
    await _sealed(call, name)
    outcome = OUTCOMES[looked.standing]
    told = OverrideEntry(over, outcome, looked.until_ms, f"{asked.by}: {asked.verdict}")
    hidden = {"account": name, "by": call.key, "id": event}
    drafts = [Draft("override", told, hidden)]
    if asked.by == "appeal" and over is not None:
        state = "unchanged" if looked.standing else "reversed"
        drafts.append(Draft("appeal", AppealEntry(over, state), hidden))
    await _done(call, number, *drafts)
    return schemas.Overridden(event=event, outcome=outcome, until_ms=looked.until_ms)


async def label(call: Call) -> schemas.Taken:
    """Put labels into the log."""
    given = [msgspec.to_builtins(one) for one in call.body.labels]
    named = [{"id": f"label-{secrets.token_hex(12)}"} | one for one in given]
    number = await _begun(call, "label", f"{len(named)} labels", call.body.reason)
    await _labelled(call, named)
    await _done(call, number)
    return schemas.Taken(events=tuple(one["id"] for one in named))


async def extend_quota(call: Call) -> Quota:
    """Give a limited account more new chats, once a cycle."""
    looked, name = await _looked(call), call.path["account"]
    if looked.standing != LIMIT:
        raise RefusedError(409, "the account is not limited, so that it has no quota")

    def give() -> None:
        if _extended(name, looked.now_ms):
            raise RefusedError(409, "the account was given more in this cycle already")
        Extension.objects.create(account=name, at_ms=looked.now_ms)
        changed(call.now_ms, call.key, "extend_quota", name, call.body.reason)

    await write(give)
    call.desk.given[name] = looked.now_ms
    return _quota(call, looked, True)


async def erase_personal(call: Call) -> schemas.Erased:
    """Cut an account's pseudonyms out of the log, and erase what opens its entries."""
    name = call.path["account"]
    number = await _begun(call, "erase_personal", name, call.query.reason)
    cut: Cut = await sync_to_async(erase)(name)

    def forget() -> int:
        openings = Opened().erase(name)
        told = ErasureEntry(openings, cut.events)
        with call.service.seals.sealing() as sealing:
            sealing.add([Draft("erasure", told, {"by": call.key})])
        _settle(number)
        return openings

    openings = await write(forget)
    return schemas.Erased(
        account=name, events=cut.events, batches=cut.batches, openings=openings
    )  # fmt: skip


async def _begun(call: Call, action: str, what: str, reason: str) -> int:
    """Note in the audit what is about to be done."""
    told = (call.now_ms, call.key, action, what, reason, "asked")
    return await write(lambda: changed(*told))


async def _done(call: Call, number: int, *drafts: Draft) -> None:
    """Note that it is done, and seal what came of it with that."""

    def done() -> None:
        if drafts:
            with call.service.seals.sealing() as sealing:
                sealing.add(drafts)
        _settle(number)

    await write(done)


def _settle(number: int) -> None:
    Change.objects.filter(number=number).update(outcome="done")
