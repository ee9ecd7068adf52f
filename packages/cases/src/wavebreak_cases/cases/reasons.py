"""A determination's reasons in sentences, for lawyers, in each language of `cases/reasons.toml`.

A sentence names the party, the dates with what they rest on, the exhibit by its title, and the
rule's own text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from string import Template

import msgspec
from msgspec import UnsetType

from wavebreak import config
from wavebreak_cases.cases.date_ranges import DateRange
from wavebreak_cases.cases.eligibility import Condition, PublicNotice
from wavebreak_cases.cases.notices import Language
from wavebreak_cases.cases.parties import DateSource, Evidence

LANGUAGES: tuple[Language, ...] = ("en", "he")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Wording(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"and_": "and"}):
    """The words of one language."""

    dates_note: str
    months: tuple[str, ...]
    day: str
    exhibit: str
    source_person: str
    source_exhibit: str
    source_capture: str
    source_log: str
    and_: str
    span: dict[str, str]
    until: dict[str, str]
    words: dict[str, str]
    result: dict[str, str]
    rule: dict[str, str]
    item: dict[str, str]
    fails: dict[str, str]
    needs: dict[str, str]
    bases: dict[str, str] = {}


class Context(msgspec.Struct, frozen=True):
    """What sentences name: parties' names and exhibits' titles by id, notices to the party.

    What is not in it is named by its id. `notices` are when each arrived (ms).
    """

    parties: Mapping[str, str] = {}
    exhibits: Mapping[str, str] = {}
    notices: Mapping[str, int] = {}


@cache
def load_wording(language: Language) -> Wording:
    """Read the words of a language.

    >>> load_wording("en").words["not_eligible"]
    'not eligible'
    """
    every = config.load_config(config.resolve_path("cases/reasons.toml"), dict[str, Wording])
    return every[language]


class Writer:
    """Writes the sentences of one determination in one language."""

    def __init__(self, language: Language, context: Context, party: str) -> None:
        self.wording, self.context, self.party = load_wording(language), context, party

    def fill(self, template: str, values: Mapping[str, str | int]) -> str:
        """Fill a template in; a value named `date:x` is an instant, and fills in `$x`."""
        filled = {}
        for name, value in values.items():
            if name.startswith("date:"):
                filled[name.removeprefix("date:")] = self.day(int(value))
            else:
                filled[name] = str(value)
        return Template(template).substitute(filled)

    def day(self, ms: int) -> str:
        """Return the day of an instant, as people write it.

        >>> Writer("en", Context(), "P1").day(0)
        '1 January 1970'
        """
        at = _EPOCH + timedelta(milliseconds=ms)
        month = self.wording.months[at.month - 1]
        return self.fill(self.wording.day, {"day": at.day, "month": month, "year": at.year})

    def name(self, party: str) -> str:
        """Return a party's name."""
        return self.context.parties.get(party, party)

    def exhibit(self, exhibit: str) -> str:
        """Return an exhibit by its number and title."""
        title = self.context.exhibits.get(exhibit)
        if title is None:
            return exhibit
        return self.fill(self.wording.exhibit, {"exhibit": exhibit, "title": title})

    def dates(
        self, phrases: Mapping[str, str], dates: DateRange, source: DateSource | UnsetType
    ) -> str:
        """Return a date with what it rests on."""
        if isinstance(source, UnsetType) or (dates.earliest is None and dates.latest is None):
            return phrases["unknown"]
        first, last = (None if e is None else self.day(e) for e in (dates.earliest, dates.latest))
        how = "before" if first is None else "after" if last is None else "between"
        phrase = phrases["day" if first == last else how]
        said = self.fill(phrase, {"first": first or "", "last": last or ""})
        template = getattr(self.wording, f"source_{source.kind}")
        values = {"by": person(source.by), "basis": self.basis(source.basis)}
        rests = self.fill(template, values)
        return f"{said} ({rests})"

    def basis(self, basis: str) -> str:
        """Return what a date rests on in the language, where it is one of the program's own."""
        return self.wording.bases.get(basis, basis)

    def condition(self, condition: Condition, item: Evidence, *, fails: bool) -> str:
        """Put a condition that is not met into words: why it fails, or what would be needed."""
        words, wording = self.wording.words, self.wording
        values = dict(condition.values)
        for name in ("basis", "strength", "least"):
            if name in values:
                values[name] = words[str(values[name])]
        if "by" in values:
            values["by"] = person(str(values["by"]))
        values["exhibit"] = self.exhibit(item.exhibit)
        return self.fill((wording.fails if fails else wording.needs)[condition.code], values)

    def rule(self, rule: str, notice: PublicNotice | None, items: Iterable[Evidence]) -> str:
        """Return the text of a rule, and on which exhibits it rests.

        It is `R1`, or of a notice `continued`, `linked` or `succeeded`.
        """
        rests = self.fill(self.wording.item["rests"], {"exhibits": self.exhibits(items)})
        return f"{self._rule_text(rule, notice)} {rests}"

    def _rule_text(self, rule: str, notice: PublicNotice | None) -> str:
        texts = self.wording.rule
        if notice is None:
            return texts["R1"]
        reach = "R2" if len(notice.conduct) == 2 else f"R2_{notice.conduct[0]}"
        values = {"date:effective": notice.effective_ms, "date:beyond": notice.beyond_ms}
        return " ".join(self.fill(texts[name], values) for name in (reach, rule))

    def item(self, item: Evidence) -> str:
        """Return what an item shows of whom, since when and until when, and who confirmed it."""
        words, facts = self.wording.words, item.case_facts
        kinds = () if isinstance(item.violations, UnsetType) else item.violations
        known = f" {self.wording.and_} ".join(words[kind] for kind in kinds)
        conduct = "unknown_conduct" if item.conduct == "unknown" else item.conduct
        values: dict[str, str | int] = {
            "exhibit": self.exhibit(item.exhibit),
            "subject": self.name(self.party),
            "party": self.name(facts.conduct_of or self.party),
            "conduct": words.get(conduct, ""),
            "violations": known or words["unknown_violation"],
            "where": words[item.kind],
            "began": self.dates(self.wording.span, item.began, item.began_source),
            "lasted": self.dates(self.wording.until, item.lasted, item.lasted_source),
            "strength": words[item.strength],
            "basis": words[item.basis],
            "by": person(item.by),
            "why": facts.reviewed_why,
        }
        head = "shows" if item.confirmed == "yes" and not facts.rejected_by else "said"
        parts = [head + "_none" if item.conduct == "neither" else head, "dates"]
        parts.append("related" if facts.conduct_of else "tie")
        review = {"yes": "confirmed", "no": "refused"}.get(item.confirmed, "unconfirmed")
        parts.append(review)
        if facts.reading == "benign" and item.confirmed == "yes":
            parts.append("benign")
        if not isinstance(facts.erased_accounts, UnsetType):
            parts.append("erased")
            values["accounts"] = ", ".join(facts.erased_accounts)
        if facts.conduct_of:
            values |= self._relation(item)
        return " ".join(self.fill(self.wording.item[part], values) for part in parts)

    def exhibits(self, items: Iterable[Evidence]) -> str:
        """Return exhibits in a row."""
        named = list(dict.fromkeys(self.exhibit(item.exhibit) for item in items))
        last = f" {self.wording.and_} ".join(named[-2:])
        return ", ".join([*named[:-2], last])

    def _relation(self, item: Evidence) -> dict[str, str | int]:
        facts, words = item.case_facts, self.wording.words
        return {
            "relation": words[facts.relation],
            "relation_exhibit": facts.relation_exhibit,
            "relation_strength": words[facts.relation_strength],
        }

    def after_notice(self, item: Evidence, notice: str, sent: int) -> str:
        """Return that conduct of a related party came after a notice to this one."""
        values: dict[str, str | int] = {
            "exhibit": self.exhibit(item.exhibit),
            "party": self.name(item.case_facts.conduct_of),
            "subject": self.name(self.party),
            "notice": notice,
            "date:sent": sent,
        }
        return self.fill(self.wording.item["after_notice"], values | self._relation(item))

    def sentence(self, kind: str, values: Mapping[str, str | int]) -> str:
        """Return a sentence about an item by its kind; `exhibit` in it is a number."""
        named = {"exhibit": self.exhibit(str(values["exhibit"]))} if "exhibit" in values else {}
        return self.fill(self.wording.item[kind], {**values, **named})

    def result(self, result: str, as_of: int) -> str:
        """Return the sentence that says the result."""
        values: dict[str, str | int] = {"date:as_of": as_of, "party": self.name(self.party)}
        return self.fill(self.wording.result[result], values)


def person(name: str) -> str:
    """Return a person as sentences name them: an account of the console by its name alone.

    >>> person("user:dana")
    'dana'
    """
    return name.removeprefix("user:")


def unique(sentences: Iterable[str]) -> tuple[str, ...]:
    """Return sentences in their order, each once."""
    return tuple(dict.fromkeys(sentences))
