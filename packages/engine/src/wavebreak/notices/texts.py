"""Texts to account holders: tables by subject, and the fact behind each rule.

No text names a threshold or another person. `rule_texts.toml` is the table of rules, `texts.toml`
that of all other subjects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from wavebreak import config
from wavebreak.engine.decision import EVIDENCE_COUNTS
from wavebreak.features.catalog import FEATURES
from wavebreak.languages import Language, msgid, msgids

Term = Literal["bulk", "automated", "non_personal"]
Audience = Literal["analyst", "holder"]

_DIRECTORY = Path(__file__).resolve().parent
_FAMILIES = {feature.name: feature.family for feature in FEATURES}
MAX_ASPECTS = 3
MIN_SILENT = 5
"""With fewer who neither answered nor complained, a holder is not told how many complained: nobody
must be able to conclude who did."""
_TESTS = ("unanswered_evidence", "leave_evidence", "undeliverable_evidence")

TEXTS: Mapping[str, Mapping[str, str]] = config.load_config(
    _DIRECTORY / "texts.toml", dict[str, dict[str, str]]
)
"""Texts in English by subject and name."""


class RuleText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one rule, or one kind of rule, says to a holder; see `rule_texts.toml`."""

    fact: str
    term: Term
    series: bool = False


class ScoreText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a decision by the model alone says; `aspects` are phrases by family of feature."""

    fact: str
    fact_without_aspects: str
    term: Term
    aspects: dict[str, str]


class RuleTexts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All sentences: by rule, by kind of abuse, by basis, and for the model.

    `former` are rules of earlier versions, whose decisions are still shown.
    """

    rule: dict[str, RuleText]
    former: dict[str, RuleText]
    abuse: dict[str, RuleText]
    basis: dict[str, RuleText]
    silence: dict[str, str]
    score: ScoreText

    def find(self, rule: str, abuse: str, basis: str) -> RuleText:
        """Return the text of a rule, else that of its kind of abuse, else that of its basis.

        >>> texts = load_rule_texts()
        >>> texts.find("instant_ban", "", "").term, texts.find("own_rule", "", "tie").series
        ('automated', True)
        """
        return (
            self.rule.get(rule)
            or self.former.get(rule)
            or self.abuse.get(abuse)
            or self.basis.get(basis)
            or self.basis["doubt"]
        )

    def facts(
        self,
        texts: Iterable[RuleText],
        values: Mapping[str, float | None],
        language: Language,
    ) -> list[str]:
        """Return what rules rest on, for those whom a decision concerns: its holder, or a court.

        Args:
            texts: The texts of the rules.
            values: The features of the decision, of which the clearest sign is named.
            language: The language.
        """
        strength = {name: values.get(name) or 0.0 for name in _TESTS}
        clearest = max(strength, key=lambda name: strength[name])
        silence = language.gettext(self.silence[clearest if strength[clearest] > 0 else "unknown"])
        return [language.gettext(text.fact, silence=silence) for text in texts]

    def score_fact(self, contributions: Mapping[str, float], language: Language) -> str:
        """Return what a decision by the model rests on; `contributions` are log-odds by feature."""
        aspects = [language.gettext(phrase) for phrase in self.aspects(contributions)]
        if not aspects:
            return language.gettext(self.score.fact_without_aspects)
        return language.gettext(self.score.fact, aspects="; ".join(aspects))

    def aspects(self, contributions: Mapping[str, float]) -> list[str]:
        """Return what a model weighed most: phrases for its features that spoke for abuse.

        Args:
            contributions: Log-odds by feature.

        >>> load_rule_texts().aspects({"sends_1h": 0.4, "first_contacts_1d": 1.5, "typed": -2})
        ['how many people are written to first', 'how many messages are sent']
        """
        speaking = sorted((-value, name) for name, value in contributions.items() if value > 0)
        families = (_FAMILIES.get(name, "") for _, name in speaking)
        phrases = (self.score.aspects.get(family) for family in families)
        return list(dict.fromkeys(filter(None, phrases)))[:MAX_ASPECTS]

    def messages(self) -> Iterator[str]:
        """Return every text, for translation."""
        for table in (self.rule, self.former, self.abuse, self.basis):
            yield from (text.fact for text in table.values())
        yield from self.silence.values()
        yield self.score.fact
        yield self.score.fact_without_aspects
        yield from self.score.aspects.values()


@cache
def load_rule_texts() -> RuleTexts:
    """Read the shipped sentences.

    >>> load_rule_texts().rule["impossible_acts"].term
    'automated'
    """
    return config.load_config(_DIRECTORY / "rule_texts.toml", RuleTexts)


_CONTACTED = {
    "analyst": msgids(
        "{n} stranger that it wrote to first", "{n} strangers that it wrote to first"
    ),
    "holder": msgids("{n} person you wrote to first", "{n} people you wrote to first"),
}
_COMPLAINED = {
    "analyst": msgids(
        "{n} blocked or reported it, or did not know it",
        "{n} blocked or reported it, or did not know it",
    ),
    "holder": msgids(
        "{n} blocked or reported you, or does not know you",
        "{n} blocked or reported you, or do not know you",
    ),
}
_NOBODY_COMPLAINED = {
    "analyst": msgid("nobody blocked or reported it"),
    "holder": msgid("nobody blocked or reported you"),
}


def people_sentence(
    values: Mapping[str, float | None], audience: Audience, language: Language
) -> str:
    """Return how many people were written to first, answered and complained.

    Empty if the decision does not name these counts.

    >>> from wavebreak.languages import get_language
    >>> values = dict(zip(EVIDENCE_COUNTS, (21.0, 2.0, 17.0)))
    >>> people_sentence(values, "analyst", get_language("en"))
    'Of 21 strangers that it wrote to first, 2 answered and 17 blocked or reported it, or did not \
know it.'
    >>> people_sentence(values, "holder", get_language("en"))
    'Of 21 people you wrote to first, 2 answered and some people blocked or reported you, or do \
not know you.'
    """
    counts = [values.get(name) for name in EVIDENCE_COUNTS]
    contacts, answers, complaints = (int(count or 0) for count in counts)
    if any(count is None for count in counts) or not contacts:
        return ""
    answered = language.gettext("nobody answered")
    if answers:
        answered = language.ngettext("{n} answered", "{n} answered", answers)
    complained = language.gettext(_NOBODY_COMPLAINED[audience])
    if complaints and audience == "holder" and contacts - answers - complaints < MIN_SILENT:
        complained = language.gettext("some people blocked or reported you, or do not know you")
    elif complaints:
        complained = language.ngettext(*_COMPLAINED[audience], complaints)
    return language.gettext(
        "Of {people}, {answered} and {complained}.",
        people=language.ngettext(*_CONTACTED[audience], contacts),
        answered=answered,
        complained=complained,
    )


PUBLIC_REASONS = ("unclear", "my_case", "disagree", "person")
"""Reasons that a reader whom a help page did not help may choose."""


def public_text(language: Language, name: str, **values: object) -> str:
    """Return a text of the public pages.

    >>> from wavebreak.languages import get_language
    >>> public_text(get_language("en"), "received")
    'Your appeal was received'
    """
    return language.gettext(TEXTS["public"][name], **values)


def public_texts(language: Language) -> dict[str, str]:
    """Return the texts that need no value, by name.

    >>> from wavebreak.languages import get_language
    >>> public_texts(get_language("en"))["yes"]
    'Yes'
    """
    texts = TEXTS["public"].items()
    return {name: language.gettext(text) for name, text in texts if "{" not in text}
