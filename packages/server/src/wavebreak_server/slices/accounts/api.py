"""Operations on accounts: enforcement state and quota, overrides, labels, extensions, erasure."""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated, Any

from django.db import transaction
from django.http import HttpRequest
from ninja import Path, Router

from wavebreak.engine.kernel_policy import effective_outcome
from wavebreak.outcomes import LIMIT, OUTCOMES, row_of
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import (
    CYCLE_MS,
    closing_connection,
    run_query,
    run_write,
    write_audit_entry,
)
from wavebreak_server.http.openapi import problems
from wavebreak_server.http.requests import ApiKeyAuth, RequestContext, StrictQuery
from wavebreak_server.pipeline.decide import Quota, quota_status
from wavebreak_server.pipeline.pending_requests import BusyError
from wavebreak_server.slices import schemas
from wavebreak_server.slices.acts import actions
from wavebreak_server.slices.decisions.api import numbered_decision
from wavebreak_server.slices.erasure import service as erasure
from wavebreak_server.storage.authentic_rows import checked_decisions
from wavebreak_server.storage.models import Decision, QuotaExtension

router = Router()

SHOWN_DECISIONS = 20
ENGINE_S = 2.0
"""How long a request for an account waits for the engine, and for its newest decision's seal."""


def _is_extended(account: str, now_ms: int) -> bool:
    """Whether the account was granted an extension in the cycle that ends now."""
    since = now_ms - CYCLE_MS
    return bool(QuotaExtension.objects.filter(account=account, at_ms__gt=since).exists())


def _quota(context: RequestContext, state: actions.AccountState, extended: bool) -> Quota:
    limit = state.new_chats_1d if state.outcome == LIMIT else None
    return quota_status(context.app.quota_config, limit, state.chats, extended)


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
    return await actions.override_account(RequestContext.of(request), account, change)


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
    state = await actions.sealed_state(context, account)
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
    summary="Erase the pseudonyms of an account's number and addresses, the openings of its "
    "ledger entries, and its appeals' texts. Counts that other accounts rely on remain, and its "
    "devices' too.",
    openapi_extra=problems(503),
)
async def erase_personal(
    request: HttpRequest,
    account: Path[schemas.AccountId],
    query: Annotated[schemas.JustificationQuery, StrictQuery(...)],
) -> schemas.ErasureResult:
    """Erase an account's pseudonyms from the log, and the openings of its ledger entries."""
    context = RequestContext.of(request)
    entry = await actions.begin_audit(context, "erase_personal", account, query.reason)

    home, now_ms = context.service.settings.home, context.now_ms
    number = await run_query(lambda: erasure.begin(home, account, now_ms))
    done = await context.app.executors.erasures.run((number, now_ms), _erase_together)

    def seal() -> None:
        with transaction.atomic():
            erasure.seal(number, context.service.ledger_store, context.key)
            actions.mark_done(entry)
        erasure.finish()

    await run_query(seal)
    return schemas.ErasureResult(
        account=account, events=done.events, batches=done.batches, openings=done.openings
    )


def _erase_together(asked: list[tuple[int, int]]) -> list[erasure.Erased]:
    return closing_connection(lambda: erasure.erase_together(asked))()


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
    await actions.check_ids(context, [one.account for one in change.labels])
    entry = await actions.begin_audit(context, "label", f"{len(labels)} labels", change.reason)
    await actions.add_labels(context, labels)
    await actions.finish_audit(context, entry)
    return schemas.LabeledEvents(events=[one["id"] for one in labels])


# Last, since its path matches those above too.
@router.get(
    "/v1/accounts/{path:account}",
    auth=ApiKeyAuth("read"),
    response=schemas.Account,
    summary="An account's enforcement state: outcome, quota, restrictions and their ends, "
    "decisions. An account that the log does not have is allowed.",
    openapi_extra=problems(404, 503),
)
async def account(request: HttpRequest, account: Path[schemas.AccountId]) -> schemas.Account:
    """Return an account's enforcement state and its newest decisions."""
    return await _read_account(request, account)


def _read_also(act: str) -> None:
    """Let an account be read whose id ends like the path of an act, such as `a/override`."""

    async def read(request: HttpRequest, account: Path[schemas.AccountId]) -> schemas.Account:
        return await _read_account(request, f"{account}/{act}")

    router.get(
        f"/v1/accounts/{{path:account}}/{act}",
        auth=ApiKeyAuth("read"),
        response=schemas.Account,
        url_name=f"account_{act}",
        include_in_schema=False,
    )(read)


for _act in ("override", "extension", "personal"):
    _read_also(_act)


async def _check_is_an_id(context: RequestContext, account: str) -> None:
    """Raise ApiError (404) where an unknown account's id looks like a phone number or an address.

    The answer would repeat it.
    """
    try:
        await actions.check_ids(context, [account])
    except ApiError as error:
        raise ApiError(404, error.what, fix=error.fix) from None


async def _read_account(request: HttpRequest, account: str) -> schemas.Account:
    context = RequestContext.of(request)
    last_known = False
    try:
        async with asyncio.timeout(ENGINE_S):
            known = await actions.sealed_state_if_known(context, account)
            if known is None:
                await _check_is_an_id(context, account)
        state = known or actions.AccountState(0, None, context.now_ms, None)
    except (BusyError, TimeoutError):
        state, last_known = _last_known(context, account), True

    def load() -> tuple[list[Any], bool]:
        newest = Decision.objects.filter(account=account).order_by("-number")[:SHOWN_DECISIONS]
        rows = [(row.number, row.outcome, row.ts, row.body) for row in checked_decisions(newest)]
        return rows, _is_extended(account, state.now_ms)

    rows, extended = await run_query(load)
    outcome = OUTCOMES[state.outcome]
    shown = (outcome, "challenge") if outcome == "limit" else (outcome,)
    since = next((ts for _, made, ts, _ in rows if made in shown), None)
    restriction = schemas.Restriction(
        outcome=outcome,
        since_ms=since,
        until_ms=state.until_ms,
        refuses=row_of(outcome).refusal_words,
        ends=actions.describe_end(outcome, state.until_ms),
    )
    return schemas.Account(
        account=account,
        outcome=outcome,
        until_ms=state.until_ms,
        quota=_quota(context, state, extended),
        restrictions=[restriction] if state.outcome else [],
        decisions=[numbered_decision(number, body) for number, _, _, body in rows],
        last_known=last_known,
    )


def _last_known(context: RequestContext, account: str) -> actions.AccountState:
    """Return the last known state; raises ApiError (503) before the states are loaded."""
    states = context.service.states
    if not states.loaded:
        raise ApiError(
            503, "the enforcement states are being loaded", fix="try again later", retry_after_s=1
        )
    known = states.state(account)
    outcome = effective_outcome(known.outcome, challenges=context.service.responder.challenges)
    return actions.AccountState(outcome, known.until_ms, context.now_ms, None, known.quota)
