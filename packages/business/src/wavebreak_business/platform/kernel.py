"""The rules of a business platform, compiled: windows, consent, limits, quality, standing.

An act is an event of the log as numbers: a send, a message of a person, a word on consent, a
reaction. It concerns one portfolio, and a portfolio lies in one shard, so that shards share nothing
and the answers are the same for any number of workers. State is records, as everywhere in the
engine: a portfolio, a number, a template, and a node for each person that a portfolio knows. Every
time is the portfolio's own: it never goes back, and a late act is taken at it.

**Exact**: a window is open until the millisecond at which it closes. A place in the moving limit
is a record of its own, in the order of acceptance, and leaves after exactly the span; of one person
at most `REMEMBERED` sends are remembered, so that memory is bounded by the limit. What is not
accepted leaves nothing behind.

Everything compiled is in this one file: a change of it meets no machine code of before.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from wavebreak.compiled.numba_runtime import compiled, int64, prefetch
from wavebreak.features.facts import begin_groups
from wavebreak.features.pair_table import start_index

NONE: Final = 0xFFFFFFFF
SHARDS: Final = 64
NEVER: Final = -1
"""The time of what does not open by itself."""
ENDLESS: Final = 1 << 62
DAY_MS: Final = 86_400_000
DAYS: Final = 8
"""Days that a ring holds: those whose reactions count, and one that is being overwritten."""
COUNTED_DAYS: Final = 7
REMEMBERED: Final = 4
"""Sends to one person that hold a place; a further one takes the place of the last."""
MOST_STEPS: Final = 16
MILLION: Final = 1_000_000

SEND, INBOUND, GRANT, REVOKE, UNDELIVERABLE, READ, MUTE, BLOCK, REPORT = range(9)
"""Kinds of act; reactions come last, the heaviest last of all."""
BY_ENTRY: Final = 1
"""Flag of an inbound message: the person came by a free entry point."""
WITH_TEMPLATE: Final = 2
"""Flag of a send: it names a template, known or not."""
AT_CAP: Final = 4
"""Flag of a send: businesses together have written to the person as often as `caps` allows."""

MARKETING, UTILITY, AUTHENTICATION, ANY = 0, 1, 2, 255
"""Categories; `ANY` of a word on consent that names none."""
UNKNOWN, GRANTED, REVOKED = range(3)
HAS_SCOPED: Final = 64
"""Bit of a node's consent: some number of the portfolio has a word of its own."""
WAS_HELD: Final = 128
"""Bit beside it: the last send counted was held, and so belongs to no batch."""

(
    IN_WINDOW, SENT, HELD, NO_PORTFOLIO, LOCKED, BLOCKED, RESTRICTED, THROUGHPUT, TEMPLATE_MISSING,
    TEMPLATE_PAUSED, TEMPLATE_DISABLED, OPTED_OUT, WINDOW_CLOSED, NO_CONSENT, PAIR_RATE, LIMIT,
    PERSON_CAP,
) = range(17)  # fmt: skip
"""What becomes of a send; from `NO_PORTFOLIO` on it is refused."""
NOT_A_SEND: Final = 255

STEPPED, PAUSED_BY_QUALITY, PAUSED_BY_PACING, RAISED = 1, 2, 4, 8
"""Bits of what an act changes beside its own answer."""

PENDING, APPROVED, PAUSED, PACED, DISABLED = range(5)
"""Status of a template; `PACED`: stopped by pacing, until a person releases it."""
FREE, COUNTING, HOLDING = range(3)
"""Pacing of a template or a portfolio."""
RATING_UNKNOWN, HIGH, MEDIUM, LOW = range(4)
BARS_NOTHING, BARS_OUTSIDE, BARS_ALL = range(3)

ACT = np.dtype(
    [("ts", "i8"), ("kind", "u1"), ("category", "u1"), ("flags", "u1"), ("weight", "u1"),
     ("number", "u4"), ("person", "u4"), ("template", "u4"), ("portfolio", "u4")]
)  # fmt: skip
"""An act. `weight`: the credibility of who reacts, in hundredths."""
_QUALITY = [("since", "i8"), ("sent", "i4", DAYS), ("reads", "i4", DAYS), ("points", "i8", DAYS),
            ("day", "i4"), ("pace", "i4"), ("pace_from", "i8"), ("pace_at", "i8"),
            ("pace_people", "i4"), ("pace_size", "i4"), ("pace_points", "i8")]  # fmt: skip
"""Of a portfolio and of a template: people written to, readers, reactions by day, from `since` on;
and pacing: people of the batch from `pace_from` on, held since `pace_at`."""
PORTFOLIO = np.dtype(
    [("clock", "i8"), ("head", "i4"), ("tail", "i4"), ("count", "i4"), ("limit", "i4"),
     ("raise_at", "i8"), ("step", "i4"), ("paced", "i4"), ("told", "i8"), ("begins", "i8"),
     ("until", "i8"), ("people", "i4", DAYS), ("fresh", "i4"), ("spare", "i4"),
     ("fresh_points", "i8"), ("dropped", "i8"), *_QUALITY]
)  # fmt: skip
"""A portfolio. `limit` -1: none. `people`: by the day on which they were last written to. `fresh`:
people of the batches of new templates, together, since the last of them was decided, with what
they think; `dropped`: when that was bad, for all templates in a batch then (-1: never)."""
TEMPLATE = np.dtype(
    [("portfolio", "u4"), ("category", "u1"), ("status", "u1"), ("pauses", "u1"), ("spare", "u1"),
     ("until", "i8"), *_QUALITY]
)  # fmt: skip
NUMBER = np.dtype([("portfolio", "u4"), ("rate", "i4"), ("next", "i8")])
"""A number; `next`: when its next send is due in nanoseconds, were all sent evenly."""
NODE = np.dtype(
    [("key", "u8"), ("open_until", "i8"), ("pair", "i8"), ("revoked", "i8"), ("place", "i4"),
     ("template", "i4"), ("counted_s", "u4"), ("places", "u1"), ("consent", "u1"),
     ("reacted", "u1"), ("inside", "u1")]
)  # fmt: skip
"""What a portfolio knows of a person. `consent`: two bits a category; `counted_s`: when last
written to outside a window (0: never), with `template`; `reacted`: the heaviest reaction to that;
`inside`: sends within a window since the last place was taken."""
PLACE = np.dtype([("at", "i8"), ("node", "i4"), ("older", "i4"), ("prev", "i4"), ("next", "i4")])
"""A place of the moving limit. `older`: the same person's before it."""
SCOPED = np.dtype(
    [("key", "u8"), ("revoked", "i8"), ("granted", "i8"), ("consent", "u1"), ("spare", "u1", 7)]
)
"""A person's word on one number."""
SHARD = np.dtype([("nodes", "i8"), ("places", "i8"), ("free", "i8"), ("scoped", "i8")])
"""How many records a shard uses, and the first free place (-1: none)."""
ANSWER = np.dtype(
    [("opens", "i8"), ("at", "i8"), ("value", "i4"), ("template", "u4"), ("outcome", "u1"),
     ("changes", "u1"), ("spare", "u1", 6)]
)  # fmt: skip
"""What became of an act, taken `at` the portfolio's time. `value`: the ladder's step or the limit
that it changed to; `template`: which one it concerned."""
LAWS = np.dtype(
    [("window", "i8"), ("entry_window", "i8"), ("span", "i8"), ("freed", "i8"),
     ("pair_interval", "i8"), ("pair_burst", "i8"), ("required", "i8"), ("revoked", "i8"),
     ("paced", "i8"), ("pace_first", "i8"), ("pace_wait", "i8"), ("pace_bad", "i8"),
     ("pace_least", "i8"), ("pace_growth", "i8"), ("pace_until", "i8"),
     ("portfolio_first", "i8"), ("weights", "i8", COUNTED_DAYS), ("points", "i8", REPORT + 1),
     ("low", "i8"), ("medium", "i8"), ("least", "i8"), ("few_reads", "i8"), ("pauses", "i8"),
     ("pause", "i8", MOST_STEPS), ("ladder", "i8"), ("bars", "i8", MOST_STEPS),
     ("lasts", "i8", MOST_STEPS), ("notice", "i8", MOST_STEPS), ("forget", "i8"), ("steps", "i8"),
     ("step", "i8", MOST_STEPS), ("raise_share", "i8"), ("raise_days", "i8"), ("raise_wait", "i8")]
)  # fmt: skip
"""The limits as the compiled rules read them: times in ms, shares in millionths, categories as
bits, points in ten-thousandths of a block at full credibility."""


@compiled(inline="always")
def _home(first: Any, second: Any, capacity: int, salts: Any) -> int:
    return start_index(capacity, (salts[0], salts[1], salts[2]), first, second)


@compiled()
def find(table: Any, records: Any, first: int, second: int, salts: Any) -> tuple[int, int]:
    """Return the index of the record of a pair (-1: none), and where the search ended."""
    key = (np.uint64(first) << np.uint64(32)) | np.uint64(second)
    at = _home(first, second, table.size, salts)
    while table[at] != 0:
        if records[table[at] - 1].key == key:
            return int64(table[at]) - 1, at
        at = at + 1 if at + 1 < table.size else 0
    return int64(-1), at


@compiled()
def fill_table(table: Any, records: Any, used: int, salts: Any) -> None:
    """Enter the first records into an empty table."""
    for i in range(used):
        key = records[i].key
        at = _home(key >> np.uint64(32), key & np.uint64(NONE), table.size, salts)
        while table[at] != 0:
            at = at + 1 if at + 1 < table.size else 0
        table[at] = i + 1


@compiled()
def _node(table: Any, nodes: Any, sh: Any, portfolio: int, person: int, salts: Any) -> int:
    """Return the index of a node, made where there is none."""
    i, at = find(table, nodes, portfolio, person, salts)
    if i >= 0:
        return i
    i = int64(sh.nodes)
    sh.nodes += 1
    node = nodes[i]
    node.key = (np.uint64(portfolio) << np.uint64(32)) | np.uint64(person)
    node.open_until, node.pair, node.revoked = 0, 0, NEVER
    node.place, node.template, node.counted_s = -1, -1, 0
    node.places, node.consent, node.reacted, node.inside = 0, 0, 0, 0
    table[at] = i + 1
    return i


@compiled()
def _word(table: Any, scoped: Any, sh: Any, number: int, person: int, salts: Any) -> int:
    """Return the index of a word on a number, made where there is none."""
    i, at = find(table, scoped, number, person, salts)
    if i >= 0:
        return i
    i = int64(sh.scoped)
    sh.scoped += 1
    word = scoped[i]
    word.key = (np.uint64(number) << np.uint64(32)) | np.uint64(person)
    word.revoked, word.granted, word.consent = NEVER, NEVER, 0
    table[at] = i + 1
    return i


# Places: a list in the order of acceptance, whose head leaves first.


@compiled()
def _unlink(p: Any, places: Any, sh: Any, i: int) -> None:
    place = places[i]
    if place.prev >= 0:
        places[place.prev].next = place.next
    else:
        p.head = place.next
    if place.next >= 0:
        places[place.next].prev = place.prev
    else:
        p.tail = place.prev
    place.next = int64(sh.free)
    sh.free = i


@compiled()
def _push(p: Any, places: Any, sh: Any, node: int, older: int, at: int) -> int:
    i = int64(sh.free)
    if i >= 0:
        sh.free = int64(places[i].next)
    else:
        i = int64(sh.places)
        sh.places += 1
    place = places[i]
    place.at, place.node, place.older, place.prev, place.next = at, node, older, p.tail, -1
    if p.tail >= 0:
        places[p.tail].next = i
    else:
        p.head = i
    p.tail = i
    return i


@compiled()
def _expire(p: Any, nodes: Any, places: Any, sh: Any, oldest: int) -> None:
    """Free the places taken at or before `oldest`."""
    while p.head >= 0 and places[p.head].at <= oldest:
        i = int64(p.head)
        node = nodes[places[i].node]
        node.places -= 1
        if node.places == 0:
            node.place = -1
            p.count -= 1
        _unlink(p, places, sh, i)


@compiled()
def people_counted(p: Any, nodes: Any, places: Any, oldest: int) -> int:
    """Return how many people have a place taken after `oldest`; changes nothing."""
    count, i = int64(p.count), int64(p.head)
    while i >= 0 and places[i].at <= oldest:
        count -= nodes[places[i].node].place == i
        i = int64(places[i].next)
    return count


@compiled()
def _take_place(p: Any, node: Any, index: int, places: Any, sh: Any, now: int) -> None:
    if node.places == REMEMBERED:
        last = int64(node.place)
        older = int64(places[last].older)
        _unlink(p, places, sh, last)
        node.place = _push(p, places, sh, index, older, now)
        return
    p.count += node.places == 0
    node.place = _push(p, places, sh, index, int64(node.place), now)
    node.places += 1


@compiled()
def _opens_at(p: Any, nodes: Any, places: Any, span: int) -> int:
    """Return when the first person leaves: one whose last place is at the head of all others."""
    i = int64(p.head)
    while i >= 0:
        if nodes[places[i].node].place == i:
            return int64(places[i].at) + span
        i = int64(places[i].next)
    return int64(NEVER)


# Quality: rings of days, of a portfolio and of a template alike.


@compiled()
def _turn(q: Any, today: int) -> None:
    """Empty the days that begin, up to today."""
    if today > q.day:
        for day in range(max(int64(q.day) + 1, today - DAYS + 1), today + 1):
            q.sent[day & 7] = 0
            q.reads[day & 7] = 0
            q.points[day & 7] = 0
        q.day = today


@compiled()
def _turn_people(p: Any, today: int) -> None:
    if today > p.day:
        for day in range(max(int64(p.day) + 1, today - DAYS + 1), today + 1):
            p.people[day & 7] = 0


@compiled()
def rating(q: Any, laws: Any) -> int:
    """Return the rating of a portfolio or template as of its last day."""
    sent, points, past, reads, people = int64(0), int64(0), int64(0), int64(0), int64(0)
    for back in range(COUNTED_DAYS):
        at = (q.day - back) & 7
        weight = int64(laws.weights[back])
        people += q.sent[at]
        sent += weight * q.sent[at]
        points += weight * q.points[at]
        if back > 0:
            past += weight * q.sent[at]
            reads += weight * q.reads[at]
    if people < laws.least:
        return RATING_UNKNOWN
    # 10,000 points are a block: points / 10,000 / sent against millionths.
    worst = HIGH
    if points * 100 >= laws.medium * sent:
        worst = MEDIUM
    if points * 100 >= laws.low * sent:
        worst = LOW
    few = reads > 0 and reads * MILLION < laws.few_reads * past
    return MEDIUM if few and worst == HIGH else worst


@compiled(inline="always")
def _forget_evidence(q: Any, now: int) -> None:
    """A step and a pause use their evidence up: the next one needs reactions to later sends."""
    for day in range(DAYS):
        q.sent[day] = 0
        q.reads[day] = 0
        q.points[day] = 0
    q.since = now


@compiled(inline="always")
def start_pacing(q: Any, now: int, size: int) -> None:
    """Begin a batch."""
    q.pace, q.pace_from, q.pace_at, q.pace_people = COUNTING, now, 0, 0
    q.pace_points, q.pace_size = 0, size


@compiled(inline="always")
def is_bad(q: Any, laws: Any) -> bool:
    """Return whether the people of a batch want none of it."""
    return bool(q.pace_points > 0 and q.pace_points * 100 >= laws.pace_bad * q.pace_people)


@compiled()
def step_up(p: Any, laws: Any, now: int) -> None:
    """Take the next step of the ladder."""
    if p.step > 0 and now >= p.until and now - p.told >= laws.forget:
        p.step = 0
    p.step = min(p.step + 1, laws.ladder)
    p.told = now
    p.begins = now + laws.notice[p.step - 1]
    lasts = laws.lasts[p.step - 1]
    p.until = p.begins + lasts if lasts > 0 else ENDLESS
    p.raise_at = 0
    _forget_evidence(p, now)
    if p.paced:
        start_pacing(p, now, laws.portfolio_first)


@compiled()
def bars_of(p: Any, laws: Any, now: int) -> int:
    """Return what the step of a portfolio bars now; all of it while a notice runs."""
    if p.step == 0 or now >= p.until:
        return BARS_NOTHING
    return BARS_ALL if now < p.begins else int64(laws.bars[p.step - 1])


@compiled()
def _pause(t: Any, laws: Any, now: int) -> None:
    _forget_evidence(t, now)
    t.pace = FREE
    if t.pauses < laws.pauses:
        t.status, t.until = PAUSED, now + laws.pause[t.pauses]
        t.pauses += 1
    else:
        t.status, t.until = DISABLED, ENDLESS


@compiled()
def _go_on(p: Any, t: Any, laws: Any, now: int) -> int:
    """End what ends by itself: a pause of a template, and the wait of a batch; say what changed."""
    changed = 0
    if t.status == PAUSED and now >= t.until:
        t.status = APPROVED
        if (laws.paced >> t.category) & 1:
            start_pacing(t, now, laws.pace_first)
    if t.pace != FREE and t.pace_from <= p.dropped:
        t.status, t.until, t.pace = PACED, ENDLESS, FREE
        changed |= PAUSED_BY_PACING
    if t.pace == HOLDING and now >= t.pace_at + laws.pace_wait:
        bad = is_bad(t, laws)
        t.pace, p.fresh, p.fresh_points = FREE, 0, 0
        if bad:
            t.status, t.until = PACED, ENDLESS
            changed |= PAUSED_BY_PACING
    if p.pace == HOLDING and now >= p.pace_at + laws.pace_wait:
        if is_bad(p, laws):
            step_up(p, laws, now)
            changed |= STEPPED
        elif p.pace_size * laws.pace_growth >= laws.pace_until:
            p.pace, p.paced = FREE, 0
        else:
            start_pacing(p, now, p.pace_size * laws.pace_growth)
    return changed


@compiled()
def _raise_limit(p: Any, laws: Any, now: int) -> int:
    """Raise the limit a step where it was used and quality held for the wait."""
    used = int64(0)
    for back in range(laws.raise_days):
        used += p.people[(p.day - back) & 7]
    if p.limit < 0 or used * MILLION < laws.raise_share * p.limit or rating(p, laws) != HIGH:
        p.raise_at = 0
        return 0
    if p.raise_at == 0:
        p.raise_at = now + laws.raise_wait
    if now < p.raise_at:
        return 0
    above = int64(-1)
    for k in range(laws.steps - 1, -1, -1):
        if laws.step[k] > p.limit:
            above = laws.step[k]
    p.limit, p.raise_at = above, 0
    return RAISED


# Consent.


@compiled(inline="always")
def _state(consent: int, category: int) -> int:
    return (int64(consent) >> (2 * category)) & 3


@compiled(inline="always")
def _with_state(consent: int, category: int, state: int) -> int:
    return int64(consent) & ~(3 << (2 * category)) | (state << (2 * category))


@compiled()
def _granted(consent: int, revoked: int, category: int, ts: int) -> int:
    """Return consent after a grant of `ts`; one from before a revocation does not lift it."""
    for each in range(3):
        named = category in (ANY, each)
        if named and (_state(consent, each) != REVOKED or ts > revoked):
            consent = _with_state(consent, each, GRANTED)
    return consent


@compiled()
def _revoked(consent: int, category: int, laws: Any) -> int:
    for each in range(3):
        if category == each or (category == ANY and (laws.revoked >> each) & 1):
            consent = _with_state(consent, each, REVOKED)
    return consent


@compiled()
def _consent(
    index: int, nodes: Any, act: Any, category: int, scoped: Any, words: Any, salts: Any
) -> int:  # fmt: skip
    """Return the word of a person (index -1: not known) on a category, as a number may use it."""
    if index < 0:
        return int64(UNKNOWN)
    node = nodes[index]
    state = _state(node.consent, category)
    if node.consent & HAS_SCOPED:
        i, _ = find(words, scoped, int64(act.number), int64(act.person), salts)
        if i >= 0:
            own = _state(scoped[i].consent, category)
            if own == REVOKED:
                return REVOKED
            # The number's own word comes after the portfolio's revocation.
            if own == GRANTED and (state != REVOKED or scoped[i].granted > node.revoked):
                return GRANTED
    return state


@compiled()
def _hear(
    act: Any, portfolio: int, nodes: Any, table: Any, scoped: Any, words: Any, sh: Any, laws: Any,
    salts: Any,
) -> None:  # fmt: skip
    """Note a grant or a revocation."""
    node = nodes[_node(table, nodes, sh, portfolio, int64(act.person), salts)]
    category, ts = int64(act.category), int64(act.ts)
    if act.number == NONE:
        if act.kind == GRANT:
            node.consent = _granted(node.consent, node.revoked, category, ts)
        else:
            node.consent = _revoked(node.consent, category, laws)
            node.revoked = max(node.revoked, ts)
        return
    node.consent |= HAS_SCOPED
    word = scoped[_word(words, scoped, sh, int64(act.number), int64(act.person), salts)]
    if act.kind == GRANT:
        word.consent = _granted(word.consent, word.revoked, category, ts)
        word.granted = max(word.granted, ts)
    else:
        word.consent = _revoked(word.consent, category, laws)
        word.revoked = max(word.revoked, ts)


# Sends.


@compiled()
def _spacing(next_at: int, now: int, interval: int, burst: int) -> int:
    """Return when a send is allowed that comes `interval` after others, `burst` ahead at most."""
    return max(now, next_at - (burst - 1) * interval)


@compiled(inline="always")
def _count_in_batch(q: Any, now: int) -> None:
    if q.pace == COUNTING:
        q.pace_people += 1
        if q.pace_people >= q.pace_size:
            q.pace, q.pace_at = HOLDING, now


@compiled()
def _count(p: Any, t: Any, node: Any, template: int, now: int, held: bool) -> None:
    """Count a person as written to outside a window, once a day, and once a template and day.

    Who is held is of no batch: nobody has seen the message yet.
    """
    second, today = now // 1000, now // DAY_MS
    counted = int64(node.counted_s)
    other_day = counted == 0 or counted // 86_400 != today
    fresh = other_day or counted < p.since // 1000
    fresh_of_template = other_day or node.template != template or counted < t.since // 1000
    if other_day:
        if counted > 0 and today - counted // 86_400 < DAYS:
            p.people[(counted // 86_400) & 7] -= 1
        p.people[today & 7] += 1
    if fresh or fresh_of_template:
        node.reacted = 0
    p.sent[today & 7] += fresh
    t.sent[today & 7] += fresh_of_template
    node.counted_s, node.template = second, template
    if held:
        node.consent |= WAS_HELD
        return
    was_held = node.consent & WAS_HELD != 0
    node.consent &= 255 - WAS_HELD
    if fresh or was_held or counted < p.pace_from // 1000:
        _count_in_batch(p, now)
    if fresh_of_template or was_held or counted < t.pace_from // 1000:
        p.fresh += t.pace == COUNTING
        _count_in_batch(t, now)


@compiled()
def _stopped_by_sender(
    act: Any, portfolio: int, p: Any, number: Any, t: Any, laws: Any, now: int
) -> tuple[int, int]:  # fmt: skip
    """Return what the portfolio, its number or its template stops a send by (0: nothing)."""
    if bars_of(p, laws, now) == BARS_ALL:
        if p.until >= ENDLESS or now < p.begins:
            return LOCKED, int64(NEVER)
        return BLOCKED, int64(p.until)
    due = _spacing(int64(number.next), now * MILLION, _tick(number), int64(number.rate))
    if due > now * MILLION:
        return THROUGHPUT, -(-due // MILLION)
    if act.flags & WITH_TEMPLATE == 0 or (t.portfolio == portfolio and t.status == APPROVED):
        return 0, int64(NEVER)
    if t.portfolio != portfolio or t.status == PENDING:
        return TEMPLATE_MISSING, int64(NEVER)
    if t.status == DISABLED:
        return TEMPLATE_DISABLED, int64(NEVER)
    return TEMPLATE_PAUSED, int64(t.until) if t.until < ENDLESS else int64(NEVER)


@compiled()
def _stopped_outside(
    p: Any, t: Any, flags: int, state: int, laws: Any, now: int
) -> tuple[int, int]:  # fmt: skip
    """Return what stops a send outside a window (0: nothing)."""
    if flags & WITH_TEMPLATE == 0:
        return WINDOW_CLOSED, int64(NEVER)
    if bars_of(p, laws, now) == BARS_OUTSIDE:
        return RESTRICTED, int64(p.until)
    if (laws.required >> t.category) & 1 and state != GRANTED:
        return NO_CONSENT, int64(NEVER)
    if flags & AT_CAP:
        return PERSON_CAP, int64(NEVER)
    return 0, int64(NEVER)


@compiled(inline="always")
def _tick(number: Any) -> int:
    """Nanoseconds between sends of a number, were all sent evenly."""
    return int64(1_000_000_000 // int64(number.rate))


@compiled()
def _accept(
    p: Any, t: Any, node: Any, index: int, places: Any, sh: Any, laws: Any, template: int,
    inside: bool, now: int,
) -> int:  # fmt: skip
    """Book a send that nothing stops."""
    node.pair = max(int64(node.pair), now) + laws.pair_interval
    if inside:
        node.inside = min(int64(node.inside) + 1, 255)
        return IN_WINDOW
    node.inside = 0
    if t.pace == COUNTING and p.fresh >= laws.pace_first:
        # Many new templates are as one: each with people of its own would reach as many more.
        t.pace, t.pace_at = HOLDING, now
    held = t.pace == HOLDING or p.pace == HOLDING
    _take_place(p, node, index, places, sh, now)
    _count(p, t, node, template, now, held)
    return HELD if held else SENT


@compiled()
def _send(
    act: Any, portfolio: int, p: Any, number: Any, t: Any, nodes: Any, table: Any, places: Any,
    scoped: Any, words: Any, sh: Any, laws: Any, salts: Any, now: int, answer: Any,
) -> tuple[int, int]:  # fmt: skip
    """Return what becomes of a send, and from when on it would go (NEVER: not by itself)."""
    stopped, opens = _stopped_by_sender(act, portfolio, p, number, t, laws, now)
    if stopped:
        return stopped, opens
    person, with_template = int64(act.person), act.flags & WITH_TEMPLATE != 0
    i, _ = find(table, nodes, portfolio, person, salts)
    state = _consent(i, nodes, act, int64(t.category), scoped, words, salts)
    if with_template and state == REVOKED:
        return OPTED_OUT, int64(NEVER)
    inside = i >= 0 and now < nodes[i].open_until
    if not inside:
        stopped, opens = _stopped_outside(p, t, int64(act.flags), state, laws, now)
        if stopped:
            return stopped, opens
    if i >= 0:
        free = _spacing(int64(nodes[i].pair), now, laws.pair_interval, laws.pair_burst)
        if free > now:
            return PAIR_RATE, free
    if not inside:
        _expire(p, nodes, places, sh, now - laws.span)
        answer.changes |= _raise_limit(p, laws, now)
        if p.limit >= 0 and p.count >= p.limit and (i < 0 or nodes[i].places == 0):
            return LIMIT, _opens_at(p, nodes, places, laws.span)
    if i < 0:
        i = _node(table, nodes, sh, portfolio, person, salts)
    number.next = max(int64(number.next), now * MILLION) + _tick(number)
    return _accept(p, t, nodes[i], i, places, sh, laws, int64(act.template), inside, now), now


@compiled()
def _take_back(
    p: Any, t: Any, node: Any, places: Any, sh: Any, today: int
) -> None:  # fmt: skip
    """Free the place of the last send to a person, and uncount who has no other.

    A send within a window that came after it is what failed, and had none.
    """
    if node.inside > 0 or node.places == 0:
        node.inside = max(int64(node.inside) - 1, 0)
        return
    last = int64(node.place)
    node.place = places[last].older
    node.places -= 1
    _unlink(p, places, sh, last)
    if node.places > 0:
        return
    node.place = -1
    p.count -= 1
    counted = int64(node.counted_s)
    day = counted // 86_400
    if counted == 0 or today - day >= DAYS:
        return
    p.people[day & 7] -= 1
    if counted >= p.since // 1000:
        p.sent[day & 7] -= 1
    batched = node.consent & WAS_HELD == 0
    if batched and p.pace == COUNTING and counted >= p.pace_from // 1000:
        p.pace_people -= 1
    if counted >= t.since // 1000:
        t.sent[day & 7] -= 1
    if batched and t.pace == COUNTING and counted >= t.pace_from // 1000:
        t.pace_people -= 1
    node.counted_s = 0


@compiled()
def _weigh(q: Any, counted: int, batched: bool, today: int, points: int) -> None:
    """Add points of a reaction where the send that it answers still counts, or is of the batch."""
    if counted >= q.since // 1000:
        q.points[today & 7] += points
    if batched and q.pace != FREE and counted >= q.pace_from // 1000:
        q.pace_points += points


@compiled()
def _react(
    act: Any, p: Any, t: Any, node: Any, laws: Any, now: int, today: int
) -> int:  # fmt: skip
    """Note a reaction of a person who was written to in the last days; return what changed."""
    counted = int64(node.counted_s)
    if counted == 0 or today - counted // 86_400 >= COUNTED_DAYS:
        return 0
    if act.kind <= node.reacted:
        return 0
    if act.kind == READ:
        node.reacted = READ
        day = (counted // 86_400) & 7
        p.reads[day] += counted >= p.since // 1000
        t.reads[day] += counted >= t.since // 1000
        return 0
    before = laws.points[node.reacted] if node.reacted > 0 else 0
    points = (laws.points[act.kind] - before) * min(int64(act.weight), 100)
    node.reacted = act.kind
    if points <= 0:
        return 0
    changed = _go_on(p, t, laws, now)
    batched = node.consent & WAS_HELD == 0
    if batched and t.pace != FREE and counted >= t.pace_from // 1000:
        p.fresh_points += points
        if p.fresh >= laws.pace_least and p.fresh_points * 100 >= laws.pace_bad * p.fresh:
            p.dropped, p.fresh, p.fresh_points = now, 0, 0
    _weigh(t, counted, batched, today, points)
    _weigh(p, counted, batched, today, points)
    bad = t.pace_people >= laws.pace_least and is_bad(t, laws)
    if t.pace != FREE and (bad or t.pace_from <= p.dropped):
        t.status, t.until, t.pace = PACED, ENDLESS, FREE
        changed |= PAUSED_BY_PACING
    if t.status == APPROVED and rating(t, laws) == LOW:
        _pause(t, laws, now)
        changed |= PAUSED_BY_QUALITY
    paced = p.pace != FREE and p.pace_people >= laws.pace_least and is_bad(p, laws)
    if paced or rating(p, laws) == LOW:
        step_up(p, laws, now)
        changed |= STEPPED
    return changed


_AHEAD: Final = 8
_NEAR: Final = 4
_NODE_BYTES: Final = NODE.itemsize


@compiled(inline="always")
def _fetch(acts: Any, order: Any, k: int, end: int, table: Any, nodes: Any, salts: Any) -> None:
    """Ask for the memory that the next acts will touch; it changes no answer."""
    if k + _AHEAD < end:
        act = acts[order[k + _AHEAD]]
        at = _home(int64(act.portfolio), int64(act.person), table.size, salts)
        prefetch(table.ctypes.data + 4 * at)
        act = acts[order[k + _NEAR]]
        held = table[_home(int64(act.portfolio), int64(act.person), table.size, salts)]
        if held > 0:
            prefetch(nodes.ctypes.data + (held - 1) * _NODE_BYTES)


@compiled()
def _hear_person(
    act: Any, portfolio: int, nodes: Any, table: Any, scoped: Any, words: Any, sh: Any, laws: Any,
    salts: Any, now: int,
) -> None:  # fmt: skip
    """Take a message, a grant or a revocation of a person."""
    if act.kind != INBOUND:
        _hear(act, portfolio, nodes, table, scoped, words, sh, laws, salts)
        return
    node = nodes[_node(table, nodes, sh, portfolio, int64(act.person), salts)]
    lasts = laws.entry_window if act.flags & BY_ENTRY else laws.window
    node.open_until = max(int64(node.open_until), now + lasts)


@compiled()
def _learn(
    act: Any, portfolio: int, p: Any, templates: Any, nodes: Any, table: Any, places: Any, sh: Any,
    laws: Any, salts: Any, now: int, answer: Any,
) -> None:  # fmt: skip
    """Take what became of a send to a person: it failed, or the person reacts."""
    i, _ = find(table, nodes, portfolio, int64(act.person), salts)
    if i < 0 or nodes[i].template < 0:
        return
    node, today = nodes[i], now // DAY_MS
    t = templates[node.template]
    _turn(t, today)
    if act.kind == UNDELIVERABLE:
        _expire(p, nodes, places, sh, now - laws.span)
        if laws.freed:
            _take_back(p, t, node, places, sh, today)
    else:
        answer.template = node.template
        answer.changes = _react(act, p, t, node, laws, now, today)


@compiled()
def process(
    laws: Any, ports: Any, numbers: Any, templates: Any, nodes: Any, table: Any, places: Any,
    scoped: Any, words: Any, sh: Any, salts: Any, acts: Any, order: Any, begin: int, end: int,
    answers: Any,
) -> None:  # fmt: skip
    """Take the acts `order[begin:end]` of one shard, whose tables have room for all of them.

    The last of `templates` belongs to nobody.
    """
    nobody = templates.size - 1
    for k in range(begin, end):
        _fetch(acts, order, k, end, table, nodes, salts)
        e = int64(order[k])
        act, answer = acts[e], answers[e]
        portfolio = int64(act.portfolio)
        p = ports[portfolio]
        now = max(int64(act.ts), int64(p.clock))
        today = now // DAY_MS
        p.clock, answer.at = now, now
        _turn_people(p, today)
        _turn(p, today)
        if act.kind == SEND:
            named = int64(act.template)
            if named >= nobody or templates[named].portfolio != portfolio:
                named = nobody
            t = templates[named]
            if named != nobody:
                answer.template = named
                _turn(t, today)
                answer.changes |= _go_on(p, t, laws, now)
            answer.outcome, answer.opens = _send(
                act, portfolio, p, numbers[act.number], t, nodes, table, places, scoped, words, sh,
                laws, salts, now, answer,
            )  # fmt: skip
        elif act.kind <= REVOKE:
            _hear_person(act, portfolio, nodes, table, scoped, words, sh, laws, salts, now)
        else:
            _learn(act, portfolio, p, templates, nodes, table, places, sh, laws, salts, now, answer)
        if answer.changes & STEPPED:
            answer.value = p.step
        elif answer.changes & RAISED:
            answer.value = p.limit


@compiled()
def group_by_shard(acts: Any, portfolios: int, order: Any, offsets: Any, answers: Any) -> None:
    """Group acts by shard in log order; a send without a portfolio is answered here."""
    fill = np.zeros(SHARDS + 1, np.int64)
    for step in range(2):
        for e in range(acts.size):
            if acts[e].portfolio >= portfolios:
                if acts[e].kind == SEND:
                    answers[e].outcome = NO_PORTFOLIO
                continue
            s = int64(acts[e].portfolio) & (SHARDS - 1)
            if step == 1:
                order[fill[s]] = e
            fill[s] += 1
        if step == 0:
            begin_groups(fill, offsets)


@compiled()
def merge_person(
    laws: Any, portfolio: int, p: Any, nodes: Any, table: Any, places: Any, sh: Any, salts: Any,
    kept: int, gone: int,
) -> bool:  # fmt: skip
    """Add what a portfolio knows of one person to another's; both are one. False: nothing.

    Both may have been written to before it was known. Windows: the later end. Consent: a
    revocation before a grant. Places: of both, in order, at most as many as one person has.
    """
    b, _ = find(table, nodes, portfolio, gone, salts)
    if b < 0:
        return False
    a = _node(table, nodes, sh, portfolio, kept, salts)
    one, other = nodes[a], nodes[b]
    _expire(p, nodes, places, sh, int64(p.clock) - laws.span)
    one.open_until = max(one.open_until, other.open_until)
    one.pair, one.revoked = max(one.pair, other.pair), max(one.revoked, other.revoked)
    consent = (int64(one.consent) | int64(other.consent)) & HAS_SCOPED
    later = other if other.counted_s > one.counted_s else one
    consent |= int64(later.consent) & WAS_HELD
    for each in range(3):
        state = max(_state(one.consent, each), _state(other.consent, each))
        consent = _with_state(consent, each, state)
    one.consent = consent
    one.reacted, one.inside = max(one.reacted, other.reacted), max(one.inside, other.inside)
    today = int64(p.day)
    if one.counted_s > 0 and other.counted_s > 0:
        earlier = int64(min(one.counted_s, other.counted_s)) // 86_400
        if today - earlier < DAYS:
            p.people[earlier & 7] -= 1
    if other.counted_s > one.counted_s:
        one.counted_s, one.template = other.counted_s, other.template
    _merge_places(p, one, other, a, places, sh)
    other.open_until, other.pair, other.revoked, other.consent = 0, 0, NEVER, 0
    other.counted_s, other.template, other.reacted, other.inside = 0, -1, 0, 0
    return True


@compiled()
def _merge_places(p: Any, one: Any, other: Any, index: int, places: Any, sh: Any) -> None:
    if one.places > 0 and other.places > 0:
        p.count -= 1
    mine, theirs = int64(one.place), int64(other.place)
    left, right = int64(one.places), int64(other.places)
    spare = max(left + right - REMEMBERED, 0)
    newest, newer, taken = int64(-1), int64(-1), int64(0)
    while left + right > 0:
        if right == 0 or (left > 0 and places[mine].at >= places[theirs].at):
            i, mine, left = mine, int64(places[mine].older), left - 1
        else:
            i, theirs, right = theirs, int64(places[theirs].older), right - 1
        # The newest stays, and of the rest the oldest: as when a further send takes the last place.
        if newest >= 0 and spare > 0:
            spare -= 1
            _unlink(p, places, sh, i)
            continue
        if newest < 0:
            newest = i
        else:
            places[newer].older = i
        newer, taken = i, taken + 1
        places[i].node = index
    one.place, one.places = newest, taken
    other.place, other.places = -1, 0


@compiled()
def merge_words(
    node: Any, number: int, scoped: Any, words: Any, sh: Any, salts: Any, kept: int, gone: int
) -> None:  # fmt: skip
    """Add a person's word on one number to another's; both are one."""
    b, _ = find(words, scoped, number, gone, salts)
    if b < 0:
        return
    one = scoped[_word(words, scoped, sh, number, kept, salts)]
    other = scoped[b]
    consent = int64(0)
    for each in range(3):
        state = max(_state(one.consent, each), _state(other.consent, each))
        consent = _with_state(consent, each, state)
    one.consent = consent
    one.revoked = max(one.revoked, other.revoked)
    one.granted = max(one.granted, other.granted)
    other.consent = 0
    node.consent |= HAS_SCOPED
