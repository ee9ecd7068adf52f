"""Operations on accounts: enforcement state and quota, overrides, labels, extensions, erasure."""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated, Any

import msgspec
from django.db import transaction
from msgspec import Meta

from wavebreak.engine.account_queries import AccountState
from wavebreak.engine.kernel_policy import effective_outcome
from wavebreak.outcomes import LIMIT, OUTCOMES, Outcome, row_of
from wavebreak.schema.events import Label, Lane
from wavebreak.schema.events import Source as LabelSource
from wavebreak_server.errors import ApiError
from wavebreak_server.http import app_context, schemas
from wavebreak_server.http.operations import MAX_BODY, RequestContext, Router
from wavebreak_server.pipeline.decide import Quota, quota_status
from wavebreak_server.pipeline.pending_requests import BusyError
from wavebreak_server.slices.acts import actions
from wavebreak_server.slices.acts.api import Override, OverrideResult
from wavebreak_server.slices.decisions.api import NumberedDecision, numbered_decision
from wavebreak_server.slices.erasure import service as erasure
from wavebreak_server.storage import models
from wavebreak_server.storage.authentic_rows import checked_decisions
from wavebreak_server.texts import translate


class Restriction(schemas.Response):
    """An outcome in force: what it refuses, its start, its end (null: none)."""

    outcome: Outcome
    since_ms: int | None
    until_ms: int | None
    refuses: str
    ends: str


class Account(schemas.Response):
    """An account's enforcement state, quota, restrictions, and newest decisions."""

    account: str
    outcome: Outcome
    until_ms: int | None
    quota: Quota
    restrictions: list[Restriction]
    decisions: list[NumberedDecision]
    lane: Annotated[
        Lane | None,
        Meta(
            description="what an administrator declared it to be, which writes first by trade; "
            "null while the engine does not answer"
        ),
    ]
    last_known: Annotated[
        bool,
        Meta(
            description="true while the engine does not answer: the outcome is the last one known, "
            "by the service's clock, and the quota is not counted"
        ),
    ]


class AccountLabel(schemas.Request):
    """A label of one account. It takes effect now; a label never changes past decisions."""

    account: schemas.AccountId
    label: Label
    source: LabelSource

    def __post_init__(self) -> None:
        """Raise ValueError for an id that is too long."""
        schemas.check_account_ids([self.account])


class Labels(schemas.Justification):
    """Labels to add to the log."""

    labels: Annotated[list[AccountLabel], Meta(min_length=1, max_length=1000)]


class LabeledEvents(schemas.Response):
    """The ids of label events that are durably in the log."""

    events: list[str]


class Declaration(schemas.Justification):
    """What an account is declared to be, which writes first by trade; `none` withdraws it."""

    lane: Lane


class DeclaredLane(schemas.Response):
    """The lane of an account from its next event on; `event` is in the log."""

    account: str
    lane: Lane
    event: str


class ErasureResult(schemas.Response):
    """What was erased: events that held a pseudonym, rewritten batches, ledger openings.

    The ledger still verifies; its erased entries can no longer be opened.
    """

    account: str
    events: int
    batches: int
    openings: int


router = Router()

SHOWN_DECISIONS = 20
ENGINE_S = 2.0
"""How long a request for an account waits for the engine, and for its newest decision's seal."""


def _is_extended(account: str, now_ms: int) -> bool:
    """Whether the account was granted an extension in the cycle that ends now."""
    since = now_ms - app_context.CYCLE_MS
    return bool(models.QuotaExtension.objects.filter(account=account, at_ms__gt=since).exists())


def _quota(context: RequestContext, state: AccountState, extended: bool) -> Quota:
    limit = state.new_chats_1d if state.outcome == LIMIT else None
    return quota_status(context.app.quota_config, limit, state.chats, extended)


@router.operation(
    "POST",
    "/v1/accounts/{path:account}/override",
    "Override an account's enforcement state by a label in the log, which a replay reproduces.",
    503,
    scopes=("override",),
)
async def override(
    context: RequestContext, account: schemas.AccountId, body: Override
) -> OverrideResult:
    """Add a reviewer's verdict to the log, and return the resulting enforcement state."""
    return await actions.override_account(context, account, body)


@router.operation(
    "POST",
    "/v1/accounts/{path:account}/extension",
    "Grant a limited account more new chats, once per quota cycle.",
    404,
    409,
    503,
    scopes=("override",),
)
async def extend_quota(
    context: RequestContext, account: schemas.AccountId, body: schemas.Justification
) -> Quota:
    """Grant a quota extension, and return the quota."""
    state = await actions.sealed_state(context, account)
    if state.outcome != LIMIT:
        raise ApiError(409, translate("the account is not limited, so it has no quota"))

    def grant() -> None:
        if _is_extended(account, state.now_ms):
            raise ApiError(409, translate("the account already has an extension in this cycle"))
        models.QuotaExtension.objects.create(account=account, at_ms=state.now_ms)
        app_context.write_audit_entry(
            context.now_ms, context.key, "extend_quota", account, body.reason
        )

    await app_context.run_write(grant)
    context.app.quota_extensions[account] = state.now_ms
    return _quota(context, state, True)


@router.operation(
    "PUT",
    "/v1/accounts/{path:account}/lane",
    "Declare an account whose trade is to write first: a courier, a clinic, a sender of codes, a "
    "school. Its first messages have that lane's allowance; evidence holds as for anybody. `none` "
    "withdraws it.",
    503,
    scopes=("admin",),
)
async def declare_lane(
    context: RequestContext, account: schemas.AccountId, body: Declaration
) -> DeclaredLane:
    """Add a declaration to the log; returns when it is durable."""
    event = await actions.declare_lane(context, account, body.lane, body.reason)
    return DeclaredLane(account=account, lane=body.lane, event=event)


@router.operation(
    "DELETE",
    "/v1/accounts/{path:account}/personal",
    "Erase the pseudonyms of an account's number and addresses, the openings of its "
    "ledger entries, and its appeals' texts. Counts that other accounts rely on remain, and its "
    "devices' too.",
    503,
    scopes=("admin",),
)
async def erase_personal(
    context: RequestContext, account: schemas.AccountId, query: schemas.Justification
) -> ErasureResult:
    """Erase an account's pseudonyms from the log, and the openings of its ledger entries."""
    entry = await actions.begin_audit(context, "erase_personal", account, query.reason)

    home, now_ms = context.service.settings.home, context.now_ms
    number = await app_context.run_query(lambda: erasure.begin(home, account, now_ms))
    done = await context.app.executors.erasures.run((number, now_ms), _erase_together)

    def seal() -> None:
        with transaction.atomic():
            erasure.seal(number, context.service.ledger_store, context.key)
            actions.mark_done(entry)
        erasure.finish()

    await app_context.run_query(seal)
    return ErasureResult(
        account=account, events=done.events, batches=done.batches, openings=done.openings
    )


def _erase_together(asked: list[tuple[int, int]]) -> list[erasure.Erased]:
    return app_context.closing_connection(lambda: erasure.erase_together(asked))()


@router.operation(
    "POST",
    "/v1/labels",
    "Add labels of accounts to the log.",
    503,
    scopes=("override",),
    statuses=(202,),
    max_body=MAX_BODY,
)
async def label(context: RequestContext, body: Labels) -> LabeledEvents:
    """Add labels to the log; returns when they are durable."""
    labels = [
        {"id": f"label-{secrets.token_hex(12)}"} | msgspec.to_builtins(one) for one in body.labels
    ]
    await actions.check_ids(context, [one.account for one in body.labels])
    entry = await actions.begin_audit(context, "label", f"{len(labels)} labels", body.reason)
    await actions.add_labels(context, labels)
    await actions.finish_audit(context, entry)
    return LabeledEvents(events=[one["id"] for one in labels])


# Last, since its path matches those above too.
@router.operation(
    "GET",
    "/v1/accounts/{path:account}",
    "An account's enforcement state: outcome, quota, restrictions and their ends, "
    "decisions. An account that the log does not have is allowed.",
    404,
    503,
    scopes=("read",),
)
async def account(context: RequestContext, account: schemas.AccountId) -> Account:
    """Return an account's enforcement state and its newest decisions."""
    return await _read_account(context, account)


def _read_also(act: str) -> None:
    """Let an account be read whose id ends like the path of an act, such as `a/override`."""
    path, summary = f"/v1/accounts/{{path:account}}/{act}", f"An account whose id ends in {act}."

    @router.operation("GET", path, summary, scopes=("read",), name=f"account_{act}", listed=False)
    async def read(context: RequestContext, account: schemas.AccountId) -> Account:
        return await _read_account(context, f"{account}/{act}")


for _act in ("override", "extension", "personal", "lane"):
    _read_also(_act)


async def _check_is_an_id(context: RequestContext, account: str) -> None:
    """Raise ApiError (404) where an unknown account's id looks like a phone number or an address.

    The answer would repeat it.
    """
    try:
        await actions.check_ids(context, [account])
    except ApiError as error:
        raise ApiError(404, error.what, fix=error.fix) from None


async def _read_account(context: RequestContext, account: str) -> Account:
    last_known = False
    lane: Lane | None = None
    try:
        async with asyncio.timeout(ENGINE_S):
            known = await actions.sealed_state_if_known(context, account)
            if known is None:
                await _check_is_an_id(context, account)
        state = known or AccountState(0, None, context.now_ms, None)
        lane = state.lane
    except (BusyError, TimeoutError):
        state, last_known = _last_known(context, account), True

    def load() -> tuple[list[Any], bool]:
        newest = models.Decision.objects.filter(account=account).order_by("-number")[
            :SHOWN_DECISIONS
        ]
        rows = [(row.number, row.outcome, row.ts, row.body) for row in checked_decisions(newest)]
        return rows, _is_extended(account, state.now_ms)

    rows, extended = await app_context.run_query(load)
    outcome = OUTCOMES[state.outcome]
    shown = (outcome, "challenge") if outcome == "limit" else (outcome,)
    since = next((ts for _, made, ts, _ in rows if made in shown), None)
    restriction = Restriction(
        outcome=outcome,
        since_ms=since,
        until_ms=state.until_ms,
        refuses=row_of(outcome).refusal_words,
        ends=actions.describe_end(outcome, state.until_ms),
    )
    return Account(
        account=account,
        outcome=outcome,
        until_ms=state.until_ms,
        quota=_quota(context, state, extended),
        restrictions=[restriction] if state.outcome else [],
        decisions=[numbered_decision(number, body) for number, _, _, body in rows],
        lane=lane,
        last_known=last_known,
    )


def _last_known(context: RequestContext, account: str) -> AccountState:
    """Return the last known state; raises ApiError (503) before the states are loaded."""
    states = context.service.states
    if not states.loaded:
        raise ApiError(
            503,
            translate("the enforcement states are being loaded"),
            fix=translate("try again later"),
            retry_after_s=1,
        )
    known = states.state(account)
    outcome = effective_outcome(known.outcome, challenges=context.service.responder.challenges)
    return AccountState(outcome, known.until_ms, context.now_ms, None, known.quota)
