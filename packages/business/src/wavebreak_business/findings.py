"""What records of logs say to the business: failures, stops, retries, templates, consent, cost.

`find` is a fold over the columns of a `RecordTable`; nothing here reads a file or formats a text. A
revocation is of the number that it was sent to, on its channel.
"""

from __future__ import annotations

import numpy as np

from wavebreak.durations import duration_ms
from wavebreak_business.answers import (
    Consent,
    Duplicates,
    Failure,
    Findings,
    Options,
    Retry,
    StopPeople,
    Stops,
    Template,
    Totals,
    Waste,
)
from wavebreak_business.identities import short_number
from wavebreak_business.limit_use import days_of, limit_use, outside_windows
from wavebreak_business.messages import (
    MARKETING,
    CodeTable,
    Ints,
    Mask,
    Messages,
    code_table,
    fold_messages,
    known_ms,
    last_arrival,
    last_before,
    last_by_person,
    people_of,
    with_categories,
)
from wavebreak_business.record_table import (
    CATEGORIES,
    NO_TIME,
    REINSTATED,
    Columns,
    Kind,
    RecordTable,
    TemplateEvent,
)
from wavebreak_business.settings import Settings, revocation_delay_ms

_NEVER = np.iinfo(np.int64).max


def find(table: RecordTable, settings: Settings, options: Options) -> Findings:
    """Return what the records of logs say.

    Args:
        table: The records.
        settings: Codes and limits.
        options: What the business adds.
    """
    records, persons = table.columns(), table.persons()
    codes = code_table(table, settings)
    messages = with_categories(fold_messages(records, persons), codes)
    inbound = records.of(records.kind == Kind.INBOUND)
    totals = _totals(table, messages, records, persons)
    last_ms = totals.last_ms
    stopped_people = _stopped_people(records, persons)
    repeated, stops = _stops(table, messages, codes, stopped_people)
    counted, inside = outside_windows(messages, inbound, persons, settings)
    limit, steps = limit_use(table, messages, counted, inside, settings, options, last_ms)
    after_stop, consent = _consent(
        table, messages, records, persons, codes, settings, options, stopped_people
    )
    duplicate, duplicates = _duplicates(table, messages, settings)
    templates = _templates(table, messages, settings, last_ms)
    paused = {each.name for each in templates if {"paused", "disabled"} & {*each.risks}}
    return Findings(
        totals=totals,
        failures=_failures(messages, codes),
        errors=_errors(table, settings),
        stops=Stops(
            stops,
            tuple(sorted(paused)),
            _account_stops(table, messages, codes, settings, last_ms),
            _flagged_numbers(table),
        ),
        retries=_retries(table, messages, codes, last_ms),
        limit=limit,
        templates=templates,
        consent=consent,
        duplicates=duplicates,
        waste=_waste(table, messages, (duplicate, after_stop, repeated), options),
        days=days_of(messages, steps),
    )


def _totals(table: RecordTable, messages: Messages, records: Columns, persons: Ints) -> Totals:
    # Records of consent are of the business's own list, not of its logs.
    timed = records.ts[(records.ts > NO_TIME) & (records.kind != Kind.CONSENT)]
    delivered, failed = messages.delivered, messages.failed
    held = (messages.at[Kind.HELD] >= 0) & ~delivered & ~failed
    return Totals(
        messages=int(messages.sent.size),
        delivered=int(delivered.sum()),
        read=int((messages.at[Kind.READ] >= 0).sum()),
        failed=int(failed.sum()),
        held=int(held.sum()),
        open=int((~delivered & ~failed & ~held).sum()),
        inbound=int((records.kind == Kind.INBOUND).sum()),
        people=int(np.unique(persons).size),
        senders=len(table.senders.texts),
        without_time=int((records.ts == NO_TIME).sum()),
        first_ms=int(timed[0]) if timed.size else None,
        last_ms=int(timed[-1]) if timed.size else None,
    )


def _failures(messages: Messages, codes: CodeTable) -> tuple[Failure, ...]:
    failures = []
    failed = messages.failed
    for n, ((provider, code), known) in enumerate(zip(codes.names, codes.known, strict=True)):
        chosen = failed & (messages.code == n)
        count = int(chosen.sum())
        if not count:
            continue
        times = messages.at[Kind.FAILED][chosen]
        times = times[times > NO_TIME]
        failures.append(
            Failure(
                provider,
                code,
                known is not None,
                known.cause if known else "unlisted",
                count,
                int(np.unique(messages.person[chosen]).size),
                int(times.min()) if times.size else None,
                int(times.max()) if times.size else None,
            )
        )
    return tuple(sorted(failures, key=lambda each: (-each.messages, each.provider, each.code)))


def _errors(table: RecordTable, settings: Settings) -> tuple[Failure, ...]:
    """Return the failures that named no message."""
    errors = []
    for text, count in sorted(table.errors.items(), key=lambda item: (-item[1], item[0])):
        provider, _, name = text.partition(" ")
        code = settings.code(provider, name)
        cause = code.cause if code else "unlisted"
        errors.append(Failure(provider, name, code is not None, cause, count, 0, None, None))
    return tuple(errors)


def _stops(
    table: RecordTable, messages: Messages, codes: CodeTable, stopped_people: Ints
) -> tuple[Mask, tuple[StopPeople, ...]]:
    """Return sends to people after a failure that is for good, and the people by cause."""
    dead = messages.failed & codes.having(messages.code, "stop", "person")
    dated = dead & (messages.at[Kind.FAILED] > NO_TIME)
    died = np.full(len(table.people.texts), _NEVER)
    np.minimum.at(died, messages.person[dated], messages.at[Kind.FAILED][dated])
    arrived = last_arrival(table, messages)
    last_death = last_by_person(table, messages.person[dead], messages.at[Kind.FAILED][dead])
    repeated = messages.failed & (messages.sent > died[messages.person])
    by_cause: dict[str, set[int]] = {}
    for n, code in enumerate(codes.known):
        if code is None or code.stop != "person":
            continue
        people = np.unique(messages.person[dead & (messages.code == n)])
        if code.cause != "opted_out":
            # Who got a message after it can be reached again.
            people = people[arrived[people] <= last_death[people]]
        by_cause.setdefault(code.cause, set()).update(people.tolist())
    by_cause.setdefault("opted_out", set()).update(stopped_people.tolist())
    return repeated, tuple(
        StopPeople(cause, people_of(table, np.fromiter(people, np.int64, len(people))))
        for cause, people in sorted(by_cause.items())
        if people
    )


def _stopped_people(records: Columns, persons: Ints) -> Ints:
    """Return the people whose last word is a stop, to any number."""
    said = records.of(np.isin(records.kind, (Kind.STOP, Kind.RESUME)))
    if not said.ts.size:
        return np.zeros(0, np.int64)
    last = np.zeros(int(persons.max()) + 1, np.uint8)
    last[persons[said.person]] = said.kind
    return np.flatnonzero(last == Kind.STOP)


def _account_stops(
    table: RecordTable, messages: Messages, codes: CodeTable, settings: Settings,
    last_ms: int | None,
) -> tuple[str, ...]:  # fmt: skip
    """Return the events and codes by which the account is held back at the end of the logs."""
    failed = messages.failed & codes.having(messages.code, "stop", "account")
    named = {" ".join(codes.names[n]) for n in np.unique(messages.code[failed]).tolist()}
    events: set[str] = set()
    for event in sorted(table.accounts, key=lambda each: each.at_ms):
        if event.what == REINSTATED:
            events.clear()
        elif event.what in settings.limits.account.stops:
            is_over = event.until_ms is not None and event.until_ms <= (last_ms or event.at_ms)
            (events.discard if is_over else events.add)(event.what)
    return tuple(sorted(named | events))


def _flagged_numbers(table: RecordTable) -> tuple[str, ...]:
    """Return the numbers that are flagged by the last word on them."""
    last = {
        event.number: event.what
        for event in sorted(table.numbers, key=lambda each: each.at_ms)
        if event.what in ("FLAGGED", "UNFLAGGED")
    }
    return tuple(sorted(number for number, what in last.items() if what == "FLAGGED"))


def _retries(
    table: RecordTable, messages: Messages, codes: CodeTable, last_ms: int | None
) -> tuple[Retry, ...]:
    """Return what may be sent again; who has been reached since is not written to again."""
    arrived = last_arrival(table, messages)
    retries = []
    for n, ((provider, name), code) in enumerate(zip(codes.names, codes.known, strict=True)):
        if code is None or code.retry == "never":
            continue
        failed_ms = messages.at[Kind.FAILED]
        chosen = messages.failed & (messages.code == n) & (arrived[messages.person] < failed_ms)
        if not chosen.any():
            continue
        ready = failed_ms[chosen & (failed_ms > NO_TIME)] + code.wait_ms
        later = code.retry == "later" and ready.size > 0
        retries.append(
            Retry(
                provider,
                name,
                code.retry,
                int(chosen.sum()),
                people_of(table, messages.person[chosen]),
                int(ready.min()) if later else None,
                int(ready.max()) if later else None,
                int((ready <= (last_ms or 0)).sum()) if later else 0,
            )
        )
    return tuple(sorted(retries, key=lambda each: (-each.messages, each.provider, each.code)))


_PAUSES = {"FIRST_PAUSE": 1, "SECOND_PAUSE": 2}


def _templates(
    table: RecordTable, messages: Messages, settings: Settings, last_ms: int | None
) -> tuple[Template, ...]:
    """Return the templates that the logs name, those at risk first."""
    events: dict[tuple[str, str], list[TemplateEvent]] = {}
    # A webhook that comes again, because it was not acknowledged, is one event.
    for event in sorted(dict.fromkeys(table.templates), key=lambda each: each.at_ms):
        events.setdefault((event.label, event.language), []).append(event)
    templates = [
        _template(of_one, messages, short_number(label), settings, last_ms)
        for (label, _), of_one in events.items()
    ]
    return tuple(sorted(templates, key=lambda each: (-len(each.risks), each.name, each.language)))


def _template(
    events: list[TemplateEvent], messages: Messages, label: int, settings: Settings,
    last_ms: int | None,
) -> Template:  # fmt: skip
    ladder = settings.limits.pauses.ladder
    states = [event for event in events if event.field == "status"]
    qualities = [event.what for event in events if event.field == "quality"]
    status = states[-1].what if states else ""
    rated = [e for e in states if e.what == "PAUSED" and "RATE_LIMIT" not in e.detail]
    # The logs may lack the pauses before: the platform says which one it is.
    pauses = max([len(rated), *(_PAUSES.get(each.detail, 0) for each in rated)])
    pause, resumes_ms = "", None
    if status == "PAUSED":
        pacing = "RATE_LIMIT" in states[-1].detail
        pause = "pacing" if pacing else "quality"
        if not pacing and pauses <= len(ladder):
            resumes_ms = known_ms(states[-1].at_ms)
            resumes_ms = resumes_ms and resumes_ms + duration_ms(ladder[pauses - 1])
    over = resumes_ms is not None and last_ms is not None and resumes_ms <= last_ms
    own = messages.label == label
    sends, failed = int(own.sum()), int((own & messages.failed).sum())
    risks = []
    if status in ("DISABLED", "REJECTED", "PENDING_DELETION"):
        risks.append("disabled")
    if status == "PAUSED":
        risks.append("paused" if not over else "was_paused")
    if status == "FLAGGED":
        risks.append("flagged")
    quality = qualities[-1] if qualities else ""
    if quality in ("RED", "YELLOW"):
        risks.append(f"quality_{quality.lower()}")
    rules = settings.limits.templates
    if sends >= rules.sends and failed >= rules.failed_share * sends:
        risks.append("failures")
    following = ladder[pauses] if pauses < len(ladder) else "disabled"
    rated_badly = "disabled" not in risks and bool({*risks} - {"failures"})
    return Template(
        events[0].name, events[0].language, status, quality, pauses, pause, resumes_ms,
        following if rated_badly else "", sends, failed,
        int((own & (messages.at[Kind.READ] >= 0)).sum()), tuple(risks),
    )  # fmt: skip


def _consent(
    table: RecordTable, messages: Messages, records: Columns, persons: Ints, codes: CodeTable,
    settings: Settings, options: Options, stopped_people: Ints,
) -> tuple[Mask, Consent]:  # fmt: skip
    """Return which messages were sent after a stop that covers them, and the figures."""
    said = records.of(np.isin(records.kind, (Kind.STOP, Kind.RESUME)) & (records.ts > NO_TIME))
    refused = messages.failed & codes.having(messages.code, "cause", "opted_out")
    refused &= messages.at[Kind.FAILED] > NO_TIME
    # A refusal tells the business of a stop that its logs may lack: of marketing where its code is
    # of marketing alone, as a messenger's are; of everything for a text message's.
    who = np.concatenate((persons[said.person], messages.person[refused]))
    number = np.concatenate((said.sender, messages.sender[refused]))
    when = np.concatenate((said.ts, messages.at[Kind.FAILED][refused]))
    stops = np.concatenate((said.kind == Kind.STOP, np.ones(int(refused.sum()), np.bool_)))
    of_marketing = codes.having(messages.code, "category", "marketing")[refused]
    narrow = np.concatenate((said.category == MARKETING, of_marketing)).astype(np.bool_)
    wide = len(table.senders.texts) + 1
    delay = revocation_delay_ms(settings.limits)

    def after(group: Ints, event_group: Ints) -> Mask:
        if not when.size:
            return np.zeros(group.size, np.bool_)
        # A send at the very instant of a stop cannot have known of it.
        last = last_before(group, messages.sent - 1, event_group, when)
        covered = stops[last] & (~narrow[last] | (messages.category == MARKETING))
        since = messages.sent - _first_of_run(event_group, when, stops)[last]
        return np.asarray((last >= 0) & covered & (since >= delay))

    own = after(messages.person * wide + messages.sender, who * wide + number)
    any_number = after(messages.person, who)
    ever = np.unique(persons[said.person[said.kind == Kind.STOP]]) if said.ts.size else who
    marketing = messages.delivered & (messages.category == MARKETING)
    gap = marketing & ~_has_basis(messages, records, persons, options)
    return own, Consent(
        stops=int(stopped_people.size),
        resumed=int(np.setdiff1d(ever, stopped_people).size) if said.ts.size else 0,
        after_stop=int(own.sum()),
        after_stop_delivered=int((own & messages.delivered).sum()),
        after_stop_people=people_of(table, messages.person[own]),
        other_number=int((any_number & ~own).sum()),
        marketing=int(marketing.sum()),
        given=options.consent_given,
        gap_messages=int(gap.sum()),
        gap_people=people_of(table, messages.person[gap]),
    )


def _first_of_run(group: Ints, when: Ints, stops: Mask) -> Ints:
    """Return for each stop when the stops began that no resume parts from it."""
    order = np.lexsort((when, group))
    begins = np.ones(order.size, np.bool_)
    begins[1:] = (group[order][1:] != group[order][:-1]) | ~stops[order][:-1]
    first = np.maximum.accumulate(np.where(begins, np.arange(order.size), 0))
    since = np.empty_like(when)
    since[order] = when[order][first]
    return since


def _has_basis(messages: Messages, records: Columns, persons: Ints, options: Options) -> Mask:
    """Return which messages follow a record of consent, or without such records a person's word."""
    kinds = (Kind.CONSENT,) if options.consent_given else (Kind.INBOUND, Kind.RESUME)
    basis = records.of(np.isin(records.kind, kinds))
    people = persons[basis.person] if basis.ts.size else basis.person
    return np.asarray(last_before(messages.person, messages.sent, people, basis.ts) >= 0)


def _duplicates(
    table: RecordTable, messages: Messages, settings: Settings
) -> tuple[Mask, Duplicates]:
    """Return which messages went to an old id beside the new one, and the figures."""
    given_up = np.full(len(table.people.texts), _NEVER)
    for alias in table.aliases:
        if alias.changed_ms is not None:
            given_up[alias.old] = min(given_up[alias.old], alias.changed_ms)
    new = {alias.new for alias in table.aliases if alias.changed_ms is not None}
    together = [{alias.old, alias.new} for alias in table.aliases if alias.changed_ms is None]
    current = new.union(*(ids for ids in together if ids & new))
    for ids in together:
        # Number and user id of one time are given up together, unless one is still in use.
        if not ids & current:
            both = [*ids]
            given_up[both] = given_up[both].min()
    old = messages.sent > given_up[messages.identity]
    span = duration_ms(settings.limits.duplicates.span)
    fresh = (given_up[messages.identity] == _NEVER) & (messages.sent > NO_TIME)
    key = messages.person * len(CATEGORIES) + messages.category
    before = last_before(key[old], messages.sent[old], key[fresh], messages.sent[fresh])
    # The next one after it: the same, with time turned round.
    behind = last_before(key[old], -messages.sent[old], key[fresh], -messages.sent[fresh])
    near = np.zeros(int(old.sum()), np.bool_)
    if fresh.any():
        at = messages.sent[fresh]
        near |= (before >= 0) & (messages.sent[old] - at[before] < span)
        near |= (behind >= 0) & (at[behind] - messages.sent[old] < span)
    both_ids = np.zeros(old.size, np.bool_)
    both_ids[np.flatnonzero(old)[near]] = True
    people = np.unique(table.persons()[list(new)]) if new else np.zeros(0)
    return both_ids, Duplicates(
        int(people.size),
        int(old.sum()),
        int(both_ids.sum()),
        people_of(table, messages.person[old]),
    )


def _waste(
    table: RecordTable, messages: Messages, causes: tuple[Mask, Mask, Mask], options: Options
) -> tuple[Waste, ...]:
    """Return what was spent for nothing; a message counts under the first cause that it has."""
    duplicate, after_stop, repeated = causes
    left = np.ones(messages.sent.size, np.bool_)
    wasted = []
    for cause, mask in (
        ("duplicate", duplicate), ("after_stop", after_stop), ("repeated", repeated),
        ("failed", messages.failed),
    ):  # fmt: skip
        chosen = mask & left
        left &= ~chosen
        for n, category in enumerate(CATEGORIES):
            own = chosen & (messages.category == n)
            if own.any():
                billed = own & (
                    (messages.billed == 1) | (messages.delivered & (messages.billed < 0))
                )
                cost = _cost(table, messages, billed, options.prices.get(category))
                wasted.append(Waste(cause, category, int(own.sum()), int(billed.sum()), cost))
    return tuple(wasted)


def _cost(
    table: RecordTable, messages: Messages, billed: Mask, price: float | None
) -> dict[str, float]:
    """Return what messages cost: by the log's own prices, else by the option's."""
    cost: dict[str, float] = {}
    priced = billed & ~np.isnan(messages.price)
    for n in np.unique(messages.currency[priced]).tolist():
        currency = table.currencies.texts[n] if n >= 0 else ""
        total = float(messages.price[priced & (messages.currency == n)].sum())
        cost[currency] = round(cost.get(currency, 0.0) + total, 6)
    rest = int((billed & ~priced).sum())
    if price is not None and rest:
        cost[""] = round(cost.get("", 0.0) + rest * price, 6)
    return cost
