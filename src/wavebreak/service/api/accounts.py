"""Operations on accounts: enforcement state and quota, overrides, labels, extensions, erasure."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, get_args

import msgspec
import pyarrow as pa
from asgiref.sync import sync_to_async
from django.http import HttpRequest
from ninja import Path, Router

from wavebreak.engine import Engine
from wavebreak.engine.enforcement import MEANING
from wavebreak.ledger import Draft
from wavebreak.ledger.entries import AppealEntry, ErasureEntry, LabelEntry, OverrideEntry
from wavebreak.rules.model import Outcome
from wavebreak.service.api import schemas
from wavebreak.service.api.openapi import problems
from wavebreak.service.api.requests import ApiKeyAuth, RequestContext, StrictQuery
from wavebreak.service.app_context import CYCLE_MS, run_query, run_write, write_audit_entry
from wavebreak.service.decide import ChatCounts, Quota, count_chats, quota_status
from wavebreak.service.errors import ApiError
from wavebreak.service.event_log import Erasure, erase_pseudonyms
from wavebreak.service.ledger_store import OpeningRows
from wavebreak.service.models import AuditEntry, Decision, QuotaExtension
from wavebreak.service.pending_requests import Accepted
from wavebreak.service.request_decoder import Body

router = Router()

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
LIMIT = OUTCOMES.index("limit")
SHOWN_DECISIONS = 20
SEALED_S = 5.0
"""How long a request waits for a decision to be sealed before it shows it."""


class AccountState(NamedTuple):
    """An account in the engine: outcome (index), its end, the log's time (both ms), chats.

    `new_chats_1d` is what a limit in force leaves a day.
    """

    outcome: int
    until_ms: int | None
    now_ms: int
    chats: ChatCounts | None
    new_chats_1d: int = 0


def read_account_state(engine: Engine, account: str) -> AccountState | None:
    """Read an account's state on the engine's thread; None if the log does not contain it."""
    slot = int(engine.fanout.accounts.find(pa.array([account]))[0])
    if not 0 <= slot < engine.core.accounts:
        return None
    row = engine.core.row_of(slot)
    now_s = max(int(engine.fanout.clock[0]["newest"]) // 1000, int(row["clock"]))
    outcome, until = int(row["enforcement"]), int(row["until"])
    if outcome == 0 or 0 < until <= now_s:
        return AccountState(0, None, now_s * 1000, None)
    chats = count_chats(engine.core, slot, now_s) if outcome == LIMIT else None
    end_ms = until * 1000 if until else None
    return AccountState(outcome, end_ms, now_s * 1000, chats, int(row["quota"]))


async def _sealed_state(context: RequestContext, account: str) -> AccountState:
    state: AccountState | None = await context.service.ask(
        lambda engine: read_account_state(engine, account)
    )
    await _wait_until_sealed(context, account)
    if state is None:
        raise ApiError(404, "the log has no such account")
    return state


async def _wait_until_sealed(context: RequestContext, account: str) -> None:
    """Wait until the newest decision on an account is sealed; raises ApiError (503)."""
    try:
        await asyncio.wait_for(context.service.wait_until_sealed(account), SEALED_S)
    except TimeoutError:
        raise ApiError(
            503, "a decision is not sealed yet", fix="try again later", retry_after_s=1
        ) from None


def _is_extended(account: str, now_ms: int) -> bool:
    """Whether the account was granted an extension in the cycle that ends now."""
    since = now_ms - CYCLE_MS
    return bool(QuotaExtension.objects.filter(account=account, at_ms__gt=since).exists())


def _quota(context: RequestContext, state: AccountState, extended: bool) -> Quota:
    limit = state.new_chats_1d if state.outcome == LIMIT else None
    return quota_status(context.app.quota_config, limit, state.chats, extended)


def numbered_decision(number: int, body: Any) -> schemas.NumberedDecision:
    """Return a stored decision with its number; its JSON is passed through unchanged."""
    return schemas.NumberedDecision(number=number, decision=msgspec.Raw(bytes(body)))


@router.post(
    "/v1/accounts/{path:account}/override",
    auth=ApiKeyAuth("override"),
    response=schemas.OverrideResult,
    summary="Override an account's enforcement state by a label in the log, which a replay "
    "reproduces.",
    openapi_extra=problems(503),
)
async def override(
    request: HttpRequest, account: Path[schemas.AccountId], change: schemas.Override
) -> schemas.OverrideResult:
    """Add a reviewer's verdict to the log, and return the resulting enforcement state."""
    context = RequestContext.of(request)
    reason = f"{change.verdict}, {change.by}: {change.reason}"
    entry = await _begin_audit(context, "override", account, reason)
    overridden: int | None = await run_query(lambda: context.service.ledger_store.newest(account))
    event = f"override-{secrets.token_hex(12)}"
    label = {"id": event, "account": account, "label": change.verdict, "source": change.by}
    state: AccountState = await _add_labels(
        context, [label], lambda engine: read_account_state(engine, account)
    )
    await _wait_until_sealed(context, account)
    outcome = OUTCOMES[state.outcome]
    body = OverrideEntry(overridden, outcome, state.until_ms, f"{change.by}: {change.verdict}")
    hidden = {"account": account, "by": context.key, "id": event}
    drafts = [Draft("override", body, hidden)]
    if change.by == "appeal" and overridden is not None:
        result = "unchanged" if state.outcome else "reversed"
        drafts.append(Draft("appeal", AppealEntry(overridden, result), hidden))
    await _finish_audit(context, entry, *drafts)
    return schemas.OverrideResult(event=event, outcome=outcome, until_ms=state.until_ms)


@router.post(
    "/v1/accounts/{path:account}/extension",
    auth=ApiKeyAuth("override"),
    response=schemas.QuotaJson,
    summary="Grant a limited account more new chats, once per quota cycle.",
    openapi_extra=problems(404, 409, 503),
)
async def extend_quota(
    request: HttpRequest, account: Path[schemas.AccountId], change: schemas.Justification
) -> Quota:
    """Grant a quota extension, and return the quota."""
    context = RequestContext.of(request)
    state = await _sealed_state(context, account)
    if state.outcome != LIMIT:
        raise ApiError(409, "the account is not limited, so it has no quota")

    def grant() -> None:
        if _is_extended(account, state.now_ms):
            raise ApiError(409, "the account already has an extension in this cycle")
        QuotaExtension.objects.create(account=account, at_ms=state.now_ms)
        write_audit_entry(context.now_ms, context.key, "extend_quota", account, change.reason)

    await run_write(grant)
    context.app.quota_extensions[account] = state.now_ms
    return _quota(context, state, True)


@router.delete(
    "/v1/accounts/{path:account}/personal",
    auth=ApiKeyAuth("admin"),
    response=schemas.ErasureResult,
    summary="Erase the pseudonyms of an account's number and addresses, and the openings of its "
    "ledger entries. Counts that other accounts rely on remain, and its devices' too.",
    openapi_extra=problems(503),
)
async def erase_personal(
    request: HttpRequest,
    account: Path[schemas.AccountId],
    query: Annotated[schemas.JustificationQuery, StrictQuery(...)],
) -> schemas.ErasureResult:
    """Erase an account's pseudonyms from the log, and the openings of its ledger entries."""
    context = RequestContext.of(request)
    entry = await _begin_audit(context, "erase_personal", account, query.reason)
    erasure: Erasure = await sync_to_async(erase_pseudonyms)(account)

    def erase_openings() -> int:
        openings = OpeningRows().erase(account)
        body = ErasureEntry(openings, erasure.events)
        with context.service.ledger_store.sealing() as sealing:
            sealing.add([Draft("erasure", body, {"by": context.key})])
        _mark_done(entry)
        return openings

    openings = await run_write(erase_openings)
    return schemas.ErasureResult(
        account=account, events=erasure.events, batches=erasure.batches, openings=openings
    )


@router.post(
    "/v1/labels",
    auth=ApiKeyAuth("override"),
    response={202: schemas.LabeledEvents},
    summary="Add labels of accounts to the log.",
    openapi_extra=problems(503),
)
async def label(request: HttpRequest, change: schemas.Labels) -> schemas.LabeledEvents:
    """Add labels to the log; returns when they are durable."""
    context = RequestContext.of(request)
    labels = [{"id": f"label-{secrets.token_hex(12)}"} | one.model_dump() for one in change.labels]
    entry = await _begin_audit(context, "label", f"{len(labels)} labels", change.reason)
    await _add_labels(context, labels)
    await _finish_audit(context, entry)
    return schemas.LabeledEvents(events=[one["id"] for one in labels])


# Last, since its path matches those above too.
@router.get(
    "/v1/accounts/{path:account}",
    auth=ApiKeyAuth("read"),
    response=schemas.Account,
    summary="An account's enforcement state: outcome, quota, restrictions and their ends, "
    "decisions.",
    openapi_extra=problems(404, 503),
)
async def account(request: HttpRequest, account: Path[schemas.AccountId]) -> schemas.Account:
    """Return an account's enforcement state and its newest decisions."""
    context = RequestContext.of(request)
    state = await _sealed_state(context, account)

    def load() -> tuple[list[Any], bool]:
        newest = Decision.objects.filter(account=account).order_by("-number")[:SHOWN_DECISIONS]
        rows = list(newest.values_list("number", "outcome", "ts", "body"))
        return rows, _is_extended(account, state.now_ms)

    rows, extended = await run_query(load)
    outcome = OUTCOMES[state.outcome]
    since = next((ts for _, decided, ts, _ in rows if decided == outcome), None)
    refuses, ends = MEANING[outcome]
    restriction = schemas.Restriction(
        outcome=outcome, since_ms=since, until_ms=state.until_ms, refuses=refuses, ends=ends
    )
    return schemas.Account(
        account=account,
        outcome=outcome,
        until_ms=state.until_ms,
        quota=_quota(context, state, extended),
        restrictions=[restriction] if state.outcome else [],
        decisions=[numbered_decision(number, body) for number, _, _, body in rows],
    )


async def _add_labels(
    context: RequestContext,
    labels: list[dict[str, Any]],
    ask: Callable[[Engine], Any] | None = None,
) -> Any:
    """Add labels to the log, sealed with it; return the result of `ask`, or `Accepted`."""
    newest: int = await context.service.ask(lambda engine: int(engine.fanout.clock[0]["newest"]))
    # The log may be ahead of this clock, and a late label would have no effect.
    now = max(context.now_ms, newest)
    lines = [{"type": "label.assigned", "ts": now} | label for label in labels]
    content = b"\n".join(map(msgspec.json.encode, lines))
    drafts = tuple(
        Draft(
            "label",
            LabelEntry(label["label"], label["source"]),
            {"account": label["account"], "by": context.key},
        )
        for label in labels
    )
    result = await context.service.accept(
        Body(content, "lines"), sender=context.key, ask=ask, drafts=drafts
    )
    if isinstance(result, Accepted) and result.refused:
        raise ApiError(422, "a label was refused: its account name is invalid")
    return result


async def _begin_audit(context: RequestContext, action: str, target: str, reason: str) -> int:
    """Write an audit entry with the outcome `asked`, before the change; return its number."""
    arguments = (context.now_ms, context.key, action, target, reason, "asked")
    return await run_write(lambda: write_audit_entry(*arguments))


async def _finish_audit(context: RequestContext, number: int, *drafts: Draft) -> None:
    """Set an audit entry's outcome to `done`, and seal drafts in the same transaction."""

    def finish() -> None:
        if drafts:
            with context.service.ledger_store.sealing() as sealing:
                sealing.add(drafts)
        _mark_done(number)

    await run_write(finish)


def _mark_done(number: int) -> None:
    AuditEntry.objects.filter(number=number).update(outcome="done")
