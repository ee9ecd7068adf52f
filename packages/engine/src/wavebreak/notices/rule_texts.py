"""Sentences for holders: the fact behind each rule, without thresholds or other people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from wavebreak import config
from wavebreak.features.catalog import FEATURES

Term = Literal["bulk", "automated", "non_personal"]

_PATH = Path(__file__).resolve().parent / "rule_texts.toml"
_FAMILIES = {feature.name: feature.family for feature in FEATURES}
MOST_ASPECTS = 3


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
        return list(dict.fromkeys(filter(None, phrases)))[:MOST_ASPECTS]

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
    return config.load_config(_PATH, RuleTexts)
