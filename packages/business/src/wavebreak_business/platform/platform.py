"""The platform's rules over events: names to slots, the log's time, repeated events, answers.

One ordered reader, as in the engine. What changes the registry, or who a person is, is taken at
its place in the log; what lies between is decided by the compiled rules in one go. The same log
gives the same answers, however it is cut and on any number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from wavebreak.durations import DAY_MS
from wavebreak.errors import EventError
from wavebreak.features.dedup import DuplicateFilter
from wavebreak.features.facts import CLOCK, EPOCH_MS
from wavebreak.features.interner import Interner, name_spans
from wavebreak.features.keyed_hash import random_secret, table_key
from wavebreak.ledger.entries import ConsentEntry, StandingEntry
from wavebreak.ledger.recorder import Draft
from wavebreak.schema.events import (
    AccountDeleted,
    AccountRegistered,
    MessageRead,
    MessageSent,
    MessageUndeliverable,
    UserBlocked,
    UserReported,
)
from wavebreak_business.platform import kernel as k
from wavebreak_business.platform.caps import Caps
from wavebreak_business.platform.consents import Basis, Consents
from wavebreak_business.platform.events import (
    AccountIdChanged,
    ConsentGranted,
    ConsentRevoked,
    EntryOpened,
    PersonWeighed,
    PortfolioUpdated,
    StandingSet,
    TemplateUpdated,
    UserMuted,
    event_id,
    event_ms,
)
from wavebreak_business.platform.laws import CATEGORIES
from wavebreak_business.platform.outcomes import OUTCOMES, code_of
from wavebreak_business.platform.portfolios import Portfolio, Registry
from wavebreak_business.platform.state import State
from wavebreak_business.platform.volumes import Volumes
from wavebreak_business.settings import Settings

FULL_WEIGHT = 100
FORGET_FROM = 100_000
MAX_SILENCE_MS = 366 * DAY_MS
"""A log may be silent for long; an event further ahead than this of those around it is misdated."""
"""Ids from which on those are forgotten of whom nothing is left, each time that they doubled."""
HeldOutcome = Literal["held", "released", "dropped", "opted_out"]
"""What becomes of a send that was held."""
_REACTIONS: dict[Any, int] = {
    MessageRead: k.READ,
    UserMuted: k.MUTE,
    UserBlocked: k.BLOCK,
    UserReported: k.REPORT,
}


class Answer(NamedTuple):
    """What became of a send.

    Attributes:
        id: Of the event.
        outcome: Neutral name; `accepted` and `held` are not refused.
        code: The field's code; "": none.
        at: When it was taken (ms).
        retry_at: From when the same send would not be refused for this (ms); None: never by itself.
        basis: Of an accepted one: window, consent, or not_required; "": refused.
        meaning: What happened; "": accepted.
    """

    id: str
    outcome: str
    code: str
    at: int
    retry_at: int | None
    basis: str
    meaning: str
    fix: str

    @property
    def accepted(self) -> bool:
        """Whether it goes out, now or after it was held."""
        return self.outcome in ("accepted", "held")


class Change(NamedTuple):
    """What changed beside answers: a step of the ladder, a pause of a template, a higher limit.

    `what` of the ladder is in `STANDING`; then `value` is the step that the portfolio is on.
    """

    at: int
    portfolio: str
    what: str
    template: str | None
    value: int


STANDING = (
    "step", "set", "lifted", "inherited", "appeal_opened", "appeal_unchanged", "appeal_reversed",
)  # fmt: skip
"""What may become of a standing: the rules stepped, a person set a step or lifted what it bars, a
successor inherited one, an appeal was opened or decided."""


class Result(NamedTuple):
    """What came of events: answers to sends, changes, entries to seal, and events refused.

    A repeated send has no answer. `persons` counts messages between people.
    """

    answers: list[Answer]
    changes: list[Change]
    drafts: list[Draft]
    refused: list[tuple[str, EventError]]
    repeated: int
    persons: int


class Platform:
    """A business platform.

    Args:
        settings: Limits and codes.
        workers: Threads; no answer depends on it.
        lateness_s: How far behind the log's time an event may be without being late. A late one is
            taken too, at its portfolio's own time.
        secret: Of the tables' hashes (None: a random one).
        forget_from: Ids from which on those are forgotten of whom nothing is left.
    """

    def __init__(
        self, settings: Settings, *, workers: int = 1, lateness_s: int = 60,
        secret: bytes | None = None, forget_from: int = FORGET_FROM,
    ) -> None:  # fmt: skip
        secret = secret or random_secret()
        self.settings, self.lateness_ms = settings, lateness_s * 1000
        self.state = State(settings.limits, workers=workers, secret=secret)
        self.registry = Registry(settings.limits, self.state)
        self.consents = Consents(settings.limits)
        self.caps = Caps(settings.limits.cap)
        self.volumes = Volumes(settings.limits.limit)
        self._names_key = table_key(secret, "people")
        self.names = Interner(self._names_key)
        self.people = np.zeros(0, np.int64)
        """By the slot of an id: the person whose id it is (-1: nobody's yet)."""
        self.count = 0
        self.free: list[int] = []
        """Numbers of people who were forgotten, the least last: the next person has it."""
        self.forget_from = self.forget_at = forget_from
        self.weights: dict[int, int] = {}
        """By person: what their reactions weigh, in hundredths, where it is not all."""
        self.retired: set[int] = set()
        """Slots of ids that people left for another one."""
        self.seen = DuplicateFilter(table_key(secret, "platform events"), span_ms=self.lateness_ms)
        self.clock = np.zeros(1, CLOCK)
        self.clock["newest"] = -1
        self.position = 0

    # The log.

    def apply(self, events: Sequence[Any], weights: Mapping[str, int] | None = None) -> Result:
        """Take events in the order of the log.

        Args:
            events: Of the types of `events.READ_TYPES`.
            weights: Credibility of people who react, in hundredths, by account id (absent: what the
                log has said of it, else 100).
        """
        result = Result([], [], [], [], 0, 0)
        if not events:
            return result
        ids = [event_id(event) for event in events]
        stamps = [event_ms(event) for event in events]
        misdated = self._find_misdated(stamps)
        times, repeated, epochs = self._date(ids, stamps, misdated)
        fix = "correct its time, then send it again under another id"
        wrong = EventError("it is dated more than a year ahead of the others", fix=fix)
        result.refused.extend((ids[n], wrong) for n in np.flatnonzero(misdated))
        rows: list[tuple[int, ...]] = []
        sends: list[tuple[str, int]] = []
        persons = 0
        for n, event in enumerate(events):
            self.position += 1
            if int(epochs[n]) != self.caps.epoch:
                self._flush(rows, sends, result)
                self._close(int(epochs[n]), result)
            if repeated[n] or misdated[n]:
                continue
            if isinstance(event, _BARRIERS):
                self._flush(rows, sends, result)
                try:
                    self._change(event, int(times[n]), result)
                except EventError as error:
                    result.refused.append((ids[n], error))
                continue
            if isinstance(event, (AccountDeleted, AccountRegistered, PersonWeighed)):
                self._take_of_person(event)
                continue
            try:
                row = self._row(event, int(times[n]), weights or {}, result)
            except EventError as error:
                result.refused.append((ids[n], error))
                continue
            if row is None:
                persons += 1
                continue
            sends.append((ids[n], row[1]))
            rows.append(row)
        self._flush(rows, sends, result)
        return result._replace(repeated=int(repeated.sum()), persons=persons)

    def _date(self, ids: list[str], stamps: list[int], misdated: Any) -> tuple[Any, Any, Any]:
        """Return when events are taken, which were there before, and epochs.

        Each is taken at its own time: a log may be silent for days, and a day of a window counts
        from what was said. Who writes a log refuses what is dated ahead of its clock.
        """
        spans, times = name_spans(pa.array(ids, pa.string())), np.array(stamps, np.int64)
        repeated, done = np.zeros(times.size, np.bool_), 0
        epochs = np.zeros(times.size, np.int64)
        while done < times.size:
            begin, done = done, self.seen.note(spans, repeated, done)
            passed_over = repeated[begin:done] | misdated[begin:done]
            epochs[begin:done] = self._follow(times[begin:done], passed_over)
            if done < times.size:
                self.seen.grow(int(self.clock["newest"][0]))
        return times, repeated, epochs

    def _follow(self, times: Any, passed_over: Any) -> Any:
        """Let the log's time follow events; return their epochs."""
        if not times.size:
            return times
        before = int(self.clock["newest"][0])
        newest = np.maximum.accumulate(np.where(passed_over, before, times))
        newest = np.maximum(newest, before)
        self.clock["newest"] = newest[-1]
        return newest // EPOCH_MS

    def _find_misdated(self, stamps: list[int]) -> Any:
        """Return which events are dated far ahead of all before them and of the next one."""
        newest = int(self.clock["newest"][0])
        misdated = np.zeros(len(stamps), np.bool_)
        for n, stamp in enumerate(stamps[:-1]):
            around = max(newest, stamps[n + 1])
            misdated[n] = newest >= 0 and stamp > around + MAX_SILENCE_MS
            if not misdated[n]:
                newest = max(newest, stamp)
        return misdated

    def _row(
        self, event: Any, at: int, weights: Mapping[str, int], result: Result
    ) -> tuple[int, ...] | None:  # fmt: skip
        """Return an act as its fields; None where it concerns no business."""
        match event:
            case MessageSent():
                return self._message(event, at)
            case ConsentGranted() | ConsentRevoked():
                return self._word(event, at, result)
            case MessageUndeliverable():
                number = self._number(event.account)
                who = event.peer
                kind, weight = k.UNDELIVERABLE, FULL_WEIGHT
            case EntryOpened():
                number, who, kind, weight = self._number(event.peer), event.account, k.INBOUND, 0
            case _:
                number, who = self._number(event.peer), event.account
                kind = _REACTIONS[type(event)]
                weight = min(max(weights.get(who, self.weight_of(who)), 0), FULL_WEIGHT)
        if number is None:
            return None
        if isinstance(event, EntryOpened):
            return at, kind, k.ANY, k.BY_ENTRY, weight, number, self.person(who), k.NONE, k.NONE
        # Who was never written to leaves nothing, and is nobody afterwards.
        person = self.known_person(who)
        return at, kind, k.ANY, 0, weight, number, person if person >= 0 else k.NONE, k.NONE, k.NONE

    def _message(self, event: MessageSent, at: int) -> tuple[int, ...] | None:
        """Return a business's send, or a person's message to a business; None: between people.

        A template of who is no business is a send that is refused: `no_portfolio`.
        """
        portfolio = self.registry.portfolio_of(event.account)
        if portfolio is None:
            number = self._number(event.peer)
            if event.template is not None:
                return at, k.SEND, k.ANY, 0, 0, k.NONE, 0, k.NONE, k.NONE
            if number is None:
                return None
            return at, k.INBOUND, k.ANY, 0, 0, number, self.person(event.account), k.NONE, k.NONE
        if event.peer is None:
            return None
        number = portfolio.numbers[event.account].slot
        template, flags = k.NONE, 0
        if event.template is not None:
            known = portfolio.templates.get(event.template)
            template, flags = known.slot if known else k.NONE, k.WITH_TEMPLATE
        person = self.person(event.peer)
        if template != k.NONE and self._counts(template) and self.caps.opens_at(person, at) > at:
            flags |= k.AT_CAP
        return at, k.SEND, k.ANY, flags, 0, number, person, template, k.NONE

    def _counts(self, template: int) -> bool:
        """Whether a template counts for the cap of all businesses."""
        return self.caps.counts(int(self.state.templates.records[template]["category"]))

    def _word(
        self, event: ConsentGranted | ConsentRevoked, at: int, result: Result
    ) -> tuple[int, ...] | None:  # fmt: skip
        """Keep a word on consent, and return it as an act where it counts."""
        portfolio = self.registry.portfolios.get(event.business)
        if portfolio is None:
            fix = "register the portfolio, then send it again"
            raise EventError("consent for a portfolio that is not registered", fix=fix)
        granted, person = isinstance(event, ConsentGranted), self.person(event.account)
        known = portfolio.numbers.get(event.number) if event.number is not None else None
        if event.number is not None and known is None and granted:
            raise EventError("consent for no number of the portfolio", fix="register the number")
        # A revocation for a number that has left covers the portfolio: too much, not nothing.
        number = known.slot if known else k.NONE
        counts = self.consents.add(
            portfolio.slot, person, position=self.position - 1, at=at, granted=granted,
            source=event.source, number=number, category=event.category, proof=event.proof,
        )  # fmt: skip
        body = ConsentEntry(
            event.business, "granted" if granted else "revoked", event.category or "",
            event.source, event.proof or "", counts,
        )  # fmt: skip
        hidden = {"id": event.id, "number": event.number, "person": event.account}
        result.drafts.append(Draft("consent", body, hidden))
        if not counts:
            return None
        category = CATEGORIES.index(event.category) if event.category else k.ANY
        kind = k.GRANT if granted else k.REVOKE
        return at, kind, category, 0, 0, number, person, k.NONE, portfolio.slot

    def _number(self, account: str | None) -> int | None:
        portfolio = self.registry.portfolio_of(account) if account else None
        return portfolio.numbers[account].slot if portfolio and account else None

    def _flush(
        self, rows: list[tuple[int, ...]], sends: list[tuple[str, int]], result: Result
    ) -> None:  # fmt: skip
        """Decide the acts so far."""
        if not rows:
            return
        acts = np.array(rows, dtype=k.ACT)
        told = self.state.advance(acts)
        for n in np.flatnonzero(told["outcome"] != k.NOT_A_SEND).tolist():
            result.answers.append(self._answer(sends[n][0], acts[n], told[n]))
        for n in np.flatnonzero(acts["kind"] == k.UNDELIVERABLE).tolist():
            self.volumes.note(int(acts[n]["portfolio"]), int(acts[n]["ts"]), -1)
        for n in np.flatnonzero((told["outcome"] == k.SENT) | (told["outcome"] == k.HELD)).tolist():
            self.volumes.note(int(acts[n]["portfolio"]), int(acts[n]["ts"]), 1)
            if self._counts(int(acts[n]["template"])):
                self.caps.note(int(acts[n]["person"]), int(acts[n]["ts"]))
        for n in np.flatnonzero(told["changes"]).tolist():
            self._note_changes(acts[n], told[n], result)
        rows.clear()
        sends.clear()

    def _close(self, epoch: int, result: Result) -> None:
        """Open an epoch, with what those before it brought."""
        self.caps.close(epoch)
        at, rules = epoch * EPOCH_MS, self.settings.limits.limit
        for slot in self.volumes.close(at):
            above = self.settings.limits.step_above(rules.steps[0])
            if int(self.state.ports.records[slot]["limit"]) == rules.steps[0]:
                self.state.set_limit(slot, -1 if above is None else above)
                name = self.registry.slots[slot]
                result.changes.append(Change(at, name, "limit_raised", None, above or -1))
        if len(self.names) >= self.forget_at:
            self._forget()

    def _answer(self, name: str, act: Any, told: Any) -> Answer:
        outcome = int(told["outcome"])
        row, code = OUTCOMES[outcome], code_of(outcome, self.settings)
        basis = ""
        if outcome == k.IN_WINDOW:
            basis = "window"
        elif outcome <= k.HELD:
            category = int(self.state.templates.records[int(act["template"])]["category"])
            required = int(self.state.laws["required"]) >> category & 1
            basis = "consent" if required else "not_required"
        opens = int(told["opens"])
        if outcome == k.PERSON_CAP:
            opens = self.caps.opens_at(int(act["person"]), int(act["ts"]))
        return Answer(
            name, row.name, row.code, int(told["at"]),
            None if outcome <= k.HELD or opens == k.NEVER else opens, basis,
            code.meaning if code else row.meaning, code.fix if code else row.fix,
        )  # fmt: skip

    def _note_changes(self, act: Any, told: Any, result: Result) -> None:
        portfolio, at = self.registry.slots[int(act["portfolio"])], int(told["at"])
        slot = int(told["template"])
        template = self.registry.template_names[slot][1] if slot != k.NONE else None
        bits = int(told["changes"])
        for bit, what in (
            (k.PAUSED_BY_QUALITY, "template_paused"), (k.PAUSED_BY_PACING, "template_dropped"),
        ):  # fmt: skip
            if bits & bit:
                result.changes.append(Change(at, portfolio, what, template, 0))
        value = int(told["value"])
        if bits & k.RAISED:
            result.changes.append(Change(at, portfolio, "limit_raised", None, value))
        if bits & k.STEPPED:
            self.registry.note_step(portfolio)
            result.changes.append(Change(at, portfolio, "step", None, value))
            result.drafts.append(self._standing_draft(portfolio, value, at))

    def _standing_draft(self, portfolio: str, number: int, at: int) -> Draft:
        step = self.settings.limits.ladder.steps[number - 1]
        body = StandingEntry(portfolio, step.name, step.bars, *self.step_times(number, at))
        return Draft("standing", body, {})

    def step_times(self, number: int, at: int) -> tuple[int, int | None]:
        """Return when a step of the ladder begins and ends that is taken at a time (None: never).

        Until it begins all sends are barred.
        """
        begins = at + int(self.state.laws["notice"][number - 1])
        lasts = int(self.state.laws["lasts"][number - 1])
        return begins, begins + lasts if lasts else None

    def _change(self, event: Any, at: int, result: Result) -> None:
        """Take what changes the registry, or who a person is."""
        match event:
            case PortfolioUpdated():
                known = self.registry.portfolios.get(event.business)
                linked = known.linked if known else ()
                result.drafts.append(self.registry.update(event, at))
                result.changes.extend(self._standing_changes(event, linked, at))
            case StandingSet():
                self._set_standing(event, at, result)
            case TemplateUpdated():
                result.drafts.append(self.registry.update_template(event, at))
            case AccountIdChanged():
                self._rename(event.previous, event.account)

    def _standing_changes(
        self, event: PortfolioUpdated, linked: tuple[str, ...], at: int
    ) -> Iterator[Change]:
        """Return what a change of a portfolio made of standings; `linked`: as it was before."""
        name = event.business
        concerned = [name] if event.appeal else []
        if event.appeal == "reversed":
            concerned += [each.name for each in self.registry.linked_to(name)]
        for each in concerned:
            yield self._standing_change(each, f"appeal_{event.appeal}", at)
        if self.registry.portfolios[name].linked != linked:
            yield self._standing_change(name, "inherited", at)

    def _standing_change(self, name: str, what: str, at: int) -> Change:
        p = self.state.ports.records[self.registry.portfolios[name].slot]
        return Change(max(at, int(p["clock"])), name, what, None, int(p["step"]))

    def _set_standing(self, event: StandingSet, at: int, result: Result) -> None:
        step = self.registry.set_standing(event, at)
        what = "lifted" if event.step is None else "set"
        change = self._standing_change(event.business, what, at)
        result.changes.append(change)
        if event.step is None:
            body = StandingEntry(event.business, what, "nothing", change.at, None)
            result.drafts.append(Draft("standing", body, {"id": event.id}))
        else:
            result.drafts.append(self._standing_draft(event.business, step, change.at))

    # People.

    def person(self, account: str) -> int:
        """Return the person whose id this is."""
        (slot,) = self.names.slots(pa.array([account])).tolist()
        if slot >= self.people.size:
            more = np.full(max(slot + 1, 2 * self.people.size) - self.people.size, -1, np.int64)
            self.people = np.concatenate([self.people, more])
        if self.people[slot] < 0:
            if not self.free:
                self.free.append(self.count)
                self.count += 1
            self.people[slot] = self.free.pop()
        return int(self.people[slot])

    def _forget(self) -> None:
        """Forget the ids of whom nothing is left: sends to them were refused, and nothing else was.

        It follows from the log alone: it is done where an epoch closes, once ids have doubled.
        """
        retired = np.array(sorted(self.retired), np.int64)
        # Two ids of one person stay one: who left an id is known by it.
        living = np.unique(np.concatenate([
            self.state.people(), self.consents.people(), self.caps.people(),
            np.array(sorted(self.weights), np.int64), self.people[retired],
        ]))  # fmt: skip
        people = np.full(len(self.names), -1, np.int64)
        people[: self.people.size] = self.people[: people.size]
        people[~np.isin(people, living)] = -1
        kept = np.union1d(np.flatnonzero(people >= 0), retired)
        names = Interner(self._names_key)
        names.slots(self.names.texts(kept))
        self.names, self.people = names, people[kept]
        self.retired = set(np.searchsorted(kept, retired).tolist())
        self.free = np.setdiff1d(np.arange(self.count), living)[::-1].tolist()
        self.forget_at = max(self.forget_from, 2 * len(names))

    def known_person(self, account: str) -> int:
        """Return the person whose id this is; -1: nobody that is known. A question adds nobody."""
        (slot,) = self.names.find(pa.array([account])).tolist()
        return int(self.people[slot]) if 0 <= slot < self.people.size else -1

    def knows_id(self, account: str) -> bool:
        """Whether an id was ever somebody's here. A question adds nobody."""
        return int(self.names.find(pa.array([account]))[0]) >= 0

    def weight_of(self, account: str) -> int:
        """Return what reactions of a person weigh, in hundredths."""
        return self.weights.get(self.known_person(account), FULL_WEIGHT)

    def _rename(self, previous: str, account: str) -> None:
        """Let an id be of the person who had another; what came under it before is theirs too."""
        kept, gone = self.person(previous), self.person(account)
        (slot,) = self.names.find(pa.array([previous])).tolist()
        self.retired.add(slot)
        if kept == gone:
            return
        self.state.merge_people(kept, gone)
        self.consents.merge_people(kept, gone)
        self.caps.merge_people(kept, gone)
        self.weights.pop(gone, None)
        self.people[self.people == gone] = kept

    def _take_of_person(self, event: AccountDeleted | AccountRegistered | PersonWeighed) -> None:
        """Take what is said of a person, and concerns no number."""
        if isinstance(event, PersonWeighed):
            self.weights.pop(self.known_person(event.account), None)
            if event.weight != FULL_WEIGHT:
                self.weights[self.person(event.account)] = event.weight
        else:
            self._release(event)

    def _release(self, event: AccountDeleted | AccountRegistered) -> None:
        """Let an id be nobody's: its account is gone, or it was left and is somebody else's now.

        No consent and no window goes on with the id.
        """
        (slot,) = self.names.find(pa.array([event.account])).tolist()
        gone = isinstance(event, AccountDeleted) or slot in self.retired
        if 0 <= slot < self.people.size and gone:
            self.people[slot] = -1
            self.retired.discard(slot)

    # Questions.

    def basis(
        self, number: str, account: str, category: str, before: int | None = None
    ) -> Basis:  # fmt: skip
        """Return on what basis a message of a category goes from a number to a person.

        `before`: the position in the log up to which words are heard.
        """
        portfolio = self.registry.portfolio_of(number)
        if portfolio is None:
            return Basis("none")
        slot, person = portfolio.numbers[number].slot, self.known_person(account)
        if person < 0:
            return Basis("none")
        return self.consents.basis(portfolio.slot, person, slot, category, before)

    def held_outcome(self, send: MessageSent, at: int) -> HeldOutcome:
        """Ask again about a send that was held: what has become of it, as of a time.

        What the person has said meanwhile binds: whoever stopped hears nothing of it.
        """
        portfolio = self.registry.portfolio_of(send.account)
        template = portfolio.templates.get(send.template or "") if portfolio else None
        if portfolio is None or template is None or send.peer is None:
            return "dropped"
        basis = self.basis(send.account, send.peer, template.category)
        if basis.state == "revoked":
            return "opted_out"
        return self.state.held_state(template.slot, at)

    def portfolio(self, name: str) -> Portfolio | None:
        """Return a portfolio of the registry."""
        return self.registry.portfolios.get(name)

    # Restarts.

    def dump(self) -> dict[str, Any]:
        """Return the state as named arrays."""
        arrays = {
            "position": np.array([self.position, self.count, self.forget_at], np.int64),
            "free": np.array(self.free, np.int64),
            "clock": self.clock.copy(),
            "owners": self.people.copy(),
            "weights": np.array(sorted(self.weights.items()), np.int64).reshape(-1, 2),
            "retired": np.array(sorted(self.retired), np.int64),
            "registry": np.frombuffer(self.registry.dump(), np.uint8),
        }
        for name in ("state", "consents", "caps", "volumes", "names", "seen"):
            arrays |= {f"{name}.{key}": a for key, a in getattr(self, name).dump().items()}
        return arrays

    def load(self, arrays: Mapping[str, Any]) -> None:
        """Restore the state from a dump, on any number of workers."""
        self.position, self.count, self.forget_at = (int(n) for n in arrays["position"])
        self.free = arrays["free"].tolist()
        self.clock, self.people = arrays["clock"].copy(), arrays["owners"].copy()
        self.weights = dict(arrays["weights"].tolist())
        self.retired = set(arrays["retired"].tolist())
        for name in ("state", "consents", "caps", "volumes", "names", "seen"):
            own = {
                key[len(name) + 1 :]: a for key, a in arrays.items() if key.startswith(f"{name}.")
            }
            getattr(self, name).load(own)
        self.registry.load(arrays["registry"].tobytes())


_BARRIERS = (PortfolioUpdated, TemplateUpdated, StandingSet, AccountIdChanged)
"""Events that change what acts are decided by: those before them are decided first."""
