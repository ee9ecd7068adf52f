"""Appeals: from a holder's statement to the answer of a person who took no part in the decision.

An appeal is submitted on a public page and confirmed by a code that the platform brings to the
account, or by a platform that has authenticated the holder itself. One a decision. Over an
operator's quota it is received too, and marked to be decided together with others of its group:
nothing is refused silently.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import statistics
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import structlog
from asgiref.sync import async_to_sync
from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, F, Min, Q, QuerySet

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS
from wavebreak.engine.account_queries import operators
from wavebreak.errors import WavebreakError
from wavebreak.ledger import Draft
from wavebreak.ledger.entries import AppealEntry
from wavebreak.notices import appeal_deadline
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import run_background_query, write_audit_entry
from wavebreak_server.pipeline import platform_messages
from wavebreak_server.pipeline.holder_notices import HolderNotices, has_notice
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.config import Appeals
from wavebreak_server.slices.encryption import encryption
from wavebreak_server.slices.erasure.service import refuse_erased
from wavebreak_server.slices.statements import service as statements
from wavebreak_server.storage.authentic_rows import authentic
from wavebreak_server.storage.ledger_store import LedgerStore
from wavebreak_server.storage.models import Webhook
from wavebreak_server.texts import translate

logger = structlog.stdlib.get_logger("wavebreak.console")

MAX_STATEMENT = 2_000
CODE_MS, MAX_ATTEMPTS, MAX_CODES = 15 * MINUTE_MS, 5, 5
"""A code's life; guesses a code; codes before an appeal that nobody confirms lapses."""
LAPSE_MS = DAY_MS
UPKEEP_S = 600.0
_LIVE = (Appeal.OPEN, Appeal.DECIDED)
_RESULTS = (Appeal.UNCHANGED, Appeal.PARTIALLY, Appeal.REVERSED)


# The statement at rest


def _cipher() -> Fernet:
    key = os.environ.get("WAVEBREAK_APPEAL_KEY", "")
    if not key:
        return encryption("appeal")
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))


def encrypt(statement: str) -> bytes:
    """Encrypt a statement with the key of appeals."""
    return _cipher().encrypt(statement.encode())


def read_statement(appeal: Appeal) -> str | None:
    """Return an appeal's statement; None if it was erased or its key is another one."""
    if appeal.statement is None:
        return None
    try:
        return _cipher().decrypt(bytes(appeal.statement)).decode()
    except InvalidToken:
        return None


def clean_statement(text: str) -> str:
    r"""Return a statement without control characters; raises ApiError (422) for its length.

    >>> clean_statement("  It was my\r\nwedding.\x00 ")
    'It was my\nwedding.'
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(c for c in lines if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs"))
    kept = kept.strip()
    if not kept:
        raise ApiError(
            422, translate("the statement is empty"), fix=translate("say why the decision is wrong")
        )
    if len(kept) > MAX_STATEMENT:
        raise ApiError(
            422,
            translate(
                "the statement exceeds {max_statement} characters", max_statement=MAX_STATEMENT
            ),
            fix=translate("shorten it"),
        )
    return kept


def text_key(statement: str) -> str:
    """Return a keyed digest of a statement's words, by which duplicates are found."""
    words = "appeal text\0" + " ".join(statement.casefold().split())
    return hmac.digest(settings.SECRET_KEY.encode(), words.encode(), hashlib.sha256).hex()[:32]


# Submission


async def operator_of(service: Service, account: str) -> str:
    """Return the id of the operator that an account is of ("": of none)."""
    found = await service.query(operators)
    return next((operator.id for operator in found if account in operator.accounts), "")


def appeal_of(decision_id: str) -> Appeal | None:
    """Return the appeal against a decision, if there is one that was not left unconfirmed."""
    rows = Appeal.objects.filter(decision=decision_id).exclude(state=Appeal.WITHDRAWN)
    found: Appeal | None = rows.select_related("decided_by").first()
    return found


def may_appeal(notices: HolderNotices, decision: Mapping[str, Any], now_ms: int) -> bool:
    """Whether an appeal against a decision can still be submitted."""
    return decision["outcome"] != "allow" and now_ms <= appeal_until(notices, decision)


def appeal_until(notices: HolderNotices, decision: Mapping[str, Any]) -> int:
    """Return the last instant of an appeal (ms)."""
    return appeal_deadline(decision, notices.platform, notices.notify_at_ms(decision))


def _draft(decision: Mapping[str, Any], statement: str, language: str, via: str) -> dict[str, Any]:
    return {
        "number": decision["number"],
        "account": decision["account"],
        "outcome": decision["outcome"],
        "basis": decision.get("basis") or "",
        "rule": next(iter(decision.get("rules") or ()), ""),
        "model": "" if decision.get("rules") else decision.get("model") or "",
        "via": via,
        "language": language,
        "statement": encrypt(statement),
        "text_key": text_key(statement),
    }


def submit(
    decision: Mapping[str, Any],
    statement: str,
    language: str,
    now_ms: int,
    *,
    shows_codes: bool = False,
) -> Appeal:
    """Store a statement that its holder has yet to confirm, and send the code.

    Where the page shows codes, no webhook has to bring them.

    Runs in the open transaction. Raises ApiError (409) if the appeal is confirmed already, or
    another text waits for a code that can still be entered, (410)
    if the account was erased, (429) if too many codes were sent, (503) if no webhook would bring
    the code.
    """
    values = _draft(decision, statement, language, "page")
    defaults = values | {"created_ms": now_ms}
    rows = Appeal.objects.select_for_update().exclude(state=Appeal.WITHDRAWN)
    found: tuple[Appeal, bool] = rows.get_or_create(decision=decision["id"], defaults=defaults)
    appeal, new = found
    if appeal.state != Appeal.UNVERIFIED:
        raise ApiError(
            409,
            translate("there is an appeal against this decision"),
            fix=translate("see its status"),
        )
    if not new:
        # Who has the code that was sent confirms the text for which it was sent.
        if code_usable(appeal, now_ms) and read_statement(appeal) != statement:
            raise ApiError(
                409,
                translate("another text waits for its code"),
                fix=translate("enter the code, or write anew when it has ended"),
            )
        for name, value in values.items():
            setattr(appeal, name, value)
        appeal.save()
    send_code(appeal, now_ms, shows_codes=shows_codes)
    # Last: an erasure that begins meanwhile finds the text, or is found and undoes the write.
    refuse_erased(appeal.decision)
    return appeal


def send_code(appeal: Appeal, now_ms: int, *, shows_codes: bool = False) -> None:
    """Send a new code for an unconfirmed appeal, in the open transaction.

    Raises ApiError (429) after `MAX_CODES`, (503) where no webhook would bring it and no page shows
    it.
    """
    if appeal.codes_sent >= MAX_CODES:
        raise ApiError(
            429,
            translate("too many codes were sent"),
            fix=translate("try again tomorrow"),
            retry_after_s=600,
        )
    expires = now_ms + CODE_MS
    data = {"account": appeal.account, "expires_ms": expires, "language": appeal.language}
    message = platform_messages.enqueue_message("appeal.code", data, now_ms)
    if not message and shows_codes:
        message = platform_messages.new_message_id()
    if not message:
        raise ApiError(
            503, translate("no webhook would bring the code"), fix=translate("add a webhook")
        )
    appeal.code_message, appeal.code_expires_ms = message, expires
    appeal.code_attempts, appeal.codes_sent = 0, appeal.codes_sent + 1
    appeal.save()


def can_send_codes() -> bool:
    """Whether a webhook would bring a code to the holder."""
    return any(authentic(Webhook.objects.all()))


def code_usable(appeal: Appeal, now_ms: int) -> bool:
    """Whether an appeal's code can still be entered."""
    return (
        bool(appeal.code_message)
        and now_ms < appeal.code_expires_ms
        and appeal.code_attempts < MAX_ATTEMPTS
    )


def check_code(appeal: Appeal, code: str, key: bytes, now_ms: int) -> bool:
    """Count an attempt and return whether the code is right; False if it is over."""
    if not code_usable(appeal, now_ms):
        return False
    counted = Appeal.objects.filter(
        id=appeal.id,
        state=Appeal.UNVERIFIED,
        code_message=appeal.code_message,
        code_attempts__lt=MAX_ATTEMPTS,
    ).update(code_attempts=F("code_attempts") + 1)
    appeal.code_attempts += 1
    right = platform_messages.one_time_code(key, appeal.code_message)
    return bool(counted) and hmac.compare_digest(code.encode(), right.encode())


def open_confirmed(
    appeal_id: int,
    operator: str,
    store: LedgerStore,
    by: str,
    now_ms: int,
    terms: Appeals,
    reason: str = "",
) -> Appeal:
    """Open an unconfirmed appeal, seal that it is open, and audit it, in the open transaction."""
    appeal: Appeal = Appeal.objects.select_for_update(of=("self",)).get(id=appeal_id)
    if appeal.state != Appeal.UNVERIFIED:
        return appeal
    appeal.state, appeal.opened_ms = Appeal.OPEN, now_ms
    appeal.deadline_ms = now_ms + terms.review_days * DAY_MS
    appeal.group, appeal.position = operator, store.position(appeal.decision)
    appeal.code_message, appeal.code_expires_ms = "", 0
    if operator:
        others = Appeal.objects.filter(state=Appeal.OPEN, group=operator).count()
        appeal.together = others >= terms.open_per_operator
    appeal.version += 1
    appeal.save()
    if appeal.position is not None:
        hidden = {"account": appeal.account, "by": by, "id": f"appeal-{appeal.id}"}
        with store.sealing() as sealing:
            sealing.add([Draft("appeal", AppealEntry(appeal.position, "opened"), hidden)])
    write_audit_entry(now_ms, by, "open_appeal", appeal.account, reason or f"appeal {appeal.id}")
    return appeal


class PlatformAppeal(NamedTuple):
    """An appeal that a platform submits for a holder whom it has authenticated.

    `by` is the key with which it asks, `reason` why it does, for the audit log.
    """

    decision: str
    statement: str
    language: str
    by: str
    reason: str


def open_from_platform(
    decision: Mapping[str, Any],
    new: PlatformAppeal,
    operator: str,
    store: LedgerStore,
    now_ms: int,
    terms: Appeals,
) -> tuple[Appeal, bool]:
    """Open an appeal of a holder whom the platform has authenticated, in the open transaction.

    Returns:
        The appeal, and whether it is new; an existing one is returned as it is.
    """
    found = appeal_of(str(decision["id"]))
    if found is not None and found.state in _LIVE:
        return found, False
    values = _draft(decision, new.statement, new.language, "platform")
    if found is None:
        try:
            with transaction.atomic():
                found = Appeal.objects.create(decision=decision["id"], created_ms=now_ms, **values)
        except IntegrityError:
            return open_from_platform(decision, new, operator, store, now_ms, terms)
    else:
        for name, value in values.items():
            setattr(found, name, value)
        found.save()
    return open_confirmed(found.id, operator, store, new.by, now_ms, terms, new.reason), True


def submit_for_holder(
    notices: HolderNotices,
    new: PlatformAppeal,
    operator: str,
    store: LedgerStore,
    now_ms: int,
    terms: Appeals,
) -> tuple[Appeal, bool]:
    """Open an appeal that a platform submits, in the open transaction.

    Raises:
        ApiError: (404) there is no such decision, (409) it cannot be appealed against, or the
            account was erased.
    """
    decision = statements.stored_decision(new.decision)
    if decision is None or not has_notice(decision):
        raise ApiError(404, translate("no decision with this id can be appealed against"))
    found = appeal_of(new.decision)
    confirmed = found is not None and found.state != Appeal.UNVERIFIED
    if not confirmed and not may_appeal(notices, decision, now_ms):
        raise ApiError(409, translate("the time for an appeal has ended, or nothing is restricted"))
    cleaned = new._replace(statement=clean_statement(new.statement))
    appeal, opened = open_from_platform(decision, cleaned, operator, store, now_ms, terms)
    if opened:
        # Last, as of a holder's own page: a statement after an erasure would bring it back.
        refuse_erased(new.decision, status=409)
    return appeal, opened


def confirmed_appeals() -> QuerySet:
    """Return the appeals that their holders, or their platform, confirmed."""
    return Appeal.objects.filter(state__in=_LIVE)


# Lists


_ORDERED_BY = {
    Appeal.OPEN: "deadline_ms", Appeal.DECIDED: "decided_ms", Appeal.UNVERIFIED: "created_ms",
}  # fmt: skip


def find_appeal(number: int) -> Appeal:
    """Return an appeal with who decided it; raises ApiError (404)."""
    found: Appeal | None = Appeal.objects.select_related("decided_by").filter(id=number).first()
    if found is None or found.state == Appeal.WITHDRAWN:
        raise ApiError(
            404, translate("there is no such appeal"), fix=translate("see the list of appeals")
        )
    return found


def listed(state: str, chosen: Mapping[str, str], now_ms: int) -> QuerySet:
    """Return the appeals of a state, of a group, an outcome, a result, a language, or late ones."""
    names = ("group", "outcome", "result", "language")
    wanted = {name: value[:48] for name in names if (value := chosen.get(name))}
    rows = Appeal.objects.filter(state=state, **wanted)
    return rows.filter(deadline_ms__lt=now_ms) if chosen.get("due") == "late" else rows


def languages_of(state: str) -> list[str]:
    """Return the codes of the languages in which appeals of a state are written."""
    codes = Appeal.objects.unverified().filter(state=state).values_list("language", flat=True)
    return sorted(codes.distinct())


def ordered_by(appeal: Appeal, state: str) -> int:
    """Return the time by which an appeal is in the list of a state (ms)."""
    return int(getattr(appeal, _ORDERED_BY[state]) or 0)


def in_order(rows: QuerySet, state: str, after: tuple[int, int] | None = None) -> QuerySet:
    """Return appeals of a state: those that wait by their deadline, others newest first.

    Args:
        rows: The appeals.
        state: Their state.
        after: Time and number of the appeal that the rows are behind (None: all).
    """
    key, rising = _ORDERED_BY[state], state == Appeal.OPEN
    if after is not None:
        at_ms, number = after
        beyond = "gt" if rising else "lt"
        rows = rows.filter(
            Q(**{f"{key}__{beyond}": at_ms}) | Q(**{key: at_ms, f"id__{beyond}": number})
        )
    return rows.order_by(key, "id") if rising else rows.order_by(F(key).desc(), "-id")


def waiting_counts(now_ms: int) -> dict[str, int]:
    """Return how many appeals wait, how many are late, and how many are due within a day."""
    counts: dict[str, int] = Appeal.objects.filter(state=Appeal.OPEN).aggregate(
        open=Count("id"),
        late=Count("id", filter=Q(deadline_ms__lt=now_ms)),
        soon=Count("id", filter=Q(deadline_ms__range=(now_ms, now_ms + DAY_MS))),
    )
    return counts


def open_appeals() -> tuple[int, int | None]:
    """Return how many appeals are open, and since when the oldest is (ms)."""
    counted = Appeal.objects.filter(state=Appeal.OPEN).aggregate(
        count=Count("id"), oldest=Min("opened_ms")
    )
    return counted["count"], counted["oldest"]


def waiting_groups(most: int) -> list[dict[str, Any]]:
    """Return the groups with the most appeals that wait."""
    waiting = Appeal.objects.unverified().filter(state=Appeal.OPEN).exclude(group="")
    return list(waiting.values("group").annotate(n=Count("id")).order_by("-n")[:most])


def duplicates(appeal: Appeal) -> QuerySet:
    """Return other appeals of the same operator, or with the same words, that wait."""
    same = Q(group=appeal.group) & ~Q(group="") | Q(text_key=appeal.text_key) & ~Q(text_key="")
    return Appeal.objects.filter(same, state=Appeal.OPEN).exclude(id=appeal.id).order_by("id")


# Figures


class Figures(NamedTuple):
    """Appeals about one rule or model: how many, what became of them, median hours."""

    name: str
    received: int
    open: int
    unchanged: int
    partially: int
    reversed: int
    median_hours: float | None


def figures(field: str) -> list[Figures]:
    """Return figures by `rule` or by `model`, most appeals first; all together under an empty name.

    Appeals that nobody confirmed are not counted.
    """
    live = Appeal.objects.unverified().filter(state__in=_LIVE)
    if field == "model":
        live = live.exclude(model="")
    counted = live.values(field).annotate(
        n=Count("id"),
        waiting=Count("id", filter=Q(state=Appeal.OPEN)),
        **{name: Count("id", filter=Q(result=name)) for name in _RESULTS},
    )
    hours: dict[str, list[float]] = {}
    spans = live.filter(state=Appeal.DECIDED).order_by("-id")
    for name, opened, decided in spans.values_list(field, "opened_ms", "decided_ms")[:20_000]:
        hours.setdefault(name, []).append((decided - opened) / HOUR_MS)
    rows = [
        Figures(
            row[field], row["n"], row["waiting"], row[Appeal.UNCHANGED], row[Appeal.PARTIALLY],
            row[Appeal.REVERSED], _median(hours.get(row[field], ())),
        )
        for row in counted.order_by("-n", field)
    ]  # fmt: skip
    return rows


def _median(values: Iterable[float]) -> float | None:
    held = list(values)
    return statistics.median(held) if held else None


# Erasure


def erase_statements(now_ms: int, terms: Appeals) -> tuple[int, int]:
    """Erase statements on schedule; return how many, and how many unconfirmed appeals lapsed."""
    with transaction.atomic():
        old = Appeal.objects.filter(
            state=Appeal.DECIDED,
            statement__isnull=False,
            decided_ms__lt=now_ms - terms.statement_days * DAY_MS,
        )
        erased = old.update(**_erased(now_ms))
        lapsed = Appeal.objects.filter(
            state=Appeal.UNVERIFIED, created_ms__lt=now_ms - LAPSE_MS
        ).update(state=Appeal.WITHDRAWN, code_message="", **_erased(now_ms))
    return erased, lapsed


def _erased(now_ms: int) -> dict[str, Any]:
    return {"statement": None, "text_key": "", "erased_ms": now_ms, "version": F("version") + 1}


class AppealUpkeep:
    """Erases statements on schedule while the service runs; a `Service(background=…)`.

    Args:
        terms: How long statements are kept.
    """

    def __init__(self, terms: Appeals) -> None:
        self._terms = terms

    async def __call__(self, service: Service) -> None:
        """Erase every ten minutes until cancelled."""
        while True:
            try:
                await run_background_query(lambda: erase_statements(service.clock(), self._terms))
            except Exception as error:
                logger.exception("erasing statements failed", cause=type(error).__name__)
            await asyncio.sleep(UPKEEP_S)


def confirm(service: Service, appeal: Appeal, now_ms: int, terms: Appeals) -> Appeal:
    """Open an appeal whose code was right; for synchronous views."""
    try:
        operator: str = async_to_sync(operator_of)(service, appeal.account)
    except WavebreakError:
        operator = ""
    with transaction.atomic():
        return open_confirmed(appeal.id, operator, service.ledger_store, "holder", now_ms, terms)
