"""Statements of reasons on public pages: what a holder is shown behind a signed link.

The statement is stored as it was first shown: after a review it stays, below its correction.
An erasure of the account ends the links to what was decided before it, and nothing is stored again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
from django.db import transaction

from wavebreak.engine.decision_record import Decision as DecisionRecord
from wavebreak.notices import Correction, Language, Platform, Statement, with_corrections
from wavebreak.notices.statement import read_decision
from wavebreak.outcomes import WITHOUT_STATEMENT
from wavebreak_server.errors import ApiError
from wavebreak_server.pipeline.holder_notices import HolderNotices, has_notice
from wavebreak_server.pipeline.public_links import decision_id_of
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.erasure.service import ErasedError, refuse_erased
from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.statements import standing
from wavebreak_server.slices.statements.models import NoticeState
from wavebreak_server.storage.authentic_rows import checked_decisions
from wavebreak_server.storage.models import Decision
from wavebreak_server.texts import page_language, translate


def decision_of(notices: HolderNotices, token: str, now_ms: int) -> dict[str, Any] | None:
    """Return the decision of a token; None if it is forged, over, or not due yet.

    All of these look the same to who asks. Raises ErasedError where an erasure has ended the link.
    """
    decision_id = decision_id_of(token, now_ms)
    if decision_id is None:
        return None
    decision = stored_decision(decision_id)
    if decision is None or not has_notice(decision) or now_ms < notices.notify_at_ms(decision):
        return None
    refuse_erased(decision_id)
    return decision


def offered_language(platform: Platform, code: str | None) -> str:
    """Return the language that a platform asks for (None: its own); raises ApiError (422)."""
    if code is None:
        return platform.default_language
    if code not in platform.languages:
        raise ApiError(
            422,
            translate("language is not offered"),
            fix=translate("use {names}", names=", ".join(platform.languages)),
        )
    return code


def stored_decision(decision_id: str) -> dict[str, Any] | None:
    """Return a stored decision by its id, with its number."""
    rows = checked_decisions(Decision.objects.filter(id=decision_id))
    if not rows:
        return None
    decision: dict[str, Any] = msgspec.json.decode(bytes(rows[0].body))
    return decision | {"number": rows[0].number}


def statement_of(
    notices: HolderNotices,
    decision: Mapping[str, Any],
    language: Language,
    now_ms: int,
    more: Sequence[Correction] = (),
) -> Statement:
    """Return the statement of a decision in a language, with corrections above it.

    A corrected statement is the one that the holder was shown first. A restored decision has the
    grounds of the decision that it restores. `more` are corrections that are not stored yet.
    """
    corrections = (*corrections_of(decision), *more)
    written = shown_statement(str(decision["id"]), language.code) if corrections else None
    if written is None:
        written = _write(notices, decision, language, now_ms)
    return with_corrections(written, corrections, now_ms)


def _write(
    notices: HolderNotices, decision: Mapping[str, Any], language: Language, now_ms: int
) -> Statement:
    original = _original(decision)
    stated = dict(decision) | {name: original[name] for name in _GROUNDS if name in original}
    number, account = decision.get("number"), str(decision["account"])
    ended_ms, found_automatically, reviewed = None, None, None
    if number is not None:
        later = standing.load_decisions(account, number, oldest_first=True)
        ended_ms = standing.trace(later, now_ms).ends.get(str(decision["id"]))
        if standing.lifted_up_to(account) >= number:
            notices = replace(notices, is_enforced=False)
    if stated.get("basis") == "person":
        earlier = ReviewCase.objects.filter(account=account, decision__lt=number or 2**62)
        found_automatically = earlier.exists()
        act = _act(original, "event")
        if act is not None:
            reviewed = reviewed_decision(account, act.case, original.get("number"))
    return notices.statement(
        stated, language, now_ms, notices.links(decision), found_automatically=found_automatically,
        ended_ms=ended_ms, reviewed=reviewed,
    )  # fmt: skip


def reviewed_decision(
    account: str, case: ReviewCase | None, before: int | None = None
) -> DecisionRecord | None:
    """Return the decision whose facts a person sees who acts on an account.

    The one that opened the case; without a case, the account's newest one.
    """
    rows = Decision.objects.filter(account=account, number__lt=before or 2**62)
    rows = rows.exclude(outcome="allow").order_by("-number")
    found = checked_decisions((rows.filter(number=case.decision) if case else rows)[:1])
    return read_decision(msgspec.json.decode(bytes(found[0].body))) if found else None


_GROUNDS = ("basis", "rules", "reasons", "score", "model", "stage")


def _original(decision: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the decision that a person restored by this one; else the decision itself."""
    if decision.get("number") is None or decision.get("basis") != "person":
        return decision
    account, before = str(decision["account"]), decision["number"] + 1
    earlier: list[Mapping[str, Any]] = [*standing.load_decisions(account, before=before)]
    original = earlier.pop()
    while (restored := standing.restored_decision(original, earlier)) is not None:
        earlier, original = earlier[: earlier.index(restored)], restored
    return original


def _act(decision: Mapping[str, Any], label: str) -> PersonAct | None:
    """Return the act whose label, or whose undo's, a decision was made by."""
    if not (trigger := decision.get("trigger")):
        return None
    acts = PersonAct.objects.filter(account=decision["account"], **{label: trigger})
    found: PersonAct | None = acts.first()
    return found


def corrections_of(decision: Mapping[str, Any]) -> tuple[Correction, ...]:
    """Return what appeals, a verdict or an undo made of a decision, oldest first."""
    decided = Appeal.objects.filter(decision=str(decision["id"]), state=Appeal.DECIDED)
    corrections = [*_answers(decided), *_undone(decision)]
    if all(one.result != "reversed" for one in corrections):
        corrections += _lifted(decision)
    return tuple(sorted(corrections, key=lambda one: one.at_ms))


def _undone(decision: Mapping[str, Any]) -> list[Correction]:
    """Return the undo of the act that a decision is of, if it was undone."""
    act = _act(decision, "event")
    if act is None or act.undone_ms is None or not act.undo_event:
        return []
    return [Correction(at_ms=act.undone_ms, result="reversed", reason="", outcome=act.before)]


def _lifted(decision: Mapping[str, Any]) -> list[Correction]:
    """Return the verdict by which a person lifted a decision, where it is what came next."""
    if decision["outcome"] == "allow" or "number" not in decision:
        return []
    later = Decision.objects.filter(account=decision["account"], number__gt=decision["number"])
    following = checked_decisions(later.order_by("number")[:1])
    if not following:
        return []
    act = _act(msgspec.json.decode(bytes(following[0].body)), "event")
    if act is None or act.verdict != "benign" or act.undo_event:
        return []
    return [Correction(at_ms=act.at_ms, result="reversed", reason="")]


def _answers(decided: Iterable[Appeal]) -> list[Correction]:
    return [
        Correction(
            at_ms=appeal.decided_ms,
            result=appeal.result,
            reason=appeal.reason,
            outcome=appeal.new_outcome or "allow",
            until_ms=appeal.new_until_ms,
        )
        for appeal in decided
    ]


def keep_shown(decision: Mapping[str, Any], statement: Statement, now_ms: int) -> None:
    """Store a statement that is shown to the holder, unless one was stored in its language.

    None is stored after an erasure of the account.
    """
    if statement.corrections:
        return
    with suppress(ErasedError), transaction.atomic():
        NoticeState.objects.get_or_create(
            decision=str(decision["id"]),
            language=statement.language,
            defaults={
                "account": str(decision["account"]),
                "shown_ms": now_ms,
                "statement": msgspec.json.encode(statement),
            },
        )
        # Last: an erasure that begins meanwhile finds the row, or is found and undoes the write.
        refuse_erased(str(decision["id"]))


def shown_statement(decision_id: str, language: str) -> Statement | None:
    """Return the statement that a holder was shown first in a language, without corrections."""
    rows = NoticeState.objects.filter(decision=decision_id, language=language)
    body = rows.values_list("statement", flat=True).first()
    return None if body is None else msgspec.json.decode(bytes(body), type=Statement)


def newest_notice(notices: HolderNotices, account: str, now_ms: int) -> dict[str, Any] | None:
    """Return the newest notice to the holder of an account, in the language of the page.

    None in shadow: nobody is notified.
    """
    rows = Decision.objects.filter(account=account).exclude(outcome__in=WITHOUT_STATEMENT)
    newest = checked_decisions(rows.order_by("-number")[:1])
    if not newest or not notices.is_enforced:
        return None
    decision = msgspec.json.decode(bytes(newest[0].body)) | {"number": newest[0].number}
    shown = NoticeState.objects.filter(decision=decision["id"]).order_by("shown_ms")
    notify_at_ms = notices.notify_at_ms(decision)
    return {
        "statement": statement_of(notices, decision, page_language(), now_ms),
        "notify_at_ms": notify_at_ms,
        "due": notify_at_ms <= now_ms,
        "shown": list(shown.values("language", "shown_ms")),
        "url": notices.links(decision).statement,
    }
