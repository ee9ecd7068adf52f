"""What a person does to accounts: overrides and labels, the same from the API and the console.

Each act writes an audit entry before it begins, adds a label to the log that a replay reproduces,
and is sealed in the ledger; the audit entry then says `done`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from wavebreak.engine import account_queries
from wavebreak.ledger import Draft
from wavebreak.ledger.entries import AppealEntry, OverrideEntry
from wavebreak.outcomes import ALLOW, OBSERVE, OUTCOMES, RANKS, row_of
from wavebreak.schema.events import Lane
from wavebreak.schema.identifiers import fault
from wavebreak_server.errors import ApiError, DomainError
from wavebreak_server.http.app_context import run_query, run_write, write_audit_entry
from wavebreak_server.http.operations import RequestContext
from wavebreak_server.pipeline.pending_requests import Accepted, Sender
from wavebreak_server.pipeline.request_decoder import Body
from wavebreak_server.slices.acts.api import Override, OverrideResult
from wavebreak_server.storage.models import AuditEntry
from wavebreak_server.texts import translate

SEALED_S = 5.0
"""How long a request waits for a decision to be sealed before it shows it."""


def describe_end(outcome: str, until_ms: int | None) -> str:
    """Return how an outcome ends.

    >>> describe_end("ban", None)
    'does not end by itself; ends on appeal or override'
    >>> describe_end("ban", 1_000)
    'ends by itself, or on appeal'
    """
    # A ban has an end where a person gave it one.
    return row_of("suspend" if outcome == "ban" and until_ms is not None else outcome).end_words


async def sealed_state(context: RequestContext, account: str) -> account_queries.AccountState:
    """Return an account's state once its newest decision is sealed; raises ApiError (404, 503)."""
    state = await sealed_state_if_known(context, account)
    if state is None:
        raise ApiError(404, translate("the log has no such account"))
    return state


async def sealed_state_if_known(
    context: RequestContext, account: str
) -> account_queries.AccountState | None:
    """Return an account's state once its newest decision is sealed; raises ApiError (503).

    None if the log does not contain the account.
    """
    states = await context.service.query(account_queries.account_states, [account])
    await wait_until_sealed(context, account)
    return states.get(account)


async def wait_until_sealed(context: RequestContext, account: str) -> None:
    """Wait until the newest decision on an account is sealed; raises ApiError (503)."""
    try:
        await asyncio.wait_for(context.service.wait_until_sealed(account), SEALED_S)
    except TimeoutError:
        raise ApiError(
            503,
            translate("a decision is not sealed yet"),
            fix=translate("try again later"),
            retry_after_s=1,
        ) from None


async def override_account(
    context: RequestContext, account: str, change: Override, *, appealed: AppealEntry | None = None,
    until_ms: int | None = None, record: str = "",
) -> OverrideResult:  # fmt: skip
    """Add a person's verdict on an account to the log; return the resulting enforcement state.

    With the verdict `undetermined` a person may set an outcome, for a time (ADR 22). The state of
    an appeal that is sealed with it: `reversed` where nothing above observe is left in force,
    `partially_reversed` where something milder than before is; `appealed` is sealed instead, where
    it is known which decision the appeal was against, and what a person answered. `until_ms` is the
    end of the outcome, where one is restored; the `hold_s` of the change then is for the audit.
    `record` is what the audit log holds of the act's effect sheet.
    """
    service = context.service
    if (
        change.outcome == "challenge"
        and not (await service.query(account_queries.challenged_accounts, [account]))[account]
    ):
        raise ApiError(
            422,
            translate("the source of this account cannot ask for a challenge"),
            fix=translate("set limit instead"),
        )
    chosen = {"outcome": change.outcome, "hold_s": change.hold_s}
    set_to = {name: value for name, value in chosen.items() if value is not None}
    verdict = " ".join([change.verdict, *map(str, set_to.values())])
    reason = f"{verdict}, {change.by}: {change.reason}"
    await check_ids(context, [account])
    noted = f"{reason} [{record}]" if record else reason
    entry = await begin_audit(context, "override", account, noted)
    overridden: int | None = await run_query(lambda: context.service.ledger_store.newest(account))
    event = f"override-{secrets.token_hex(12)}"
    label: dict[str, Any] = {
        "id": event,
        "account": account,
        "label": change.verdict,
        "source": change.by,
    }
    before = (await service.query(account_queries.account_states, [account])).get(account)
    if until_ms is not None:
        # The label has this date whatever the clock says when it is written: ends stay exact.
        label["ts"] = label_time_ms(context)
        set_to["hold_s"] = max(1, until_ms // 1000 - label["ts"] // 1000)
    state = (await add_labels(context, [label | set_to], [account]))[account]
    await wait_until_sealed(context, account)
    outcome = OUTCOMES[state.outcome]
    body = OverrideEntry(overridden, outcome, state.until_ms, f"{change.by}: {verdict}")
    hidden = {"account": account, "by": context.key, "id": event}
    drafts = [Draft("override", body, hidden)]
    if appealed is not None:
        drafts.append(Draft("appeal", appealed, hidden))
    elif change.by == "appeal" and overridden is not None:
        result = appeal_result(before.outcome if before else 0, state.outcome)
        drafts.append(Draft("appeal", AppealEntry(overridden, result), hidden))
    await finish_audit(context, entry, *drafts)
    return OverrideResult(event=event, outcome=outcome, until_ms=state.until_ms)


def appeal_result(before: int, after: int) -> str:
    """Return the state of an appeal, by the outcomes in force before and after its decision.

    >>> from wavebreak.outcomes import BAN, LIMIT
    >>> [appeal_result(BAN, after) for after in (BAN, LIMIT, OBSERVE, ALLOW)]
    ['unchanged', 'partially_reversed', 'reversed', 'reversed']
    """
    milder = RANKS[after] < RANKS[before]
    if after == ALLOW or (milder and RANKS[after] <= RANKS[OBSERVE]):
        return "reversed"
    return "partially_reversed" if milder else "unchanged"


def label_time_ms(context: RequestContext) -> int:
    """Return the time of a label that is written now.

    A hold lasts as long as was said, whatever the log's time is. The log may be ahead of this clock
    by more than its lateness, and a late label would have no effect.
    """
    service = context.service
    return max(context.now_ms, service.log_clock().earliest_ms(service.lateness_s))


async def add_labels(
    context: RequestContext, labels: list[dict[str, Any]], asked: Sequence[str] = ()
) -> dict[str, account_queries.AccountState]:
    """Add labels to the log, which seals them; return the states of those asked about afterwards.

    The caller has checked the ids (`check_ids`), before it wrote an audit entry with one.
    """
    service = context.service
    now = label_time_ms(context)
    if wrong := service.clock_fault():
        raise DomainError("clock-fault", fault=wrong)
    lines = [{"type": "label.assigned", "ts": now} | label for label in labels]
    result = await service.accept_then(
        Body(b"\n".join(map(msgspec.json.encode, lines)), "lines"),
        Sender(context.key, labels=True, identifiers=True),
        account_queries.account_states,
        asked,
    )
    if not isinstance(result, Accepted):
        return result
    if result.refused:
        raise ApiError(
            422, translate("a label was refused: {message}", message=result.refused[0].message)
        )
    return {}


async def declare_lane(context: RequestContext, account: str, lane: Lane, reason: str) -> str:
    """Declare what an account is whose trade is to write first; return the event's id.

    It holds from the account's next event; `none` withdraws it. The event has the log's own time,
    so that it is never late and makes none late.
    """
    await check_ids(context, [account])
    entry = await begin_audit(context, "declare_lane", account, f"{lane}: {reason}")
    now = await log_time_ms(context)
    event = f"declared-{secrets.token_hex(12)}"
    line = {"type": "account.declared", "ts": now, "id": event, "account": account, "lane": lane}
    taken = await context.service.accept_then(
        Body(msgspec.json.encode(line), "lines"),
        Sender(context.key, identifiers=True, declares=True),
        account_queries.account_states,
        [account],
    )
    if isinstance(taken, Accepted) or lane_in(taken, account) != lane:
        raise ApiError(
            422, translate("the declaration was not taken"), fix=translate("see the service's log")
        )
    await finish_audit(context, entry)
    return event


async def log_time_ms(context: RequestContext) -> int:
    """Return the log's own time: an event of it is never late, and makes none late.

    Raises:
        DomainError: This machine's clock is wrong.
    """
    if wrong := context.service.clock_fault():
        raise DomainError("clock-fault", fault=wrong)
    clock = context.service.log_clock()
    if clock.time_ms is None:
        return context.now_ms
    earliest = clock.earliest_ms(context.service.lateness_s)
    return max(earliest, min(context.now_ms, clock.time_ms))


def lane_in(states: Mapping[str, account_queries.AccountState], account: str) -> Lane:
    """Return what an account is declared to be, by the states of some."""
    state = states.get(account)
    return state.lane if state else "none"


async def check_ids(context: RequestContext, accounts: Sequence[str]) -> None:
    """Raise ApiError (422) for an id that looks like personal data and is not in the log yet."""
    allow = context.service.settings.allow_identifiers
    faults = {each: kind for each in accounts if (kind := fault("account", each, allow=allow))}
    if faults:
        known = await context.service.query(account_queries.known_accounts, list(faults))
        for name, kind in faults.items():
            if not known[name]:
                raise ApiError(
                    422, translate("the account's id {name}", name=kind.name), fix=kind.fix
                )


async def begin_audit(context: RequestContext, action: str, target: str, reason: str) -> int:
    """Write an audit entry with the outcome `asked`, before the change; return its number."""
    arguments = (context.now_ms, context.key, action, target, reason, "asked")
    return await run_write(lambda: write_audit_entry(*arguments))


async def finish_audit(context: RequestContext, number: int, *drafts: Draft) -> None:
    """Set an audit entry's outcome to `done`, and seal drafts in the same transaction."""

    def finish() -> None:
        if drafts:
            with context.service.ledger_store.sealing() as sealing:
                sealing.add(drafts)
        mark_done(number)

    await run_write(finish)


def mark_done(number: int) -> None:
    """Set an audit entry's outcome to `done`, in the open transaction; it is sealed anew.

    Raises ApiError if somebody without the deployment's key changed the entry meanwhile.
    """
    entry = AuditEntry.objects.get(number=number)
    if not entry.is_authentic:
        raise DomainError("row-changed", row=f"audit entry {number}")
    entry.outcome = "done"
    entry.save(update_fields=["outcome", "sealed"])
