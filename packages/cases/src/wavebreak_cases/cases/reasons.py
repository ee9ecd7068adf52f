"""A determination's reasons for lawyers: phrases of codes and values, and their words.

A sentence names the party, the dates with what they rest on, the exhibit by its title, and the
rule's own text. `Phrases` builds it of codes and values, which a determination seals. `Writer` puts
it into the words of a language: those of `cases/reasons.toml`, or of that language's catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from string import Template
from typing import Any, Literal, NamedTuple, TypeAlias, Union

import msgspec
from msgspec import UnsetType

from wavebreak import config
from wavebreak.durations import DAY_MS
from wavebreak.languages import SOURCE_LANGUAGE, get_language
from wavebreak_cases.cases.date_ranges import DateRange, format_instant, parse_instant
from wavebreak_cases.cases.eligibility import Condition, PublicNotice
from wavebreak_cases.cases.notices import Language
from wavebreak_cases.cases.parties import Bar, DateSource, Evidence, HeldTie, WeakTie

Value: TypeAlias = Union[str, int, "Phrase", tuple["Phrase", ...]]


class Phrase(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A sentence or a part of one, before it is in words.

    Attributes:
        code: The table and key of its words in `cases/reasons.toml`; of several parts `sentence`,
            `and`, `list` or `reasons`, which say how they are joined; `basis` of a date.
        values: What is filled in by name: text as it is given, an instant (ms) of which the day is
            named, a phrase, or the parts.
    """

    code: str
    values: dict[str, Value] = {}


class Wording(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"and_": "and"}):
    """The words of one language."""

    dates_note: str
    exhibit: str
    source_person: str
    source_exhibit: str
    source_capture: str
    source_log: str
    and_: str
    party: str
    span: dict[str, str]
    until: dict[str, str]
    words: dict[str, str]
    result: dict[str, str]
    rule: dict[str, str]
    item: dict[str, str]
    fails: dict[str, str]
    needs: dict[str, str]
    supposed: dict[str, str]
    held: dict[str, str]
    related: dict[str, str]
    bar: dict[str, str]
    bases: dict[str, str]

    def find(self, code: str) -> str:
        """Return the words of a code; raises `KeyError` where there are none."""
        table, _, key = code.partition(".")
        words = getattr(self, table, None)
        if isinstance(words, dict) and key:
            return str(words[key])
        if key or not isinstance(words, str):
            raise KeyError(code)
        return words


class EarlierNotice(NamedTuple):
    """A notice to a party's predecessor: when it arrived (ms), and what shows the succession."""

    notice: str
    party: str
    arrived: int
    exhibit: str
    strength: str


class AccountFigures(NamedTuple):
    """What became of an account's messages in a run, and how often it was reported.

    `enforcement` and `carried` are None where the exhibit did not record them.
    """

    account: str
    attempted: int
    platform: int
    enforcement: int | None
    carried: int | None
    reports: int


class Context(msgspec.Struct, frozen=True):
    """What sentences name: parties' names and exhibits' titles by id, notices to the party.

    What is not in it is named by its id. `notices` are when each arrived (ms).

    Attributes:
        earlier_notices: Notices to a party that this one succeeded.
        bars: What stands in the way of action against the party, or stood.
        figures: By exhibit, what its accounts did, counted.
    """

    parties: Mapping[str, str] = {}
    exhibits: Mapping[str, str] = {}
    notices: Mapping[str, int] = {}
    earlier_notices: tuple[EarlierNotice, ...] = ()
    bars: tuple[Bar, ...] = ()
    figures: Mapping[str, tuple[AccountFigures, ...]] = {}


@cache
def load_wording(language: Language) -> Wording:
    """Read the words of a language.

    >>> load_wording("en").words["not_eligible"]
    'not eligible'
    """
    english = config.read_toml(config.resolve_path("cases/reasons.toml"))
    words = get_language(language).translate_table("reasons", english)
    words["bases"] = dict(zip(english["bases"], words["bases"], strict=True))
    return msgspec.convert(words, Wording)


def _phrase(code: str, values: Mapping[str, Value] | None = None) -> Phrase:
    """Build a phrase with those values that its English words name."""
    named = Template(load_wording(SOURCE_LANGUAGE).find(code)).get_identifiers()
    return Phrase(code, {name: values[name] for name in named} if values else {})


def _word(code: str) -> Phrase:
    return _phrase(f"words.{code}")


class Phrases:
    """Builds the sentences of one determination."""

    def __init__(self, context: Context, party: str) -> None:
        self.context, self.party = context, party

    def name(self, party: str) -> str:
        """Return a party's name."""
        return self.context.parties.get(party, party)

    def exhibit(self, exhibit: str) -> str | Phrase:
        """Return an exhibit by its number and title."""
        title = self.context.exhibits.get(exhibit)
        return exhibit if title is None else Phrase("exhibit", {"exhibit": exhibit, "title": title})

    def dates(
        self, end: Literal["span", "until"], dates: DateRange, source: DateSource | UnsetType
    ) -> Phrase:
        """Return when conduct was or until when it lasted, with what that rests on."""
        if isinstance(source, UnsetType) or (dates.earliest is None and dates.latest is None):
            return _phrase(f"{end}.unknown")
        known: dict[str, Value] = {}
        if dates.earliest is not None:
            known["first"] = dates.earliest
        if dates.latest is not None:
            known["last"] = dates.latest
        same = len(known) == 2 and day_of(dates.earliest) == day_of(dates.latest)
        how = "day" if same else "before" if "first" not in known else "after"
        if len(known) == 2 and not same:
            how = "between"
        basis = Phrase("basis", {"text": source.basis})
        rests: dict[str, Value] = {"by": person(source.by), "basis": basis}
        parts = (_phrase(f"{end}.{how}", known), _phrase(f"source_{source.kind}", rests))
        return Phrase("dated", {"parts": parts})

    def held(self, tie: HeldTie) -> Phrase:
        """Return since when and until when a tie held, with what that rests on."""
        dates, values = tie.dates, dict[str, Value]()
        if dates.since.earliest is not None or dates.since.latest is not None:
            values["since"] = self.dates("span", dates.since, dates.source)
        if dates.until.earliest is not None or dates.until.latest is not None:
            values["until"] = self.dates("until", dates.until, dates.source)
        which = "both" if len(values) == 2 else next(iter(values), "unknown")
        return _phrase(f"{'held' if tie.account else 'related'}.{which}", values)

    def condition(self, condition: Condition, item: Evidence, *, fails: bool) -> Phrase:
        """Return of a condition that is not met why it fails, or what would be needed."""
        values: dict[str, Value] = {
            name.removeprefix("date:"): self.held(value) if isinstance(value, HeldTie) else value
            for name, value in condition.values.items()
        }
        for name in ("basis", "strength", "least"):
            if name in values:
                values[name] = _word(str(values[name]))
        if "by" in values:
            values["by"] = person(str(values["by"]))
        values["exhibit"] = self.exhibit(item.exhibit)
        return _phrase(f"{'fails' if fails else 'needs'}.{condition.code}", values)

    def rule(self, rule: str, notice: PublicNotice | None, items: Iterable[Evidence]) -> Phrase:
        """Return the text of a rule, and on which exhibits it rests.

        It is `R1`, or of a notice `continued`, `linked` or `succeeded`.
        """
        codes, values = ["R1"], dict[str, Value]()
        if notice is not None:
            both = len(notice.conduct) == 2
            codes = ["R2" if both else f"R2_{notice.conduct[0]}", rule]
            values = {"effective": notice.effective_ms, "beyond": notice.beyond_ms}
        rests = _phrase("item.rests", {"exhibits": self.exhibits(items)})
        return _sentence([*(_phrase(f"rule.{code}", values) for code in codes), rests])

    def item(self, item: Evidence) -> Phrase:
        """Return what an item shows of whom, since when and until when, and who confirmed it."""
        facts = item.case_facts
        values = self._item_values(item)
        head = "shows" if item.confirmed == "yes" and not facts.rejected_by else "said"
        parts = [head + "_none" if item.conduct == "neither" else head]
        parts += ["joint"] * (not isinstance(item.jointly, UnsetType))
        parts += ["part"] * (not isinstance(item.part, UnsetType)) + ["dates"]
        parts.append("related" if facts.conduct_of else "tie")
        translated = item.confirmed == "yes" and not isinstance(facts.translation, UnsetType)
        reviewed = {"yes": "translated" if translated else "confirmed", "no": "refused"}
        parts.append(reviewed.get(item.confirmed, "unconfirmed"))
        if facts.reading == "benign" and item.confirmed == "yes":
            parts.append("benign")
        if not isinstance(facts.erased_accounts, UnsetType):
            parts.append("erased")
            values["accounts"] = ", ".join(facts.erased_accounts)
        if facts.conduct_of:
            values |= self._relation(item)
        weaker = () if isinstance(facts.weaker_ties, UnsetType) else facts.weaker_ties
        said = [_phrase(f"item.{part}", values) for part in parts]
        said += [self._weaker_tie(tie, values) for tie in weaker]
        return _sentence(said)

    def _weaker_tie(self, tie: WeakTie, values: Mapping[str, Value]) -> Phrase:
        """Return how an item's account is tied, where the item itself is tied more strongly."""
        of_account: dict[str, Value] = {
            "account": tie.account,
            "strength": _word(str(tie.strength)),
            "basis": _word(str(tie.basis)),
            "tie": tie.exhibit,
        }
        reason = "_reason" if values["why"] else ""
        return _phrase(f"item.weaker{reason}", {**values, **of_account})

    def _item_values(self, item: Evidence) -> dict[str, Value]:
        facts = item.case_facts
        kinds = () if isinstance(item.violations, UnsetType) else item.violations
        conduct = "unknown_conduct" if item.conduct == "unknown" else item.conduct
        known = Phrase("and", {"parts": tuple(map(_word, kinds))})
        values: dict[str, Value] = {}
        if not isinstance(item.jointly, UnsetType):
            values["others"] = Phrase("list", {"parts": tuple(map(self._party, item.jointly))})
        if not isinstance(item.part, UnsetType):
            values["part"] = item.part
        if not isinstance(facts.translation, UnsetType):
            by = facts.translation
            values |= {"language": by.language, "translator": by.translator}
            values["translation"] = by.exhibit
        return values | {
            "exhibit": self.exhibit(item.exhibit),
            "subject": self.name(self.party),
            "party": self.name(facts.conduct_of or self.party),
            "conduct": "" if conduct == "neither" else _word(conduct),
            "violations": known if kinds else _word("unknown_violation"),
            "where": _word(item.kind),
            "began": self.dates("span", item.began, item.began_source),
            "lasted": self.dates("until", item.lasted, item.lasted_source),
            "strength": _word(item.strength),
            "basis": _word(item.basis),
            "by": person(item.by),
            "why": facts.reviewed_why,
        }

    def _party(self, party: str) -> Phrase:
        return _phrase("party", {"party": self.name(party)})

    def exhibits(self, items: Iterable[Evidence]) -> Phrase:
        """Return exhibits in a row, each once."""
        ids = dict.fromkeys(item.exhibit for item in items)
        titles = self.context.exhibits
        parts = (Phrase("exhibit", {"exhibit": id_, "title": titles.get(id_, "")}) for id_ in ids)
        return Phrase("list", {"parts": tuple(parts)})

    def _relation(self, item: Evidence) -> dict[str, Value]:
        facts = item.case_facts
        return {
            "relation": _word(facts.relation),
            "relation_exhibit": facts.relation_exhibit,
            "relation_strength": _word(facts.relation_strength),
        }

    def after_notice(self, item: Evidence, notice: str, sent: int) -> Phrase:
        """Return that conduct of a related party came after a notice to this one."""
        values: dict[str, Value] = {
            "exhibit": self.exhibit(item.exhibit),
            "party": self.name(item.case_facts.conduct_of),
            "subject": self.name(self.party),
            "notice": notice,
            "sent": sent,
        }
        return _phrase("item.after_notice", values | self._relation(item))

    def earlier_notice(self, notice: EarlierNotice) -> Phrase:
        """Return that a notice went to a party that this one succeeded."""
        values: dict[str, Value] = {
            "notice": notice.notice,
            "party": self.name(notice.party),
            "subject": self.name(self.party),
            "sent": notice.arrived,
            "relation_exhibit": notice.exhibit,
            "relation_strength": _word(notice.strength),
        }
        return _phrase("item.earlier_notice", values)

    def bar(self, bar: Bar) -> Phrase:
        """Return what stands in the way of action, since when and, if it ended, until when."""
        values: dict[str, Value] = {
            "subject": self.name(self.party), "since": bar.since, "tie": bar.exhibit,
        }  # fmt: skip
        ended = not isinstance(bar.until, UnsetType)
        if not isinstance(bar.until, UnsetType):
            values["until"] = bar.until
        return _phrase(f"bar.{bar.kind}{'_ended' if ended else ''}", values)

    def figures(self, exhibit: str, own: AccountFigures) -> Phrase:
        """Return what became of an account's messages in a run, counted."""
        counts = own._asdict()
        account = counts.pop("account")
        values: dict[str, Value] = {
            name: _word("not_recorded") if count is None else f"{count:,}"
            for name, count in counts.items()
        }
        named: dict[str, Value] = {"exhibit": self.exhibit(exhibit), "account": account}
        return _phrase("item.figures", values | named)

    def sentence(self, kind: str, values: Mapping[str, Value]) -> Phrase:
        """Return a sentence about an item by its kind; `exhibit` in it is a number."""
        named = {"exhibit": self.exhibit(str(values["exhibit"]))} if "exhibit" in values else {}
        return _phrase(f"item.{kind}", {**values, **named})

    def result(self, result: str, as_of: int) -> Phrase:
        """Return the sentence that says the result."""
        return _phrase(f"result.{result}", {"as_of": as_of, "party": self.name(self.party)})


def _sentence(parts: Iterable[Phrase]) -> Phrase:
    return Phrase("sentence", {"parts": tuple(parts)})


class Writer:
    """Puts phrases into the words of one language."""

    def __init__(self, language: Language, context: Context | None = None, party: str = "") -> None:
        self.wording, self._language = load_wording(language), get_language(language)
        self._phrases = Phrases(context or Context(), party)

    def render(self, phrase: Phrase) -> str:
        """Return a phrase in words.

        Raises:
            KeyError: There are no words for its code, or a value is missing: it was sealed by
                another version.

        >>> Writer("en").render(Phrase("result.eligible", {"as_of": 0, "party": "Bulk Co"}))
        'As of 1 January 1970, the evidence allows legal action against Bulk Co.'
        """
        values, joint = phrase.values, f" {self.wording.and_} "
        if phrase.code == "basis":
            return self.basis(str(values["text"]))
        if phrase.code in ("sentence", "and", "list", "reasons", "dated"):
            parts = values["parts"]
            words = [self.render(part) for part in parts] if isinstance(parts, tuple) else []
            match phrase.code:
                case "sentence":
                    return " ".join(words)
                case "and":
                    return joint.join(words)
                case "list":
                    words = list(unique(words))
                    return ", ".join([*words[:-2], joint.join(words[-2:])])
                case "dated":
                    return f"{words[0]} ({words[1]})"
            return "; ".join(unique(words))
        if phrase.code == "exhibit" and not values["title"]:
            return str(values["exhibit"])
        words_of = {name: self._value(value) for name, value in values.items()}
        return Template(self.wording.find(phrase.code)).substitute(words_of)

    def _value(self, value: Value) -> str:
        if isinstance(value, Phrase):
            return self.render(value)
        return self.day(value) if isinstance(value, int) else str(value)

    def supposition(self, phrase: Phrase) -> str:
        """Return what a determination supposes otherwise, of a phrase of `supposition`.

        >>> Writer("en").supposition(supposition("strong", "E1", "V1"))
        'E1 (V1): it is tied to the party strongly'
        """
        values = {name: str(value) for name, value in phrase.values.items()}
        for name in ("least", "did"):
            if name in values:
                values[name] = self.wording.words[values[name]]
        if "at" in values:
            values["at"] = self.instant(parse_instant(values["at"]))
        return _supposed(self.wording, phrase.code, values)

    def instant(self, ms: int) -> str:
        """Return an instant to the second, in UTC."""
        return f"{self.day(ms)}, {format_instant(ms - ms % 1000)[11:19]}"

    def day(self, ms: int) -> str:
        """Return the day of an instant, as people write it.

        >>> Writer("en").day(0)
        '1 January 1970'
        """
        return self._language.format_day(ms)

    def exhibit(self, exhibit: str) -> str:
        """Return an exhibit by its number and title."""
        return self._value(self._phrases.exhibit(exhibit))

    def dates(
        self, end: Literal["span", "until"], dates: DateRange, source: DateSource | UnsetType
    ) -> str:
        """Return when conduct was or until when it lasted, with what that rests on."""
        return self.render(self._phrases.dates(end, dates, source))

    def basis(self, basis: str) -> str:
        """Return what a date rests on in the language, where it is one of the program's own."""
        return self.wording.bases.get(basis, basis)


def supposition(code: str, exhibit: str = "", evidence: str = "", **values: str) -> Phrase:
    """Return the phrase of something that a determination supposes otherwise, of an item or not.

    Its values are as they stand in the policy: instants `at`, codes `least` and `did`.
    """
    item = {"exhibit": exhibit, "evidence": evidence} if evidence else {}
    return Phrase(f"supposed.{code}", {**item, **values})


def plain_supposition(phrase: Phrase) -> str:
    """Return the English of a supposition with its values as they are, as determinations seal it.

    >>> plain_supposition(supposition("until", at="2019-12-08T00:00:00Z"))
    'the conduct is shown until 2019-12-08T00:00:00Z'
    """
    values: dict[str, Any] = dict(phrase.values)
    return _supposed(load_wording(SOURCE_LANGUAGE), phrase.code, values)


def _supposed(wording: Wording, code: str, values: Mapping[str, str]) -> str:
    words = Template(wording.find(code)).substitute(values)
    return f"{values['exhibit']} ({values['evidence']}): {words}" if "evidence" in values else words


def day_of(ms: int | None) -> int | None:
    """Return the number of an instant's day (UTC)."""
    return None if ms is None else ms // DAY_MS


def person(name: str) -> str:
    """Return a person as sentences name them: an account of the console by its name alone.

    >>> person("user:dana")
    'dana'
    """
    return name.removeprefix("user:")


def unique(sentences: Iterable[str]) -> tuple[str, ...]:
    """Return sentences in their order, each once."""
    return tuple(dict.fromkeys(sentences))
