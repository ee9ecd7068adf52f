"""What a policy says: rules, actions, and the scales they are written on. Values only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from wavebreak.features.layout import OUTCOMES as OUTCOMES
from wavebreak.features.layout import STAGES as STAGES
from wavebreak.rules.conditions import When, expression_of
from wavebreak.schema.events import Channel

TIMED = frozenset({"challenge", "limit", "restrict", "suspend"})
"""Outcomes that end by themselves, and so need `for`."""

MAX_RULES = 64

Outcome = Literal["allow", "observe", "challenge", "limit", "restrict", "suspend", "ban"]
Stage = Literal["registration", "messaging", "feedback", "review"]
Word = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{1,47}$")]
Sentence = Annotated[str, Meta(min_length=8, max_length=1000)]
Duration = Annotated[str, Meta(pattern="^[1-9][0-9]{0,5}[smhd]$")]
Example = dict[str, float]
Examples = Annotated[tuple[Example, ...], Meta(min_length=1)]

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def duration_seconds(duration: str) -> int:
    """Length of a duration such as `15m`, in seconds.

    >>> seconds("15m"), seconds("7d")
    (900, 604800)
    """
    return int(duration[:-1]) * _SECONDS[duration[-1]]


class Rule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule of a policy. `when` is read on the kinds of fact in `on`; see `conditions`.

    Exactly one of `outcome` and `label` is given. `hold` (`for` in TOML) is how long a timed
    outcome lasts. `fires_on` and `stays_quiet_on` are examples; a feature that an example does not
    name is missing. `on_failure` says whether an act that it would have judged may pass (open) or
    not (closed) where no engine answers; without it the service's own sheet says so by stage.
    `needs_split` marks a rule with more conditions than a reader can follow. `aliases` are ids that
    the rule had in earlier versions: it is found by them too.
    """

    id: Word
    aliases: tuple[Word, ...] = ()
    abuse: Word
    about: Sentence
    source: Sentence
    stage: Stage
    on: Annotated[tuple[str, ...], Meta(min_length=1)]
    when: When
    needs_split: bool = False
    outcome: Outcome | None = None
    label: Word | None = None
    hold: Duration | None = msgspec.field(name="for", default=None)
    action: Word | None = None
    mode: Literal["enforce", "shadow"] = "shadow"
    on_failure: Literal["open", "closed"] | None = None
    fires_on: Examples
    stays_quiet_on: Examples

    @property
    def expression(self) -> str:
        """The expression that `when` stands for."""
        return expression_of(self.when)


class Action(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the platform does for an outcome, and how it is undone.

    Each outcome has the action of its own name; a rule may name another of the same outcome.
    """

    id: Word
    outcome: Outcome
    about: Sentence
    revert: Sentence


class EnforcementTerms(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The numbers of enforcement that no rule holds.

    `new_chats_1d` is the quota of `limit`; from the `suspend_after`-th on a restriction is a
    suspension, and each is twice as long as the one before, doubled `double_at_most` times;
    `observe` is how long an account is watched; for
    `grace` after a passed challenge, `benign_grace` after a label benign, rules that had fired stay
    quiet.
    """

    new_chats_1d: Annotated[int, Meta(ge=0, le=100_000)]
    suspend_after: Annotated[int, Meta(ge=1, le=255)]
    double_at_most: Annotated[int, Meta(ge=0, le=8)]
    observe: Duration
    grace: Duration
    benign_grace: Duration


Evidence = Annotated[tuple[Word, ...], Meta(min_length=1)]


class Within(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The most that a score may ask for on a stream that carries a feature."""

    carries: Word
    outcome: Outcome


class Score(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model's score may do. Its thresholds are the model's own.

    `hold` is how long each timed outcome lasts. A score bans only an account on which rules of
    `families` families of `evidence` (family: abuses of the rules) have fired; else what it asks
    for is `otherwise`. Where a rule of an abuse in `recover` has fired, the account is taken for a
    victim's and a score asks for a challenge at most. The first of `most` whose feature the stream
    carries bounds what it may ask for, else `without` does; of who has started no chat it asks for
    `silent` at most. On the channels in `spares` it asks for nothing. In `shadow` it is noted and
    decides nothing.
    """

    mode: Literal["enforce", "shadow"] = "shadow"
    families: Annotated[int, Meta(ge=0, le=8)] = 2
    otherwise: Literal["restrict", "suspend"] = "suspend"
    hold: dict[Outcome, Duration] = {}
    evidence: Annotated[dict[Word, Evidence], Meta(max_length=8)] = {}
    recover: tuple[Word, ...] = ()
    most: tuple[Within, ...] = ()
    without: Outcome = "ban"
    silent: Outcome = "ban"
    spares: tuple[Channel, ...] = ()


class Feedback(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a sender is told of an outcome: at once, or between two delays after the decision.

    Until then a refusal looks like silence, so that a sender who probes learns little.
    """

    delay: dict[Outcome, tuple[Duration, Duration]] = {}


@dataclass(frozen=True)
class Policy:
    """A checked policy: at most 64 rules, a rule's index being its bit, and the actions by id.

    `features` and `kinds` are the vocabulary it was checked against, in code order.
    """

    name: str
    rules: tuple[Rule, ...]
    actions: dict[str, Action]
    enforcement: EnforcementTerms
    features: tuple[str, ...]
    kinds: tuple[str, ...]
    score: Score = field(default_factory=Score)
    feedback: Feedback = field(default_factory=Feedback)

    @cached_property
    def version(self) -> str:
        """Name and first 12 hex digits of the SHA-256 of the canonical content.

        Fields of a rule that decide nothing in a log are not part of it (`on_failure`,
        `needs_split`, `aliases`), nor is the form in which its conditions are written.
        """
        actions = sorted(self.actions.items())
        content: Any = (self.rules, actions, self.enforcement, self.score, self.feedback)
        content = msgspec.to_builtins(content, order="deterministic")
        for rule, fields in zip(self.rules, content[0], strict=True):
            del fields["on_failure"], fields["needs_split"], fields["aliases"]
            fields["when"] = rule.expression
        canonical = msgspec.json.encode(content)
        return f"{self.name}-{hashlib.sha256(canonical).hexdigest()[:12]}"

    def rule(self, rule_id: str) -> Rule | None:
        """Return the rule of that id or, where there is none, of that alias; else None."""
        named = [rule for rule in self.rules if rule_id == rule.id]
        return next(iter(named or [rule for rule in self.rules if rule_id in rule.aliases]), None)
