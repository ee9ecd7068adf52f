"""Determination of eligibility for legal action: from evidence, grounds and a date to advice.

R1: evidence on the platform that is linked to the party. R2: from a public notice on, evidence
from outside the platform alone; R3: then only if the conduct continues beyond the notice's
boundary, by the party or its successor, or the party is linked to conduct on the platform before
it. Where the result depends on a fact that is not known, it is undetermined, and the determination
lists the facts. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import partial
from typing import Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from wavebreak.durations import DAY_MS
from wavebreak.languages import SOURCE_LANGUAGE
from wavebreak_cases.cases import counterfactuals, eligibility
from wavebreak_cases.cases.date_ranges import (
    AHEAD_MS,
    BEHIND_MS,
    DateRange,
    Ternary,
    format_instant,
)
from wavebreak_cases.cases.parties import Bar, Evidence
from wavebreak_cases.cases.reasons import Context, Phrase, Phrases, Value, Writer, unique

METHOD = 5
"""Version of the rules and of their words. Those of `CODED_METHOD` hold; beside them it knows when
ties held, joint conduct, settlements, stays and insolvencies, and says more of what there is."""
CODED_METHOD = 4
"""The version before, whose rules are those of `PROSE_METHOD`."""
PROSE_METHOD = 3
"""The version that sealed its reasons as sentences in English and Hebrew, and no codes."""
SAME_RULES = (PROSE_METHOD, CODED_METHOD, METHOD)
"""Versions whose determinations are made again by `verify`, and may be signed."""
ADVICE = (
    "This is advice drawn from rules and dates. It is no legal opinion and decides nothing: "
    "a person with the role named in the policy reads the exhibits and signs, or does not."
)
ENFORCEMENT = (
    "Technical enforcement does not depend on this determination and goes on whatever it says."
)


class EnforcementState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What technical enforcement says of an account of the party, shown beside."""

    account: str
    outcome: str
    until: int | None = None


class Ground(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule that holds, the notice that it rests on ("": none), the evidence it rests on."""

    rule: str
    notice: str
    evidence: tuple[str, ...]


class Disregarded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Evidence that no rule rests on, and why."""

    evidence: str
    exhibit: str
    why: str


class BoundaryFlag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Evidence whose dates touch the day at a notice's boundary.

    `otherwise` is the result if the boundary were drawn on the other side of that day; with `zone`,
    where the dates touch that day in another time zone alone, on the other side of that.
    """

    evidence: str
    exhibit: str
    notice: str
    day: int
    otherwise: eligibility.Result
    zone: Literal["other"] | UnsetType = UNSET


class Reasons(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The reasons in sentences: in English, and of `PROSE_METHOD` in Hebrew."""

    en: tuple[str, ...]
    he: tuple[str, ...] | UnsetType = UNSET


class Determination(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The advice. Times are milliseconds; `of` is the SHA-256 of all that it was drawn from.

    `method` is the version of the rules; earlier ones had no number, flags or sentences. `codes`
    are the reasons before they are in words, one for each sentence in English.
    """

    party: str
    as_of: int
    result: eligibility.Result
    grounds: tuple[Ground, ...]
    exhibits: tuple[str, ...]
    disregarded: tuple[Disregarded, ...]
    needs: tuple[str, ...]
    changes: tuple[counterfactuals.Counterfactual, ...]
    enforcement: tuple[EnforcementState, ...]
    policy: str
    signs: str
    of: str
    advice: str = ADVICE
    beside: str = ENFORCEMENT
    method: int | UnsetType = UNSET
    boundary: tuple[BoundaryFlag, ...] | UnsetType = UNSET
    reasons: Reasons | UnsetType = UNSET
    codes: tuple[Phrase, ...] | UnsetType = UNSET

    @property
    def version(self) -> int:
        """The version of the rules that it was made by."""
        return 1 if isinstance(self.method, UnsetType) else self.method

    @property
    def flags(self) -> tuple[BoundaryFlag, ...]:
        """Evidence whose dates touch the day at a boundary."""
        return () if isinstance(self.boundary, UnsetType) else self.boundary

    def sentences(self, language: str) -> tuple[str, ...]:
        """The reasons in a language; none in a determination by earlier rules.

        English is as it was sealed. Another language is rendered from the codes, or as it was
        sealed; English stays where it was not, or where this version has no words for a code.
        """
        if isinstance(self.reasons, UnsetType):
            return ()
        english, codes = self.reasons.en, () if isinstance(self.codes, UnsetType) else self.codes
        if language == SOURCE_LANGUAGE or (codes and len(codes) != len(english)):
            return english
        if not codes:
            sealed = {"he": self.reasons.he}.get(language, UNSET)
            return english if isinstance(sealed, UnsetType) else sealed
        writer = Writer(language)
        return tuple(map(partial(_in_words, writer), codes, english))


def _in_words(writer: Writer, phrase: Phrase, english: str) -> str:
    """Return a sealed phrase in words; in English where its code is that of a later version."""
    try:
        return writer.render(phrase)
    except (KeyError, ValueError, IndexError, OverflowError):
        return english


def determine(
    party: str,
    evidence: Sequence[Evidence],
    grounds: eligibility.Grounds,
    as_of: int,
    enforcement: Iterable[EnforcementState] = (),
    context: Context | None = None,
    method: int = METHOD,
) -> Determination:
    """Determine on a party from its evidence, as of an instant (ms).

    `enforcement` is shown beside and weighs nothing. The order of evidence changes nothing but the
    order of what is listed. `context` holds the names that the sentences use.
    With an earlier `method` it is as that version sealed it.
    """
    weighed = [eligibility.evaluate_item(item, grounds, as_of) for item in evidence]
    result = eligibility.outcome(eligibility.combined_ranks(weighed, grounds, as_of))
    context, later = context or Context(), method > CODED_METHOD
    satisfied = [*_satisfied_rules(weighed, grounds, as_of)]
    flags = [*_boundary_flags(evidence, grounds, as_of)]
    if later:
        satisfied += _carried_on(weighed, grounds, as_of)
        flags += _zone_flags(evidence, grounds, as_of)
    bars = context.bars if later else ()
    found = _Found(
        party,
        weighed,
        grounds,
        as_of,
        counterfactuals.barred_result(result, bars, as_of),
        tuple(satisfied),
        _missing_facts(weighed, grounds, as_of) if result == "undetermined" else (),
        tuple(flags),
        context,
        later,
    )
    relied = dict.fromkeys(name for rule in found.rules for name in rule.evidence)
    english, phrases = Writer(SOURCE_LANGUAGE), Phrases(found.context, party)
    codes = tuple(_sentences(found, english))
    reasons = Reasons(tuple(map(english.render, codes)))
    changes = counterfactuals.find_counterfactuals(evidence, grounds, as_of, bars)
    if method == PROSE_METHOD:
        hebrew = Writer("he")
        reasons = Reasons(reasons.en, tuple(map(hebrew.render, _sentences(found, hebrew))))
        changes = tuple(msgspec.structs.replace(change, code=UNSET) for change in changes)
    return Determination(
        party=party,
        as_of=as_of,
        result=found.result,
        grounds=tuple(
            Ground(rule.name, rule.notice.id if rule.notice else "", rule.evidence)
            for rule in found.rules
        ),
        exhibits=tuple(dict.fromkeys(i.exhibit for i in evidence if i.id in relied)),
        disregarded=tuple(
            Disregarded(
                w.item.id, w.item.exhibit, english.render(_explain_disregarded(w, as_of, phrases))
            )
            for w in weighed
            if w.item.id not in relied
        ),
        needs=unique(
            english.render(phrases.condition(condition, item, fails=False))
            for item, condition in found.needs
        ),
        changes=changes,
        enforcement=tuple(enforcement),
        policy=grounds.version,
        signs=grounds.signs,
        of=evidence_digest(evidence, grounds.version, bars),
        method=method,
        boundary=found.flags,
        reasons=reasons,
        codes=UNSET if method == PROSE_METHOD else codes,
    )


def evidence_digest(evidence: Sequence[Evidence], policy: str, bars: Sequence[Bar] = ()) -> str:
    """SHA-256 of what a determination is drawn from: whether one is still of the same evidence."""
    drawn_from = (tuple(evidence), policy, *([tuple(bars)] if bars else []))
    content = msgspec.json.encode(drawn_from, order="deterministic")
    return hashlib.sha256(content).hexdigest()


class _Conjunction(NamedTuple):
    """A rule of a notice, and the rules of items of which each must have one."""

    name: str
    text: str
    notice: eligibility.PublicNotice | None
    parts: tuple[str, ...]


class _Satisfied(NamedTuple):
    """A rule that holds, and the evidence that it rests on."""

    name: str
    text: str
    notice: eligibility.PublicNotice | None
    evidence: tuple[str, ...]


class _Found(NamedTuple):
    """What a determination found, before it is put into words."""

    party: str
    weighed: list[eligibility.EvaluatedItem]
    grounds: eligibility.Grounds
    as_of: int
    result: eligibility.Result
    rules: tuple[_Satisfied, ...]
    needs: tuple[tuple[Evidence, eligibility.Condition], ...]
    flags: tuple[BoundaryFlag, ...]
    context: Context
    later: bool
    """Whether it says what versions before this one did not."""


def _conjunctions(grounds: eligibility.Grounds, as_of: int) -> Iterator[_Conjunction]:
    yield _Conjunction("R1", "R1", None, ("R1",))
    for notice in eligibility.notices_in_force(grounds, as_of):
        names = eligibility.rule_names(notice)
        for name, text, parts in (
            ("R2 with R3 continued", "continued", (names.continued,)),
            ("R2 with R3 linked", "linked", (names.outside, names.linked)),
            ("R2 with R3 continued by a successor", "succeeded", (names.outside, names.succeeded)),
        ):
            yield _Conjunction(name, text, notice, parts)


def _satisfied_rules(
    weighed: Sequence[eligibility.EvaluatedItem], grounds: eligibility.Grounds, as_of: int
) -> Iterator[_Satisfied]:
    for rule in _conjunctions(grounds, as_of):
        items = [
            [w.item.id for w in weighed if w.answer(p) is Ternary.YES and not _is_linked(w, rule)]
            for p in rule.parts
        ]
        if all(items):
            both = tuple(dict.fromkeys(name for part in items for name in part))
            yield _Satisfied(rule.name, rule.text, rule.notice, both)


def _carried_on(
    weighed: Sequence[eligibility.EvaluatedItem], grounds: eligibility.Grounds, as_of: int
) -> Iterator[_Satisfied]:
    """Evidence from outside that ended before a boundary, and own accounts that went on after it.

    Where these hold R1 holds too, so that the result does not rest on it; it says that the abuse
    that was offered went on.
    """
    own = [w for w in weighed if w.answer("R1") is Ternary.YES]
    for notice in eligibility.notices_in_force(grounds, as_of):
        names = eligibility.rule_names(notice)
        ended = [
            w.item.id
            for w in weighed
            if w.answer(names.outside) is Ternary.YES and w.answer(names.continued) is Ternary.NO
        ]
        went_on = [
            w.item.id
            for w in own
            if eligibility.check_beyond(w.item, notice, as_of).answer is Ternary.YES
        ]
        if ended and went_on:
            name = "R2 with R3 carried on by its own accounts"
            yield _Satisfied(name, "carried_on", notice, (*ended, *went_on))


def _is_linked(weighed: eligibility.EvaluatedItem, rule: _Conjunction) -> bool:
    """Whether conduct of a successor began before the boundary: it is linked, and continues not."""
    if rule.text != "succeeded" or rule.notice is None:
        return False
    return weighed.answer(eligibility.rule_names(rule.notice).linked) is Ternary.YES


def _missing_facts(
    weighed: Sequence[eligibility.EvaluatedItem], grounds: eligibility.Grounds, as_of: int
) -> tuple[tuple[Evidence, eligibility.Condition], ...]:
    """What is not known, of items and rules that nothing yet excludes."""
    needed: list[tuple[Evidence, eligibility.Condition]] = []
    for rule in _conjunctions(grounds, as_of):
        open_ = [[w for w in weighed if w.answer(p) is not Ternary.NO] for p in rule.parts]
        if not all(open_):
            continue
        for part, some in zip(rule.parts, open_, strict=True):
            if any(w.answer(part) is Ternary.YES for w in some):
                continue
            needed += [
                (w.item, condition)
                for w in some
                for condition in w.rules[part]
                if condition.answer is Ternary.UNKNOWN
            ]
    return tuple(needed)


def _explain_disregarded(
    weighed: eligibility.EvaluatedItem, as_of: int, phrases: Phrases
) -> Phrase:
    """Why an item carries no rule: of each rule, the first condition that it does not meet."""
    if not weighed.rules:
        return phrases.sentence("no_notice", {"as_of": as_of})
    reasons = []
    for condition in _unmet_conditions(weighed):
        fails = condition.answer is Ternary.NO
        phrase = phrases.condition(condition, weighed.item, fails=fails)
        reasons.append(phrase if fails else phrases.sentence("open", {"need": phrase}))
    return Phrase("reasons", {"parts": tuple(reasons)})


def _unmet_conditions(weighed: eligibility.EvaluatedItem) -> Iterator[eligibility.Condition]:
    """Of each rule that an item does not meet the condition that excludes it, or is not known."""
    for conditions in weighed.rules.values():
        unmet = [c for c in conditions if c.answer is not Ternary.YES]
        # One that is not met excludes, whatever else is not known.
        unmet.sort(key=lambda c: eligibility.RANK[c.answer])
        yield from unmet[:1]


def _boundary_flags(
    evidence: Sequence[Evidence], grounds: eligibility.Grounds, as_of: int
) -> Iterator[BoundaryFlag]:
    """Evidence whose dates touch the day at a boundary, with the result on its other side."""
    for notice in eligibility.notices_in_force(grounds, as_of):
        # The day that a notice names counts, or does not: the boundary is at its start or end.
        other = max(notice.effective_ms, notice.beyond_ms - DAY_MS)
        if other == notice.beyond_ms:
            other = notice.beyond_ms + DAY_MS
        first, past = sorted((other, notice.beyond_ms))
        touching = [item for item in evidence if _touches(item, first, past, as_of)]
        if not touching:
            continue
        otherwise = _result_with(evidence, grounds, notice, format_instant(other), as_of)
        for item in touching:
            yield BoundaryFlag(item.id, item.exhibit, notice.id, first, otherwise)


def _zone_flags(
    evidence: Sequence[Evidence], grounds: eligibility.Grounds, as_of: int
) -> Iterator[BoundaryFlag]:
    """Evidence whose dates touch the day at a boundary in some time zone, and in UTC do not."""
    for notice in eligibility.notices_in_force(grounds, as_of):
        start = notice.beyond_ms - DAY_MS
        if start != notice.effective_ms:
            continue  # no day of a calendar in UTC lies at this boundary
        first, past = start - AHEAD_MS, notice.beyond_ms + BEHIND_MS
        for item in evidence:
            if _touches(item, start, notice.beyond_ms, as_of):
                continue
            after = _touches(item, notice.beyond_ms, past, as_of)
            if not after and not _touches(item, first, start, as_of):
                continue
            moved = format_instant(past if after else first)
            otherwise = _result_with(evidence, grounds, notice, moved, as_of)
            yield BoundaryFlag(item.id, item.exhibit, notice.id, start, otherwise, "other")


def _result_with(
    evidence: Sequence[Evidence],
    grounds: eligibility.Grounds,
    notice: eligibility.PublicNotice,
    beyond: str,
    as_of: int,
) -> eligibility.Result:
    """The result if the boundary of a notice were another."""
    moved = msgspec.structs.replace(notice, beyond=beyond)
    others = tuple(moved if n.id == notice.id else n for n in grounds.notice)
    under = msgspec.structs.replace(grounds, notice=others)
    weighed = [eligibility.evaluate_item(item, under, as_of) for item in evidence]
    return eligibility.outcome(eligibility.combined_ranks(weighed, under, as_of))


def _touches(item: Evidence, first: int, past: int, as_of: int) -> bool:
    """Whether the dates of an item, as far as they are known, meet a stretch of time."""
    known = (item.known_began, item.known_lasted)
    if all(dates.earliest is None and dates.latest is None for dates in known):
        return False
    reach = eligibility.last_known if item.kind == "off_platform" else eligibility.first_known
    dates: DateRange = reach(item, as_of)
    starts = dates.earliest is None or dates.earliest < past
    return starts and dates.latest is not None and dates.latest >= first


def _sentences(found: _Found, writer: Writer) -> Iterator[Phrase]:
    """The reasons: result, rules with their items, what founds nothing, needs, flags.

    Needs that the writer puts into the same words are named once.
    """
    phrases = Phrases(found.context, found.party)
    items = {w.item.id: w.item for w in found.weighed}
    yield phrases.result(found.result, found.as_of)
    if found.later:
        yield from (phrases.bar(bar) for bar in found.context.bars if bar.since <= found.as_of)
    relied = dict.fromkeys(name for rule in found.rules for name in rule.evidence)
    for rule in found.rules:
        rests = [items[name] for name in rule.evidence]
        yield phrases.rule(rule.text, rule.notice, rests)
    for name in relied:
        yield phrases.item(items[name])
        yield from _figures(items[name], found, phrases)
    needed = {(item.id, condition.code) for item, condition in found.needs}
    for w in found.weighed:
        if w.item.id not in relied:
            yield from _disregarded_item(w, needed, found.as_of, phrases)
    for item in items.values():
        yield from _after_notices(item, found, phrases)
    if found.later:
        yield from _earlier_notices(list(items.values()), found, phrases)
    needs: dict[str, Phrase] = {}
    for item, condition in found.needs:
        need = phrases.condition(condition, item, fails=False)
        needs.setdefault(writer.render(need), need)
    for need in needs.values():
        yield phrases.sentence("needed", {"need": need})
    yield from _touched_boundaries(found, phrases)
    yield Phrase("dates_note")


def _touched_boundaries(found: _Found, phrases: Phrases) -> Iterator[Phrase]:
    """Evidence whose dates touch the day at a boundary, in UTC or in another zone."""
    notices = {notice.id: notice for notice in found.grounds.notice}
    for flag in found.flags:
        values: dict[str, Value] = {
            "exhibit": flag.exhibit,
            "notice": flag.notice,
            "day": flag.day,
            "beyond": notices[flag.notice].beyond_ms,
            "result": Phrase(f"words.{flag.otherwise}"),
        }
        in_utc = isinstance(flag.zone, UnsetType)
        yield phrases.sentence("boundary" if in_utc else "boundary_zone", values)


def _after_notices(item: Evidence, found: _Found, phrases: Phrases) -> Iterator[Phrase]:
    """Conduct of a related party after a notice to this one is named, whatever rests on it."""
    if not item.case_facts.conduct_of or item.confirmed == "no" or item.conduct == "neither":
        return
    for notice, arrived in found.context.notices.items():
        if eligibility.last_known(item, found.as_of).reaches(arrived + 1) is Ternary.YES:
            yield phrases.after_notice(item, notice, arrived)


def _figures(item: Evidence, found: _Found, phrases: Phrases) -> Iterator[Phrase]:
    """What the accounts of an item did, counted, where its exhibit is a run."""
    own = () if isinstance(item.accounts, UnsetType) else item.accounts
    for counted in found.context.figures.get(item.exhibit, ()):
        if found.later and counted.account in own:
            yield phrases.figures(item.exhibit, counted)


def _earlier_notices(
    items: Sequence[Evidence], found: _Found, phrases: Phrases
) -> Iterator[Phrase]:
    """Notices to a predecessor, and the party's own conduct after each."""
    for notice in found.context.earlier_notices:
        yield phrases.earlier_notice(notice)
        for item in items:
            own = item.confirmed != "no" and item.conduct != "neither"
            if not own or item.case_facts.conduct_of:
                continue
            if eligibility.last_known(item, found.as_of).reaches(notice.arrived + 1) is Ternary.YES:
                values: dict[str, Value] = {
                    "exhibit": item.exhibit, "notice": notice.notice,
                    "subject": phrases.name(found.party),
                }  # fmt: skip
                yield phrases.sentence("after_earlier", values)


def _disregarded_item(
    weighed: eligibility.EvaluatedItem, needed: Set[tuple[str, str]], as_of: int, phrases: Phrases
) -> Iterator[Phrase]:
    """An item that no rule rests on, and why, unless all of that is named as needed."""
    item = weighed.item
    yield phrases.item(item)
    unmet = {(item.id, condition.code) for condition in _unmet_conditions(weighed)}
    if not unmet or not unmet <= needed:
        why = _explain_disregarded(weighed, as_of, phrases)
        yield phrases.sentence("disregarded", {"exhibit": item.exhibit, "why": why})
