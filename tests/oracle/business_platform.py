"""The rules of a business platform, as one would write them down: lists, dicts, no tricks.

Every question is answered from what happened: who was written to and when, by looking at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wavebreak_business.platform import kernel as k
from wavebreak_business.settings import Limits

DAY = 86_400_000
NOBODY = 0xFFFFFFFF


def ms(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[duration[-1]] * 1000


@dataclass
class Evidence:
    """What speaks about a portfolio or a template: by day, from `since` on; and its batch."""

    since: int = 0
    sent: dict[int, int] = field(default_factory=dict)
    reads: dict[int, int] = field(default_factory=dict)
    points: dict[int, int] = field(default_factory=dict)
    pace: str = "free"
    batch_from: int = 0
    batch_size: int = 0
    batch_people: int = 0
    batch_points: int = 0
    held_since: int = 0

    def forget(self, now: int) -> None:
        self.since, self.sent, self.reads, self.points = now, {}, {}, {}

    def start(self, now: int, size: int) -> None:
        self.pace, self.batch_from, self.batch_size = "counting", now, size
        self.batch_people = self.batch_points = 0


@dataclass
class Portfolio(Evidence):
    limit: int = 250
    paced: bool = False
    clock: int = 0
    step: int = 0
    told: int = 0
    begins: int = 0
    until: int = 0
    raise_at: int = 0
    fresh: int = 0
    fresh_points: int = 0
    dropped: int = -1
    people: dict[int, Person] = field(default_factory=dict)


@dataclass
class Template(Evidence):
    portfolio: int = NOBODY
    category: int = 0
    status: int = k.PENDING
    pauses: int = 0
    until: int = 0


@dataclass
class Number:
    portfolio: int
    rate: int
    next: int = 0


@dataclass
class Person:
    open_until: int = 0
    pair: int = 0
    places: list[int] = field(default_factory=list)
    inside: int = 0
    words: dict[int, str] = field(default_factory=dict)
    revoked: int = -1
    by_number: dict[int, Word] = field(default_factory=dict)
    counted: int | None = None
    counted_days: set[int] = field(default_factory=set)
    template: int = -1
    reacted: int = 0
    held: bool = False


@dataclass
class Word:
    words: dict[int, str] = field(default_factory=dict)
    revoked: int = -1
    granted: int = -1


def hear(word: Person | Word, kind: int, category: int, ts: int, covered: list[int]) -> None:
    categories = [category] if category < 3 else [0, 1, 2] if kind == k.GRANT else covered
    for each in categories:
        if kind == k.REVOKE:
            word.words[each] = "no"
        elif word.words.get(each) != "no" or ts > word.revoked:
            word.words[each] = "yes"
    if kind == k.REVOKE:
        word.revoked = max(word.revoked, ts)


class Platform:
    """Takes the acts of `kernel.ACT`, one by one."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.ports: list[Portfolio] = []
        self.numbers: list[Number] = []
        self.templates: list[Template] = []
        names = ("marketing", "utility", "authentication")
        self.required = [names.index(c) for c in limits.consent.required]
        self.covered = [names.index(c) for c in limits.revocation.categories]
        self.paced = [names.index(c) for c in limits.pacing.categories]
        self.span = ms(limits.limit.span)

    # Registry, as State has it.

    def add_portfolio(self, limit: int, *, paced: bool = False) -> int:
        self.ports.append(Portfolio(limit=limit))
        self.set_paced(len(self.ports) - 1, paced)
        return len(self.ports) - 1

    def add_number(self, portfolio: int, rate: int) -> int:
        self.numbers.append(Number(portfolio, rate))
        return len(self.numbers) - 1

    def add_template(self, portfolio: int, category: int) -> int:
        self.templates.append(Template(portfolio=portfolio, category=category))
        return len(self.templates) - 1

    def set_limit(self, portfolio: int, limit: int) -> None:
        self.ports[portfolio].limit, self.ports[portfolio].raise_at = limit, 0

    def set_paced(self, portfolio: int, paced: bool) -> None:
        p = self.ports[portfolio]
        p.paced = paced
        if not paced:
            p.pace = "free"
        elif p.pace == "free":
            p.start(p.clock, self.limits.pacing.portfolio_first)

    def move_number(self, number: int, portfolio: int) -> None:
        self.numbers[number].portfolio = portfolio

    def set_template(self, template: int, status: int, category: int, at: int) -> None:
        t = self.templates[template]
        now = max(at, self.ports[t.portfolio].clock)
        changed, t.category = t.status != status, category
        if changed:
            t.pace = "free"
        if changed and status == k.APPROVED and category in self.paced:
            t.start(now, self.limits.pacing.first)
        t.status, t.until = status, k.ENDLESS if status in (k.PACED, k.DISABLED) else 0

    def merge_people(self, kept: int, gone: int) -> None:
        if kept == gone:
            return
        for p in self.ports:
            other = p.people.pop(gone, None)
            if other is None:
                continue
            one = p.people.setdefault(kept, Person())
            one.open_until = max(one.open_until, other.open_until)
            one.pair, one.revoked = max(one.pair, other.pair), max(one.revoked, other.revoked)
            one.reacted, one.inside = max(one.reacted, other.reacted), max(one.inside, other.inside)
            for category, word in other.words.items():
                if one.words.get(category) != "no":
                    one.words[category] = word
            for number, said in other.by_number.items():
                mine = one.by_number.setdefault(number, Word())
                mine.revoked = max(mine.revoked, said.revoked)
                mine.granted = max(mine.granted, said.granted)
                for category, word in said.words.items():
                    if mine.words.get(category) != "no":
                        mine.words[category] = word
            if (other.counted or 0) // 1000 > (one.counted or 0) // 1000:
                one.counted, one.template = other.counted, other.template
                one.held = other.held
            live = sorted(self.live(p, one) + self.live(p, other))
            one.places = live if len(live) <= k.REMEMBERED else live[: k.REMEMBERED - 1] + live[-1:]

    # Questions.

    def live(self, p: Portfolio, person: Person) -> list[int]:
        return [at for at in person.places if at > p.clock - self.span]

    def used(self, p: Portfolio) -> int:
        return sum(bool(self.live(p, person)) for person in p.people.values())

    def opens(self, p: Portfolio) -> int:
        last = [max(self.live(p, d)) for d in p.people.values() if self.live(p, d)]
        return min(last) + self.span if last else -1

    def rating(self, q: Evidence, today: int) -> int:
        rules = self.limits.quality
        days = [(today - back, weight) for back, weight in enumerate(rules.day_weights)]
        if sum(q.sent.get(day, 0) for day, _ in days) < rules.least:
            return k.RATING_UNKNOWN
        sent = sum(weight * q.sent.get(day, 0) for day, weight in days)
        points = sum(weight * q.points.get(day, 0) for day, weight in days)
        past = sum(weight * q.sent.get(day, 0) for day, weight in days[1:])
        reads = sum(weight * q.reads.get(day, 0) for day, weight in days[1:])
        if points * 100 >= round(rules.low * 1e6) * sent:
            return k.LOW
        few = reads > 0 and reads * 1_000_000 < round(rules.few_reads * 1e6) * past
        bad = points * 100 >= round(rules.medium * 1e6) * sent
        return k.MEDIUM if bad or few else k.HIGH

    def bars(self, p: Portfolio, now: int) -> str:
        if p.step == 0 or now >= p.until:
            return "nothing"
        return "all" if now < p.begins else self.limits.ladder.steps[p.step - 1].bars

    def is_bad(self, q: Evidence) -> bool:
        bad = round(self.limits.pacing.bad_share * 1e6)
        return q.batch_points > 0 and q.batch_points * 100 >= bad * q.batch_people

    # What happens by itself.

    def step_up(self, p: Portfolio, now: int) -> None:
        ladder = self.limits.ladder
        if p.step and now >= p.until and now - p.told >= ms(ladder.forget):
            p.step = 0
        p.step = min(p.step + 1, len(ladder.steps))
        step = ladder.steps[p.step - 1]
        p.told, p.begins = now, now + (ms(step.notice) if step.notice else 0)
        p.until = p.begins + ms(step.lasts) if step.lasts else k.ENDLESS
        p.raise_at = 0
        p.forget(now)
        if p.paced:
            p.start(now, self.limits.pacing.portfolio_first)

    def go_on(self, p: Portfolio, t: Template, now: int) -> int:
        pacing, changed = self.limits.pacing, 0
        if t.status == k.PAUSED and now >= t.until:
            t.status = k.APPROVED
            if t.category in self.paced:
                t.start(now, pacing.first)
        if t.pace != "free" and t.batch_from <= p.dropped:
            t.status, t.until, t.pace = k.PACED, k.ENDLESS, "free"
            changed |= k.PAUSED_BY_PACING
        if t.pace == "holding" and now >= t.held_since + ms(pacing.wait):
            t.pace, p.fresh, p.fresh_points = "free", 0, 0
            if self.is_bad(t):
                t.status, t.until, changed = k.PACED, k.ENDLESS, changed | k.PAUSED_BY_PACING
        if p.pace == "holding" and now >= p.held_since + ms(pacing.wait):
            if self.is_bad(p):
                self.step_up(p, now)
                changed |= k.STEPPED
            elif p.batch_size * pacing.portfolio_growth >= pacing.portfolio_until:
                p.pace, p.paced = "free", False
            else:
                p.start(now, p.batch_size * pacing.portfolio_growth)
        return changed

    def raise_limit(self, p: Portfolio, now: int) -> int:
        rules, today = self.limits.limit, now // DAY
        recent = [
            d for d in p.people.values()
            if d.counted is not None and today - d.counted // DAY < rules.raise_days
        ]  # fmt: skip
        enough = len(recent) * 1_000_000 >= round(rules.raise_share * 1e6) * p.limit
        if p.limit < 0 or not enough or self.rating(p, today) != k.HIGH:
            p.raise_at = 0
            return 0
        p.raise_at = p.raise_at or now + ms(rules.raise_wait)
        if now < p.raise_at:
            return 0
        p.limit = next((step for step in rules.steps if step > p.limit), -1)
        p.raise_at = 0
        return k.RAISED

    # Acts.

    def take(self, act: Any) -> tuple[int, int, int]:
        """Return outcome, when it opens, and what changed."""
        kind, number = int(act["kind"]), int(act["number"])
        portfolio = int(act["portfolio"])
        if number < len(self.numbers):
            portfolio = self.numbers[number].portfolio
        elif kind == k.SEND:
            portfolio = NOBODY
        if portfolio >= len(self.ports):
            return (k.NO_PORTFOLIO if kind == k.SEND else k.NOT_A_SEND), -1, 0
        p = self.ports[portfolio]
        now = p.clock = max(int(act["ts"]), p.clock)
        who = int(act["person"])
        if kind == k.SEND:
            return self.send(act, portfolio, p, now)
        if kind <= k.REVOKE:
            self.hear(act, p, p.people.setdefault(who, Person()), now)
        elif who in p.people and p.people[who].template >= 0:
            if kind != k.UNDELIVERABLE:
                return k.NOT_A_SEND, -1, self.react(act, p, p.people[who], now)
            self.take_back(p, p.people[who], now)
        return k.NOT_A_SEND, -1, 0

    def hear(self, act: Any, p: Portfolio, person: Person, now: int) -> None:
        kind, number = int(act["kind"]), int(act["number"])
        if kind == k.INBOUND:
            by_entry = int(act["flags"]) & k.BY_ENTRY
            window = self.limits.entry_window if by_entry else self.limits.window
            person.open_until = max(person.open_until, now + ms(window))
            return
        word: Person | Word = person
        if number != NOBODY:
            word = person.by_number.setdefault(number, Word())
            if kind == k.GRANT:
                word.granted = max(word.granted, int(act["ts"]))
        hear(word, kind, int(act["category"]), int(act["ts"]), self.covered)

    def consent(self, person: Person | None, number: int, category: int) -> str | None:
        if person is None:
            return None
        own = person.by_number.get(number)
        said, here = person.words.get(category), own.words.get(category) if own else None
        if here == "no":
            return "no"
        if own and here == "yes" and (said != "no" or own.granted > person.revoked):
            return "yes"
        return said

    def stopped_by_sender(
        self, act: Any, p: Portfolio, t: Template | None, now: int
    ) -> tuple[int, int] | None:
        if self.bars(p, now) == "all":
            endless = p.until >= k.ENDLESS or now < p.begins
            return (k.LOCKED, -1) if endless else (k.BLOCKED, p.until)
        number = self.numbers[int(act["number"])]
        due = number.next - (number.rate - 1) * (10**9 // number.rate)
        if due > now * 10**6:
            return k.THROUGHPUT, -(-due // 10**6)
        if not int(act["flags"]) & k.WITH_TEMPLATE:
            return None
        told = {k.DISABLED: (k.TEMPLATE_DISABLED, -1), k.PACED: (k.TEMPLATE_PAUSED, -1)}
        if t is None or t.status == k.PENDING:
            return k.TEMPLATE_MISSING, -1
        return (k.TEMPLATE_PAUSED, t.until) if t.status == k.PAUSED else told.get(t.status)

    def stopped_by_person(
        self, act: Any, p: Portfolio, t: Template | None, person: Person | None, now: int
    ) -> tuple[int, int] | None:
        state = self.consent(person, int(act["number"]), t.category) if t else None
        if state == "no":
            return k.OPTED_OUT, -1
        if person is not None and now < person.open_until:
            return None
        if t is None:
            return k.WINDOW_CLOSED, -1
        if self.bars(p, now) == "outside_windows":
            return k.RESTRICTED, p.until
        if t.category in self.required and state != "yes":
            return k.NO_CONSENT, -1
        return (k.PERSON_CAP, -1) if int(act["flags"]) & k.AT_CAP else None

    def send(self, act: Any, portfolio: int, p: Portfolio, now: int) -> tuple[int, int, int]:
        named, t = int(act["template"]), None
        if named < len(self.templates) and self.templates[named].portfolio == portfolio:
            t = self.templates[named]
        changed = self.go_on(p, t, now) if t else 0
        if stopped := self.stopped_by_sender(act, p, t, now):
            return *stopped, changed
        if not int(act["flags"]) & k.WITH_TEMPLATE:
            t = None
        person = p.people.get(int(act["person"]))
        if stopped := self.stopped_by_person(act, p, t, person, now):
            return *stopped, changed
        interval = ms(self.limits.pair.interval)
        free = person.pair - (self.limits.pair.burst - 1) * interval if person else 0
        if free > now:
            return k.PAIR_RATE, free, changed
        inside = person is not None and now < person.open_until
        if not inside:
            changed |= self.raise_limit(p, now)
            known = person is not None and bool(self.live(p, person))
            if 0 <= p.limit <= self.used(p) and not known:
                return k.LIMIT, self.opens(p), changed
        person = p.people.setdefault(int(act["person"]), Person())
        number = self.numbers[int(act["number"])]
        person.pair = max(person.pair, now) + interval
        number.next = max(number.next, now * 10**6) + 10**9 // number.rate
        if inside:
            person.inside = min(person.inside + 1, 255)
            return k.IN_WINDOW, now, changed
        assert t is not None
        if t.pace == "counting" and p.fresh >= self.limits.pacing.first:
            t.pace, t.held_since = "holding", now
        held = "holding" in (t.pace, p.pace)
        person.places = [*self.live(p, person)[: k.REMEMBERED - 1], now]
        person.inside = 0
        self.count(p, t, person, named, now, held)
        return k.HELD if held else k.SENT, now, changed

    def count(
        self, p: Portfolio, t: Template, person: Person, named: int, now: int, held: bool
    ) -> None:
        today, last = now // DAY, person.counted
        same_day = last is not None and last // DAY == today
        for q, again in ((p, same_day), (t, same_day and person.template == named)):
            fresh = not again or last // 1000 < q.since // 1000  # type: ignore[operator]
            if fresh:
                person.reacted = 0
                q.sent[today] = q.sent.get(today, 0) + 1
            anew = fresh or person.held
            of_batch = anew or last // 1000 < q.batch_from // 1000  # type: ignore[operator]
            if held:
                continue
            if q.pace == "counting" and of_batch:
                q.batch_people += 1
                p.fresh += q is t
                if q.batch_people >= q.batch_size:
                    q.pace, q.held_since = "holding", now
        person.counted, person.template, person.held = now, named, held

    def take_back(self, p: Portfolio, person: Person, now: int) -> None:
        if self.limits.limit.count == "sent":
            return
        live = self.live(p, person)
        if person.inside or not live:
            person.inside = max(person.inside - 1, 0)
            return
        person.places = live[:-1]
        if person.places or person.counted is None or now // DAY - person.counted // DAY >= k.DAYS:
            return
        day, second = person.counted // DAY, person.counted // 1000
        for q in (p, self.templates[person.template]):
            if second >= q.since // 1000:
                q.sent[day] = q.sent.get(day, 0) - 1
            if not person.held and q.pace == "counting" and second >= q.batch_from // 1000:
                q.batch_people -= 1
        person.counted = None

    def react(self, act: Any, p: Portfolio, person: Person, now: int) -> int:
        kind, today = int(act["kind"]), now // DAY
        if person.counted is None or today - person.counted // DAY >= 7:
            return 0
        if kind <= person.reacted:
            return 0
        second, day = person.counted // 1000, person.counted // DAY
        t = self.templates[person.template]
        rules = self.limits.quality
        points = {k.MUTE: rules.mute, k.BLOCK: rules.block, k.REPORT: rules.report}
        before, person.reacted = person.reacted, kind
        if kind == k.READ:
            for q in (p, t):
                if second >= q.since // 1000:
                    q.reads[day] = q.reads.get(day, 0) + 1
            return 0
        more = round(points[kind] * 100) - round(points.get(before, 0) * 100)
        more *= min(int(act["weight"]), 100)
        if more <= 0:
            return 0
        changed = self.go_on(p, t, now)
        self.weigh(p, t, person, more, now)
        return changed | self.judge(p, t, now)

    def weigh(self, p: Portfolio, t: Template, person: Person, more: int, now: int) -> None:
        assert person.counted is not None
        second, today = person.counted // 1000, now // DAY
        if not person.held and t.pace != "free" and second >= t.batch_from // 1000:
            p.fresh_points += more
            bad = p.fresh_points * 100 >= round(self.limits.pacing.bad_share * 1e6) * p.fresh
            if p.fresh >= self.limits.pacing.least and bad:
                p.dropped, p.fresh, p.fresh_points = now, 0, 0
        for q in (p, t):
            if second >= q.since // 1000:
                q.points[today] = q.points.get(today, 0) + more
            if not person.held and q.pace != "free" and second >= q.batch_from // 1000:
                q.batch_points += more

    def judge(self, p: Portfolio, t: Template, now: int) -> int:
        changed, least, today = 0, self.limits.pacing.least, now // DAY
        bad = t.batch_people >= least and self.is_bad(t)
        if t.pace != "free" and (bad or t.batch_from <= p.dropped):
            t.status, t.until, t.pace = k.PACED, k.ENDLESS, "free"
            changed |= k.PAUSED_BY_PACING
        if t.status == k.APPROVED and self.rating(t, today) == k.LOW:
            t.forget(now)
            t.pace = "free"
            ladder = self.limits.pauses.ladder
            if t.pauses < len(ladder):
                t.status, t.until = k.PAUSED, now + ms(ladder[t.pauses])
                t.pauses += 1
            else:
                t.status, t.until = k.DISABLED, k.ENDLESS
            changed |= k.PAUSED_BY_QUALITY
        paced = p.pace != "free" and p.batch_people >= least and self.is_bad(p)
        if paced or self.rating(p, today) == k.LOW:
            self.step_up(p, now)
            changed |= k.STEPPED
        return changed
