"""The effect sheet of an act: what would be in force after it, before anybody confirms it.

What decides judges the label of the act in a dry run, which changes nothing, so that a sheet is the
decision itself and no guess at the policy. Its digest is in the form that confirms the act: an act
whose sheet changed meanwhile is asked again. Digest and counts are in the audit log.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
from django.db.models import Max

from wavebreak.engine.decision import build_decision
from wavebreak.engine.owner_answers import TriedState, states_after
from wavebreak.explain.narrative import evidence_sentence
from wavebreak.languages import Language, get_language, msgid
from wavebreak.linking import Operator
from wavebreak.notices import Platform, Statement
from wavebreak.outcomes import (
    OUTCOMES,
    REFUSING,
    WITHOUT_NOTICE,
    WITHOUT_STATEMENT,
    rank_of,
    row_of,
)
from wavebreak.reports.tables import stamp
from wavebreak.rules import Feedback
from wavebreak.schema.events import LabelAssigned
from wavebreak_server.pipeline.decide import pseudonymize_event
from wavebreak_server.slices.accounts.neighbours import operators_of
from wavebreak_server.slices.acts import actions
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.acts.service import Act
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.statements import service as statements
from wavebreak_server.slices.statements import standing
from wavebreak_server.slices.statements.models import NoticeState
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.storage.models import Decision
from wavebreak_server.texts import page_language, translate

NO_REFERENCE = "–"
"""What a sheet shows for the reference that a decision will have."""
MAX_ASKED = 50
"""Accounts of one question: what decides answers nobody else meanwhile."""
SHOWN_LINKED = 20


class State(NamedTuple):
    """An outcome in force, and its end (ms; None: none)."""

    outcome: str
    until_ms: int | None = None

    @property
    def severity(self) -> tuple[int, float]:
        """A key by which a severer, then a longer state is greater."""
        return rank_of(self.outcome), float("inf") if self.until_ms is None else self.until_ms


class Ask(NamedTuple):
    """An act on an account that is asked about.

    Attributes:
        account: The account.
        act: The act (None: nothing is done to the account).
        until_ms: The exact end of its outcome, where an earlier one is restored.
        notice: What the holder would read (None: the statement of the new decision).
    """

    account: str
    act: Act | None
    until_ms: int | None = None
    notice: Statement | None = None


class Details(NamedTuple):
    """What a sheet says of an account that it shows.

    Attributes:
        kept: Decisions that stay in force, each with its evidence in a sentence.
        operator: The operator that the account seems to be of.
        linked: Some accounts of this operator that the act is not about.
        others: How many there are.
        notices: What the holder would read, in their own language first.
        notified: When they are notified, in words ("": they are not).
        case: The case that the act would close.
    """

    kept: tuple[tuple[Mapping[str, Any], str], ...]
    operator: Operator | None
    linked: tuple[str, ...]
    others: int
    notices: tuple[tuple[Language, Statement], ...]
    notified: str
    case: ReviewCase | None


class AccountEffect(NamedTuple):
    """What an act brings to an account.

    Attributes:
        ask: The act that is asked about.
        before: The state in force now.
        after: The state after the act.
        decision: The decision that would follow (None: none would).
        newest: Numbers of the newest decision on the account, and of the newest act of a person.
        details: What is shown of it (None: it is only counted).
    """

    ask: Ask
    before: State
    after: State
    decision: Mapping[str, Any] | None = None
    newest: tuple[int, int] = (0, 0)
    details: Details | None = None

    @property
    def account(self) -> str:
        """The account."""
        return self.ask.account

    @property
    def rules(self) -> Sequence[str]:
        """The rules that would decide; none where the person sets the outcome."""
        return self.decision["rules"] if self.decision else ()

    @property
    def refuses(self) -> str:
        """What would be refused, in words."""
        return row_of(self.after.outcome).refusal_words

    @property
    def ends(self) -> str:
        """How the outcome would end, in words."""
        return actions.describe_end(self.after.outcome, self.after.until_ms)

    @property
    def key(self) -> tuple[object, ...]:
        """What must be the same when the act is done. Ends that follow from the clock are not."""
        after = (self.after.outcome, self.after.until_ms is None, self.ask.until_ms)
        return (self.account, self.before, after, tuple(self.rules), self.newest)

    def done(self, made: PersonAct) -> AccountEffect:
        """Return the effect that the act has had."""
        return self._replace(after=State(made.outcome, made.until_ms))

    @property
    def fault(self) -> str:
        """What a person must know where an act does not bring what it asks for; else empty.

        >>> made = AccountEffect(Ask("ann", Act("abusive")), State("limit"), State("limit"))
        >>> made.fault[:63]
        'ann: the verdict abusive changed nothing; the outcome is limit.'
        >>> made._replace(after=State("ban")).fault
        ''
        """
        act, outcome = self.ask.act, self.after.outcome
        unchanged = self.before == self.after
        if (
            act is None
            or {
                "benign": outcome == "allow",
                "abusive": outcome == "ban" or not unchanged,
                "undetermined": outcome == act.outcome,
            }[act.verdict]
        ):
            return ""
        what = (
            msgid("{account}: the verdict {words} changed nothing; the outcome is {outcome}.")
            if unchanged
            else msgid(
                "{account}: the verdict {words} did not bring what you asked for; the outcome is "
                "{outcome}."
            )
        )
        said = translate(what, account=self.account, words=act.shown, outcome=translate(outcome))
        look = translate(
            "Look whether the policy enforces a rule on labels, and which rules are off (Settings, "
            "Sources)."
        )
        return f"{said} {look}"

    def words(self, *, enforced: bool) -> str:
        """Return what an act changed, and what it did not, for the person who did it.

        >>> made = AccountEffect(Ask("ann", Act("abusive")), State("limit"), State("ban"))
        >>> made.words(enforced=True)
        'ban is in force now (before: limit): every act is refused. What was delivered stays.'
        >>> made.words(enforced=False)
        'Shadow: nothing is in force. With enforcement it would be ban (before: limit): every act \
is refused.'
        """
        text = (
            msgid("{outcome} is in force now (before: {before}): {refuses}.")
            if enforced
            else msgid(
                "Shadow: nothing is in force. With enforcement it would be {outcome} (before: "
                "{before}): {refuses}."
            )
        )
        outcome = translate(self.after.outcome)
        if self.after.until_ms is not None:
            end = stamp(self.after.until_ms)[: len("2026-11-30 14:02")]
            outcome = translate("{outcome} until {end} UTC", outcome=outcome, end=end)
        before, refuses = translate(self.before.outcome), translate(self.refuses)
        said = translate(text, outcome=outcome, before=before, refuses=refuses)
        if enforced and self.after.outcome in REFUSING:
            return f"{said} {translate('What was delivered stays.')}"
        return said


@dataclass(frozen=True)
class Move:
    """From what to what outcome accounts go, and how many of them people found benign."""

    before: str
    after: str
    count: int
    benign: int = 0

    @property
    def is_worse(self) -> bool:
        """Whether something severer follows."""
        return rank_of(self.after) > rank_of(self.before)


@dataclass(frozen=True)
class SwitchEffect:
    """What another policy or model would have decided, by its replay over the log.

    Attributes:
        before: What decides now.
        after: What would decide.
        page: Name of the page of the replay.
        replay: The replay (None: none compares these two).
        accounts: Accounts of the replay.
        moves: From what to what outcome accounts would go.
        refused: Messages that are kept away under the one, and under the other.
        slowed: Some accounts that people found benign and that would fare worse, with outcomes.
    """

    before: str
    after: str
    page: str = ""
    replay: int | None = None
    accounts: int = 0
    moves: tuple[Move, ...] = ()
    refused: tuple[int, int] = (0, 0)
    slowed: tuple[tuple[str, str, str], ...] = ()

    @property
    def changed(self) -> int:
        """How many accounts would fare otherwise."""
        return sum(move.count for move in self.moves)

    @property
    def slowed_count(self) -> int:
        """How many accounts that people found benign would fare worse."""
        return sum(move.benign for move in self.moves if move.is_worse)


@dataclass(frozen=True)
class EffectSheet:
    """What would be in force after an act.

    Attributes:
        what: The act, in English as in the audit log.
        enforced: Whether outcomes are enforced (False: shadow).
        rows: The accounts that the act is about.
        unknown: Those that the log does not contain.
        switch: What another policy or model would decide; outcomes in force stay until they end.
    """

    what: str
    enforced: bool
    rows: tuple[AccountEffect, ...] = ()
    unknown: tuple[str, ...] = ()
    switch: SwitchEffect | None = None

    @cached_property
    def digest(self) -> str:
        """A digest of all that must be the same when the act is done."""
        keys = [row.key for row in self.rows]
        return digest_of(self.what, self.enforced, keys, self.unknown, self.switch)

    @cached_property
    def moves(self) -> list[Move]:
        """From what to what outcome the accounts go, the severest first."""
        if self.switch is not None:
            return list(self.switch.moves)
        counts = Counter((row.before.outcome, row.after.outcome) for row in self.rows)
        moves = [Move(*pair, count) for pair, count in counts.items()]
        return sorted(moves, key=lambda move: (-rank_of(move.after), rank_of(move.before)))

    @property
    def shown(self) -> list[AccountEffect]:
        """The accounts that are shown one by one."""
        return [row for row in self.rows if row.details is not None]

    @property
    def record(self) -> str:
        """What the audit log holds of the sheet: its digest and its counts.

        >>> row = AccountEffect(Ask("ann", Act("abusive")), State("limit"), State("ban"))
        >>> EffectSheet("abusive", False, (row,)).record.partition(": ")[2]
        '1 account, 1 severer, 0 milder, shadow'
        """
        mode = "enforced" if self.enforced else "shadow"
        if (switch := self.switch) is not None:
            return (
                f"sheet {self.digest}: {switch.changed} of {switch.accounts} accounts change, "
                f"{switch.slowed_count} benign severer, {mode}"
            )
        severer = sum(row.after.severity > row.before.severity for row in self.rows)
        milder = sum(row.after.severity < row.before.severity for row in self.rows)
        accounts = f"{len(self.rows)} account{'s' * (len(self.rows) != 1)}"
        return f"sheet {self.digest}: {accounts}, {severer} severer, {milder} milder, {mode}"


def digest_of(*values: object) -> str:
    """Return a short digest of values by which a form says what its reader has seen."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def effect_sheet(
    acting: ActingUser, what: str, asks: Sequence[Ask], *, shown: int = 1
) -> EffectSheet:
    """Return what would be in force after acts on accounts; nothing is changed.

    Args:
        acting: Who acts.
        what: All of them together, in English as in the audit log.
        asks: The acts, one an account.
        shown: How many accounts are shown one by one, spread evenly.
    """
    accounts = [ask.account for ask in asks]
    tried = _tried(acting, asks)
    rows = [_effect(acting, ask, tried[ask.account]) for ask in asks if ask.account in tried]
    decided, acted = _newest(Decision, "number", accounts), _newest(PersonAct, "id", accounts)
    chosen = {row.account for row in rows[:: max(1, len(rows) // shown)][:shown]}
    operators = operators_of(acting, list(chosen))
    return EffectSheet(
        what,
        acting.deciding.enforce,
        tuple(
            row._replace(
                newest=(decided.get(row.account, 0), acted.get(row.account, 0)),
                details=_details(acting, row, operators.get(row.account), accounts)
                if row.account in chosen
                else None,
            )
            for row in rows
        ),
        tuple(account for account in accounts if account not in tried),
    )


def _newest(table: Any, field: str, accounts: Sequence[str]) -> dict[str, int]:
    rows = table.objects.filter(account__in=accounts).values_list("account")
    return dict(rows.annotate(newest=Max(field)))


def _tried(acting: ActingUser, asks: Iterable[Ask]) -> dict[str, TriedState]:
    """Ask what decides, in one question for those who share an act.

    Where nothing is done the state now is asked for.
    """
    groups: dict[tuple[Act, int | None], list[str]] = {}
    for ask in asks:
        groups.setdefault((ask.act or Act("undetermined"), ask.until_ms), []).append(ask.account)
    tried: dict[str, TriedState] = {}
    for (act, until_ms), accounts in groups.items():
        ts = actions.label_time_ms(acting.context)
        hold_s = act.hold_s if until_ms is None else max(1, until_ms // 1000 - ts // 1000)
        for begin in range(0, len(accounts), MAX_ASKED):
            some = accounts[begin : begin + MAX_ASKED]
            event = LabelAssigned(
                ts=ts, account=some[0], label=act.verdict, source="analyst",  # type: ignore[arg-type]
                outcome=act.outcome or None, hold_s=hold_s,  # type: ignore[arg-type]
            )  # fmt: skip
            log = pseudonymize_event(event, acting.service.pseudonymizer)
            found: dict[str, TriedState] = acting.query(states_after, some, events=log)
            tried |= found
    return tried


def _effect(acting: ActingUser, ask: Ask, tried: TriedState) -> AccountEffect:
    before = State(OUTCOMES[tried.now.outcome], tried.now.until_ms)
    if ask.act is None:
        return AccountEffect(ask, before, before)
    decision, hit = None, tried.decided()
    if hit is not None:
        made = build_decision(hit, acting.deciding.program, ask.account, "", "")
        # Its id follows from the place of the act in the log, which nobody knows yet.
        decision = msgspec.to_builtins(made) | {"id": NO_REFERENCE}
    return AccountEffect(ask, before, State(OUTCOMES[tried.outcome], tried.until_ms), decision)


def _details(
    acting: ActingUser, row: AccountEffect, operator: Operator | None, accounts: Sequence[str]
) -> Details:
    """Return what is shown of an account, which is one of those that the act is about."""
    notices, account = acting.context.app.holder_notices, row.account
    stored = standing.load_decisions(account, standing.lifted_up_to(account) + 1)
    followed = [*stored, *([row.decision] if row.decision else [])]
    kept = standing.trace(followed, acting.now_ms).standing
    if row.after.outcome in WITHOUT_NOTICE:
        kept = []
    linked = sorted(set(operator.accounts) - set(accounts)) if operator else []
    case = ReviewCase.objects.filter(account=account, state=ReviewCase.OPEN).first()
    is_notified = row.decision is not None and row_of(row.after.outcome).notified
    return Details(
        tuple(
            (decision, evidence_sentence(dict(decision), page_language()))
            for decision in kept
            if decision["id"] != NO_REFERENCE
        ),
        operator,
        tuple(linked[:SHOWN_LINKED]),
        len(linked),
        _notices(acting, row, case),
        _notice_words(notices.feedback, row.after.outcome) if is_notified else "",
        case,
    )


def _notices(
    acting: ActingUser, row: AccountEffect, case: ReviewCase | None
) -> tuple[tuple[Language, Statement], ...]:
    """Return what the holder would read, in their own language first."""
    notices, account = acting.context.app.holder_notices, row.account
    if row.ask.notice is not None:
        return ((get_language(row.ask.notice.language), row.ask.notice),)
    if row.decision is None or row.after.outcome in WITHOUT_STATEMENT:
        return ()
    decision, reviewed = row.decision, statements.reviewed_decision(account, case)
    automatic = ReviewCase.objects.filter(account=account).exists()

    def write(language: Language) -> Statement:
        now = acting.now_ms
        return notices.statement(
            decision, language, now, found_automatically=automatic, reviewed=reviewed
        )

    languages = map(get_language, holder_languages(account, notices.platform))
    return tuple((language, write(language)) for language in languages)


def holder_languages(account: str, platform: Platform) -> list[str]:
    """Return the platform's languages; first that in which the holder read or wrote last."""
    read = NoticeState.objects.filter(account=account).order_by("-shown_ms")
    written = Appeal.objects.unverified().filter(account=account).order_by("-created_ms")
    own = [rows.values_list("language", flat=True).first() for rows in (written, read)]
    first = [code for code in (*own, platform.default_language) if code in platform.languages]
    return list(dict.fromkeys([*first[:1], *platform.languages]))


def _notice_words(feedback: Feedback, outcome: str) -> str:
    """Return when a holder is notified: the delay itself is drawn with the decision.

    >>> _notice_words(Feedback(delay={"ban": ("1h", "12h")}), "ban")
    'between 1h and 12h after the decision'
    >>> _notice_words(Feedback(), "challenge")
    'at once'
    """
    delays = {str(name): delay for name, delay in feedback.delay.items()}
    if outcome not in delays:
        return translate("at once")
    least, most = delays[outcome]
    return translate("between {least} and {most} after the decision", least=least, most=most)
