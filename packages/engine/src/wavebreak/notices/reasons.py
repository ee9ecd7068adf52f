"""Facts behind a decision in sentences, for one audience: analyst, holder or court.

An analyst reads every count, beside the rules. The account's holder reads the fact of each rule
(`rule_texts.toml`), never a threshold or another person, and no count that reveals who complained.
A court reads the facts that the holder read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from wavebreak import config
from wavebreak.engine.decision import EVIDENCE_COUNTS, Decision
from wavebreak.features.catalog import FEATURES
from wavebreak.languages import Language, msgid, msgids
from wavebreak.reports.tables import number

Term = Literal["bulk", "automated", "non_personal"]
Audience = Literal["analyst", "holder", "court"]

_FAMILIES = {feature.name: feature.family for feature in FEATURES}
MAX_ASPECTS = 3
MIN_SILENT = 5
"""With fewer who neither answered nor complained, a holder is not told how many complained: nobody
must be able to conclude who did."""
_TESTS = ("unanswered_evidence", "leave_evidence", "undeliverable_evidence")


class RuleText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Text to a holder about one rule, or one kind of rule; see `rule_texts.toml`."""

    fact: str
    term: Term
    series: bool = False


class ScoreText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Text about a decision by the model alone; `aspects` are phrases by family of feature."""

    fact: str
    fact_without_aspects: str
    term: Term
    aspects: dict[str, str]


class RuleTexts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All sentences: by rule, by kind of abuse, by basis, and for the model.

    `former` are rules of earlier versions, for decisions that are still shown.
    """

    rule: dict[str, RuleText]
    former: dict[str, RuleText]
    abuse: dict[str, RuleText]
    basis: dict[str, RuleText]
    silence: dict[str, str]
    score: ScoreText

    def find(self, rule: str, abuse: str, basis: str) -> RuleText:
        """Return the text of a rule, else of the kind of abuse, else of the basis.

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
        """Return phrases for the features that weighed most for abuse in a model's score.

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
    return config.load_config(Path(__file__).resolve().with_name("rule_texts.toml"), RuleTexts)


_SET_BY_PERSON = msgid(
    "A person examined the account's activity and decided on this. Whether you broke our terms was "
    "left open."
)
_END_REASONS = {
    "person": msgid("A person reviewed your account and ended the restriction."),
    "challenge": msgid("The check was passed."),
}
"""Why a restriction ended, by basis."""


def is_set_by_person(decision: Mapping[str, Any]) -> bool:
    """Return whether a person chose the outcome itself, or ended the one in force."""
    return decision.get("basis") == "person" and not decision.get("rules")


def decision_facts(
    decision: Mapping[str, Any] | Decision,
    audience: Audience,
    language: Language,
    abuse: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the facts behind a decision in sentences.

    Args:
        decision: The stored decision.
        audience: An analyst reads counts; the rules are shown beside them. The holder reads the
            facts of rules, or of the model, with the counts that may be told. A court reads the
            facts of rules; empty if no rule decided.
        language: The language.
        abuse: Kind of abuse by rule, for rules of a local policy.

    >>> from wavebreak.languages import get_language
    >>> english = get_language("en")
    >>> decision = {"outcome": "restrict", "rules": ["instant_ban"], "reasons": [
    ...     {"feature": "trap_contacts_28d", "value": 2.0}]}
    >>> decision_facts(decision, "analyst", english)
    ['It wrote first to 2 traps in four weeks: numbers or accounts that nobody uses.']
    >>> decision_facts(decision, "court", english) == decision_facts(decision, "holder", english)
    True
    """
    content = msgspec.to_builtins(decision) if isinstance(decision, Decision) else decision
    reasons = content.get("reasons") or ()
    values = {reason["feature"]: reason.get("value") for reason in reasons}
    if audience == "analyst":
        facts = [
            people_sentence(values, audience, language),
            _traps_sentence(values, language),
            _operator_sentence(values, language),
        ]
    elif audience == "court":
        facts = _rule_facts(content, content["rules"], values, language, abuse or {})
    else:
        facts = _holder_facts(content, values, language, abuse or {})
    return list(dict.fromkeys(filter(None, facts)))


def _rule_facts(
    decision: Mapping[str, Any],
    rules: list[str],
    values: Mapping[str, float | None],
    language: Language,
    abuse: Mapping[str, str],
) -> list[str]:
    texts, basis = load_rule_texts(), str(decision.get("basis", ""))
    strength = {name: values.get(name) or 0.0 for name in _TESTS}
    clearest = max(strength, key=lambda name: strength[name])
    silence = language.gettext(texts.silence[clearest if strength[clearest] > 0 else "unknown"])
    rule_texts = (texts.find(rule, abuse.get(rule, ""), basis) for rule in rules)
    return [language.gettext(text.fact, silence=silence) for text in rule_texts]


def _holder_facts(
    decision: Mapping[str, Any],
    values: Mapping[str, float | None],
    language: Language,
    abuse: Mapping[str, str],
) -> list[str]:
    texts, basis = load_rule_texts(), str(decision.get("basis", ""))
    if decision["outcome"] == "allow":
        reason = _END_REASONS.get(basis, msgid("The reason for the restriction no longer applies."))
        return [language.gettext(reason)]
    if decision["rules"]:
        rules = decision["rules"][:1] if basis == "takeover" else decision["rules"]
        facts = _rule_facts(decision, rules, values, language, abuse)
    elif is_set_by_person(decision):
        facts = [language.gettext(_SET_BY_PERSON)]
    elif decision["score"] is None:
        facts = [language.gettext(texts.find("", "", basis).fact)]
    else:
        facts = [_score_fact(texts, decision, language)]
    if basis != "takeover":
        facts.insert(1, people_sentence(values, "holder", language))
    return facts


def _score_fact(texts: RuleTexts, decision: Mapping[str, Any], language: Language) -> str:
    contributions = {
        reason["feature"]: reason["contribution"]
        for reason in decision["reasons"]
        if reason.get("contribution") is not None
    }
    aspects = [language.gettext(phrase) for phrase in texts.aspects(contributions)]
    if not aspects:
        return language.gettext(texts.score.fact_without_aspects)
    return language.gettext(texts.score.fact, aspects="; ".join(aspects))


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
    answers_clause = language.gettext("nobody answered")
    if answers:
        answers_clause = language.ngettext("{n} answered", "{n} answered", answers)
    complained = language.gettext(_NOBODY_COMPLAINED[audience])
    if complaints and audience == "holder" and contacts - answers - complaints < MIN_SILENT:
        complained = language.gettext("some people blocked or reported you, or do not know you")
    elif complaints:
        complained = language.ngettext(*_COMPLAINED[audience], complaints)
    return language.gettext(
        "Of {people}, {answered} and {complained}.",
        people=language.ngettext(*_CONTACTED[audience], contacts),
        answered=answers_clause,
        complained=complained,
    )


def _traps_sentence(values: Mapping[str, float | None], language: Language) -> str:
    traps = int(values.get("trap_contacts_28d") or 0)
    if not traps:
        return ""
    return language.ngettext(
        "It wrote first to {n} trap in four weeks: a number or an account that nobody uses.",
        "It wrote first to {n} traps in four weeks: numbers or accounts that nobody uses.",
        traps,
        n=number(traps),
    )


def _operator_sentence(values: Mapping[str, float | None], language: Language) -> str:
    other_count = int(values.get("operator_accounts") or 0)
    abusive = int(values.get("operator_abusive_accounts") or 0)
    if not other_count:
        return ""
    accounts = language.ngettext(
        "{n} other account", "{n} other accounts", other_count, n=number(other_count)
    )
    if not abusive:
        return language.gettext(
            "It seems to be of one operator with {accounts}.", accounts=accounts
        )
    return language.ngettext(
        "It seems to be of one operator with {accounts}, of which {n} was found abusive.",
        "It seems to be of one operator with {accounts}, of which {n} were found abusive.",
        abusive,
        accounts=accounts,
        n=number(abusive),
    )
