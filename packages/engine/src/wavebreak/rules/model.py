"""Data model of a policy: rules, actions, enforcement terms, and their units."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from wavebreak.durations import Duration
from wavebreak.features import allowance, sequential_tests
from wavebreak.features.layout import STAGES as STAGES
from wavebreak.outcomes import Outcome
from wavebreak.rules.conditions import When, expression_of
from wavebreak.schema.events import Channel

MAX_RULES = 64

BASES: dict[str, Outcome] = {
    "doubt": "limit",
    "takeover": "challenge",
    "evidence": "ban",
    "impossible": "suspend",
    "tie": "suspend",
    "person": "ban",
}
"""What a rule may rest on, and the most severe outcome that it then decides: doubt slows, evidence
silences. No rule alone decides what has no end: `evidence` bans after repeated restrictions only.
`evidence`: what recipients did, by a test with a stated bound; `impossible`: acts that no person
can do, towards strangers; `takeover`: marks of a hijacked account, whose owner is asked; `tie`:
ties to accounts found abusive, beside evidence of the account's own; `person`: somebody has judged
it."""

Basis = Literal["doubt", "takeover", "evidence", "impossible", "tie", "person"]
Stage = Literal["registration", "messaging", "feedback", "review"]
Word = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{1,47}$")]
Sentence = Annotated[str, Meta(min_length=8, max_length=1000)]
Day = Annotated[str, Meta(pattern="^20[0-9]{2}-[01][0-9]-[0-3][0-9]$")]
Example = dict[str, float]
Examples = Annotated[tuple[Example, ...], Meta(min_length=1)]


class OwnFeature(Struct, frozen=True):
    """A feature that a user has declared by a Python function (`own_features.feature`).

    Attributes:
        name: Its name in conditions.
        unit: Its unit, one of the catalogue's.
        about: What it says of an account.
        bounds: Least and greatest value; the feature is missing outside of them.
        inputs: The features that it reads, in the order of the function's parameters.
        source: Generated Python of the function `own_<name>`, which rules call.
    """

    name: Word
    unit: str
    about: Sentence
    bounds: tuple[float, float]
    inputs: Annotated[tuple[str, ...], Meta(min_length=1)]
    source: str


class Rule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule of a policy; `when` is evaluated on the kinds of fact in `on`.

    Exactly one of `outcome` and `label` is given. `hold` (`for` in TOML) is the duration of a timed
    outcome. `fires_on` and `stays_quiet_on` are examples; features that an example does not name
    are missing. `on_failure` decides whether an act may pass (open) or not (closed) where the
    engine does not answer; without it service.toml decides by stage.
    `needs_split` marks a rule with more conditions than a reader can follow. `aliases` are ids that
    the rule had in earlier versions: it is found by them too. `basis` says what it rests on (see
    `BASES`), `new_chats_1d` what its limit leaves, `false_actions` whom it will
    wrongly meet and how often, `review_by` when somebody looks at it again. `own` are the user's
    own features that it names; the loader sets them, a file cannot.
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
    basis: Basis = "doubt"
    new_chats_1d: Annotated[int, Meta(ge=0, le=254)] | None = None
    false_actions: Sentence | None = None
    review_by: Day | None = None
    hold: Duration | None = msgspec.field(name="for", default=None)
    action: Word | None = None
    mode: Literal["enforce", "shadow"] = "shadow"
    on_failure: Literal["open", "closed"] | None = None
    fires_on: Examples
    stays_quiet_on: Examples
    own: tuple[OwnFeature, ...] | UnsetType = UNSET

    @property
    def own_features(self) -> tuple[OwnFeature, ...]:
        """The user's own features that the rule reads."""
        return () if self.own is UNSET else self.own

    @property
    def expression(self) -> str:
        """The expression that `when` means."""
        return expression_of(self.when)


class Action(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the platform does for an outcome, and how to undo it.

    Each outcome has the action of its own name; a rule may name another of the same outcome.
    """

    id: Word
    outcome: Outcome
    about: Sentence
    revert: Sentence


class EnforcementTerms(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Enforcement terms that apply to all rules.

    Attributes:
        new_chats_1d: New chats with strangers a day that a `limit` leaves, where its rule does not
            say; who has answered takes no place.
        suspend_after: From this restriction on, a restriction is a suspension.
        double_at_most: How often the duration doubles from one restriction to the next.
        observe: Duration of `observe`.
        grace: After a passed challenge, rules that had matched do not match for so long.
        benign_grace: The same after a label `benign`.
    """

    new_chats_1d: Annotated[int, Meta(ge=0, le=254)]
    suspend_after: Annotated[int, Meta(ge=1, le=255)]
    double_at_most: Annotated[int, Meta(ge=0, le=8)]
    observe: Duration
    grace: Duration
    benign_grace: Duration


class Allowance(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Unanswered strangers that an account may contact within an hour, in its first week and later.

    Attributes:
        newcomers: In the first week after registration.
        others: Later, and where the registration is not known.
        earned: At most so many more for strangers of earlier hours: a quarter for each, less twelve
            for each complaint. Nothing is earned where the stream carries no complaints.
    """

    newcomers: Annotated[int, Meta(ge=allowance.MIN_ALLOWANCE, le=4000)]
    others: Annotated[int, Meta(ge=allowance.MIN_ALLOWANCE, le=4000)]
    earned: Annotated[int, Meta(ge=0, le=4000)] = 0


def _default_allowance(row: str) -> Allowance:
    newcomers, others, earned = allowance.DEFAULTS[row]
    return Allowance(newcomers=newcomers, others=others, earned=earned)


class Allowances(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Allowances of first contacts by channel and declared lane.

    Attributes:
        personal: Accounts of people.
        business_app: Accounts on the small-business app.
        courier: Declared couriers. A lane's allowance holds while fewer than two of an account's
            strangers, and one in a hundred, complain; beyond that the channel's holds.
        clinic: Declared clinics.
        code_sender: Declared senders of codes.
        school: Declared schools.
        reported_server: Accounts of a server of which a tenth and more were found abusive.
    """

    personal: Allowance = _default_allowance("personal")
    business_app: Allowance = _default_allowance("business_app")
    courier: Allowance = _default_allowance("courier")
    clinic: Allowance = _default_allowance("clinic")
    code_sender: Allowance = _default_allowance("code_sender")
    school: Allowance = _default_allowance("school")
    reported_server: Allowance = _default_allowance("reported_server")

    def rows(self) -> tuple[tuple[int, int, int], ...]:
        """Return newcomers, others and earned of each row, in the order of `allowance.ROWS`."""
        rows = (getattr(self, name) for name in allowance.ROWS)
        return tuple((row.newcomers, row.others, row.earned) for row in rows)


class EvidenceTerms(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Floors and ceilings that honest accounts meet: what the sequential tests bet against.

    Attributes:
        early_reply: At least this share of their strangers answers within 1.6 hours.
        reply: The same within 24 hours.
        complaint: At most this share of their strangers blocks or reports them.
        complaint_of_reactions: Of their strangers' first reactions, an answer or a complaint, at
            most this share is a complaint.
        complaint_after_answer: At most this share of those who answered complains later.
        leave: At most this share of strangers leaves a group that they were added to.
        undeliverable: At most this share of their first messages to strangers reaches nobody.
    """

    early_reply: Annotated[float, Meta(gt=0, lt=1)] = sequential_tests.EARLY_REPLY
    reply: Annotated[float, Meta(gt=0, lt=1)] = sequential_tests.REPLY
    complaint: Annotated[float, Meta(gt=0, lt=0.5)] = sequential_tests.COMPLAINT
    complaint_of_reactions: Annotated[float, Meta(gt=0, lt=0.9)] = (
        sequential_tests.COMPLAINT_OF_REACTIONS
    )
    complaint_after_answer: Annotated[float, Meta(gt=0, lt=0.5)] = (
        sequential_tests.COMPLAINT_AFTER_ANSWER
    )
    leave: Annotated[float, Meta(gt=0, lt=0.16)] = sequential_tests.LEAVE
    undeliverable: Annotated[float, Meta(gt=0, lt=0.16)] = sequential_tests.UNDELIVERABLE


class Within(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The most severe outcome of a score on a stream that carries a feature."""

    carries: Word
    outcome: Outcome


class ScoreThresholds(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From which margin (log-odds) on one model's score asks for a limit.

    Margins of another model mean something else, so it is named, and another one is refused.

    Attributes:
        model: Version of the model, as `summary.json` and `wavebreak model show` name it.
        challenge: The margin of doubt, in place of the model's own (None: its own).
        restrict: The margin of strong doubt, alike.
    """

    model: Annotated[str, Meta(min_length=1, max_length=128)]
    challenge: Annotated[float, Meta(ge=-30, le=30)] | None = None
    restrict: Annotated[float, Meta(ge=-30, le=30)] | None = None


class Score(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Outcomes that a model's score may request; the thresholds are the model's own, or a policy's.

    A score is doubt: a limit at most, and a passed challenge raises what it leaves.

    Attributes:
        mode: In `shadow` the score is recorded and decides nothing. `home`: so is that of a model
            that was learned elsewhere, and no rule reads it; one that this platform has learned by
            itself decides.
        new_chats_1d: New chats with strangers a day that its limit leaves.
        few_chats_1d: The same on strong doubt.
        hold: Duration of each timed outcome.
        most: The first entry whose feature the stream carries limits the outcome.
        without: The limit where no entry of `most` applies.
        silent: The limit for an account that has started no chat.
        silent_carries: A feature without which a score requests no more than observe of such an
            account: what is known of a registration without numbers is too little. Empty: none.
        spares: Channels on which a score requests nothing.
        thresholds: In place of the model's thresholds, a platform's own. Without them nothing is
            encoded, so that a policy has the version that it had before there were any.
    """

    mode: Literal["enforce", "shadow", "home"] = "shadow"
    new_chats_1d: Annotated[int, Meta(ge=0, le=254)] = 10
    few_chats_1d: Annotated[int, Meta(ge=0, le=254)] = 4
    hold: dict[Outcome, Duration] = {}
    most: tuple[Within, ...] = ()
    without: Outcome = "limit"
    silent: Outcome = "limit"
    silent_carries: str | UnsetType = UNSET
    spares: tuple[Channel, ...] = ()
    thresholds: ScoreThresholds | UnsetType = UNSET


class Feedback(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a sender is notified of an outcome: at once, or between two delays after the decision.

    Until then a refused act has no visible effect, so that a probing sender learns little.
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
    evidence: EvidenceTerms = field(default_factory=EvidenceTerms)
    allowances: Allowances = field(default_factory=Allowances)

    @cached_property
    def version(self) -> str:
        """Name and first 12 hex digits of the SHA-256 of the canonical content.

        Fields of a rule that decide nothing in a log are not part of it (`on_failure`,
        `needs_split`, `aliases`, `false_actions`, `review_by`), nor is the form in which its
        conditions are written.
        """
        actions = sorted(self.actions.items())
        tables = (self.enforcement, self.score, self.feedback, self.evidence, self.allowances)
        content: Any = (self.rules, actions, *tables)
        content = msgspec.to_builtins(content, order="deterministic")
        for rule, fields in zip(self.rules, content[0], strict=True):
            for name in ("on_failure", "needs_split", "aliases", "false_actions", "review_by"):
                del fields[name]
            fields["when"] = rule.expression
        canonical = msgspec.json.encode(content)
        return f"{self.name}-{hashlib.sha256(canonical).hexdigest()[:12]}"

    @property
    def own_features(self) -> dict[str, OwnFeature]:
        """The user's own features that rules read, by name."""
        return {feature.name: feature for rule in self.rules for feature in rule.own_features}

    def rule(self, rule_id: str) -> Rule | None:
        """Return the rule of that id or, where there is none, of that alias; else None."""
        named = [rule for rule in self.rules if rule_id == rule.id]
        return next(iter(named or [rule for rule in self.rules if rule_id in rule.aliases]), None)
