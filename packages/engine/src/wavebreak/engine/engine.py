"""Engine: batches of the log in, decisions out; its state can be saved and restored."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavebreak.engine.decision import Decision, Reason, build_decision
from wavebreak.engine.enforcement import FirstMessages
from wavebreak.engine.exchange import Alone, Exchange, shards_of
from wavebreak.engine.kernel_policy import Model, build_kernel_policy, rules_read_score
from wavebreak.engine.outside_lists import ListedEntry, OutsideLists
from wavebreak.engine.shard_group import ShardGroup, below
from wavebreak.engine.state_check import check_state
from wavebreak.features import layout, shards
from wavebreak.features.catalog import FEATURES, INDEX, coverage_mask, covered_features
from wavebreak.features.dry_run import DryRunResult, dry_run
from wavebreak.features.facts import Fanout, Segment
from wavebreak.features.kernel import NO_CHANGE
from wavebreak.features.keyed_hash import random_secret
from wavebreak.linking import Linker, Operator
from wavebreak.outcomes import OUTCOMES, rank_of
from wavebreak.rules import Policy, Program, compile_rules
from wavebreak.schema.coverage import Profile


def needs_model_reasons(decision: Decision) -> bool:
    """Whether a decision gets the model's reasons: it has a score and is above observe."""
    return decision.score is not None and rank_of(decision.outcome) > rank_of("observe")


def with_model_reasons(
    decision: Decision, contributions: Mapping[str, float], values: Any
) -> Decision:
    """Return a decision with the model's reasons merged into those of its rules.

    `contributions` is in log-odds by feature, largest first; `values` float64[catalog].
    """
    read = {reason.feature: reason for reason in decision.reasons}
    for name, contribution in contributions.items():
        value = float(values[INDEX[name]])
        read[name] = Reason(name, value if value == value else None, contribution)
    return msgspec.structs.replace(decision, reasons=tuple(read.values()))


def features_version() -> str:
    """Return the version of catalog and layout: the first 12 hex digits of their SHA-256.

    >>> features_version().startswith("catalog-")
    True
    """
    content = repr(FEATURES) + layout.layout_digest()
    return f"catalog-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


class Judgement(NamedTuple):
    """What the accounts of one source are judged by: compiled rules, features, and terms.

    `challenges`: whether they can be asked for a challenge.
    """

    program: Program
    covered: frozenset[str]
    challenges: bool
    terms: shards.SourceTerms


def _with_rules_of(
    policy: shards.KernelPolicy, judgements: Iterable[Judgement]
) -> shards.KernelPolicy:
    """Return a policy whose masks of rules of a kind hold those of every source.

    A rule that is off for an account has not fired for it, so the masks may name more; but what a
    period of grace looks like must not depend on who reports an account.
    """
    for judgement in judgements:
        other = judgement.terms.policy
        policy = replace(
            policy, **{name: getattr(policy, name) | getattr(other, name) for name in _OF_RULES}
        )
    return policy


_OF_RULES = ("keep", "registration", "messaging", "person", "impossible")
_WHOLE = Profile({}, {}, 1, 0)


class Engine:
    """Computes features and decides over one log.

    Args:
        policy: Rules and enforcement settings.
        profile: Field coverage of the stream (None: everything).
        enforce: Drop the events that a decision refuses, so that later events see a protected
            network; without, decisions change nothing (shadow mode).
        workers: Threads that share the shards; the decisions do not depend on it.
        lateness_s: Seconds that an event may be older than the newest one before it.
        accounts: Accounts for which address space is reserved; more is reserved in steps.
        model: Scores accounts at scoring points (None: rules only).
        record: Whether scoring points are recorded for `points`.
        secret: Secret of the hashes of names, ids and pairs (None: a random one); the decisions do
            not depend on it.
        exchange: What this process and others say to each other that hold other shards (None: it
            holds all).

    Attributes:
        challenges: Whether the platform can ask for a challenge; else a limit is decided instead.
            Of several sources: whether each can.
        watch: Called with each segment that `take` processes, before it is (None: nothing).
        on_hit: Called with each hit (dtype HIT), of rules in shadow too, before what it decides
            (None: nothing).
        first_messages: Counts the first messages that are refused (None: nobody does).
        lists: What outside lists say, and what their word is worth; it decides nothing.
        by_source: What the accounts of each source are judged by, where the profile names sources.
    """

    def __init__(
        self, policy: Policy, profile: Profile | None = None, *, enforce: bool = False,
        workers: int = 1, lateness_s: int = 60, accounts: int = shards.RESERVED_ACCOUNTS,
        model: Model | None = None, record: bool = False, secret: bytes | None = None,
        exchange: Exchange | None = None,
    ) -> None:  # fmt: skip
        self.policy, self.enforce = policy, enforce
        self.model = model
        self._model = model.version if model else None
        self.covered = covered_features(profile, scored=rules_read_score(policy, model))
        self.program = compile_rules(policy, self.covered)
        secret = secret or random_secret()
        self.fanout = Fanout(lateness_s=lateness_s, secret=secret)
        self.challenges = profile.challenges if profile else True
        kernel_policy = build_kernel_policy(
            self.program, model, self.covered, challenges=self.challenges
        )
        self.linker = Linker(kernel_policy.tests, accounts=accounts, secret=secret)
        self.by_source = {
            name: self._judgement(source) for name, source in (profile or _WHOLE).sources.items()
        }
        kernel_policy = _with_rules_of(kernel_policy, self.by_source.values())
        self._whole = shards.SourceTerms(kernel_policy, coverage_mask(self.covered))
        self.core = shards.ShardedKernel(
            kernel_policy,
            coverage_mask(self.covered),
            enforce=enforce,
            workers=workers,
            accounts=accounts,
            record=record,
            secret=secret,
            own=shards_of(exchange.group, exchange.groups) if exchange else shards.ALL_SHARDS,
        )
        self.shards = ShardGroup(self.core, self.linker, exchange or Alone())
        if self.by_source:
            self.fanout.number_sources(self.by_source)
            self._judge_by_source()
        self.version = features_version()
        self.fired = np.zeros(len(policy.rules), np.int64)
        self.asked = np.zeros(len(OUTCOMES), np.int64)
        self.watch: Callable[[Segment], None] | None = None
        self.on_hit: Callable[[Any], None] | None = None
        self.first_messages: FirstMessages | None = None
        self.lists = OutsideLists()
        self._ids: deque[tuple[int, pa.Array]] = deque()

    @property
    def challenges_anyone(self) -> bool:
        """Whether some account can be asked for a challenge."""
        return self.challenges or any(one.challenges for one in self.by_source.values())

    def challenges_by(self, source: int) -> bool:
        """Whether the accounts of a source, by its number, can be asked for a challenge."""
        names = self.fanout.sources
        one = self.by_source.get(names[source - 1]) if 0 < source <= len(names) else None
        return one.challenges if one else self.challenges

    def slots_of(self, accounts: Sequence[str]) -> dict[str, int]:
        """Return the slots of accounts, by name; those that the log does not contain are left out.

        One that is named in events alone has a slot that no row has yet: it is left out too.
        """
        slots = self.fanout.accounts.find(pa.array(accounts, pa.string())).tolist()
        return {
            account: slot
            for account, slot in zip(accounts, slots, strict=True)
            if 0 <= slot < self.core.accounts
        }

    @property
    def rules_off(self) -> tuple[str, ...]:
        """Ids of the rules that cannot hold for any account: of no source, where there are some."""
        off = self.program.not_covered
        for one in self.by_source.values():
            off = tuple(rule for rule in off if rule in one.program.not_covered)
        return off

    @property
    def rules_off_by_source(self) -> dict[str, tuple[str, ...]]:
        """The rules that cannot hold for the accounts of each source, and do for others'."""
        off = frozenset(self.rules_off)
        return {
            name: tuple(rule for rule in one.program.not_covered if rule not in off)
            for name, one in self.by_source.items()
        }

    @property
    def off(self) -> frozenset[str]:
        """Ids of the rules that are evaluated for no account."""
        programs = [self.program, *(one.program for one in self.by_source.values())]
        return frozenset.intersection(*(program.off for program in programs))

    def _judgement(self, profile: Profile) -> Judgement:
        """Return what accounts are judged by of whose acts a source of this profile reports."""
        scored = rules_read_score(self.policy, self.model)
        covered = covered_features(profile, scored=scored)
        program = compile_rules(self.policy, covered)
        policy = build_kernel_policy(program, self.model, covered, challenges=profile.challenges)
        terms = shards.SourceTerms(policy, coverage_mask(covered))
        return Judgement(program, covered, profile.challenges, terms)

    def judge_sources(self, numbered: int) -> None:
        """Judge by the sources that have numbers, where more have by a segment than before it."""
        if self.by_source and numbered > self._judged_sources:
            self._judge_by_source()

    def go_on_with_sources(self, numbered: Sequence[str]) -> None:
        """Take over the numbers that sources have; those of the profile that have none follow."""
        self.fanout.sources = list(numbered)
        if self.by_source:
            self.fanout.number_sources(self.by_source)
            self._judge_by_source()

    def _judge_by_source(self) -> None:
        """Let each source's accounts be judged by its own terms, those of others as of several."""
        named = [self.by_source.get(name) for name in self.fanout.sources]
        terms = [one.terms if one else self._whole for one in named]
        self._judged_sources = len(named)
        self.core.judge_by([self._whole, *terms])

    def set_mode(self, *, enforce: bool) -> None:
        """Enforce decisions from now on, or only record them; see `mode_switch.switch_mode`."""
        self.enforce = enforce
        for worker in self.core.workers:
            worker.record["enforce"] = int(enforce)

    def take(self, log: pa.RecordBatch) -> list[Decision]:
        """Process a batch of the log (LOG_SCHEMA, or some of its columns); return its decisions."""
        decisions = list[Decision]()
        for segment in self.fanout.segments(log):
            if self.watch is not None:
                self.watch(segment)
            decisions += self.advance(segment)
        return decisions

    def advance(self, segment: Segment) -> Iterator[Decision]:
        """Process one segment of the fan-out, which another thread may have made."""
        self.judge_sources(segment.sources)
        closing = self.shards.turn(segment.epoch)
        if closing is not None:
            yield from self._after_close(closing)
        self._ids.append((segment.base, segment.ids))
        hits = self.shards.advance(segment)
        if self.first_messages is not None:
            self.first_messages.note(segment)
        self.lists.note(segment, self.fanout)
        yield from self._decisions(hits)

    def trial(self, log: pa.RecordBatch) -> DryRunResult:
        """Return the result that one event would have, without changing state.

        `log` is a row of LOG_SCHEMA, or of its columns that are not null.
        """
        return self.trials(log)[0]

    def trials(self, log: pa.RecordBatch) -> list[DryRunResult]:
        """Return the results that events of one account would have, in order; see `dry_run`.

        Each is judged as if those before it had been sent, those that are refused as attempts: so
        many invitations at once take the places that a limit leaves, and the rest is refused.

        Raises:
            UsageError: More than `dry_run.MOST_EVENTS` events, or of more than one account.
        """
        return dry_run(self.core, self.fanout, log)

    def points(self) -> Any:
        """Return the scoring points since the last call (dtype `layout.POINT`), in log order."""
        return self.core.points()

    def finish(self) -> list[Decision]:
        """Close the open epoch, at the end of a file, and return its decisions."""
        epoch = self.shards.epoch
        return list(self._after_close(self.shards.close(epoch + 1))) if epoch >= 0 else []

    def _after_close(self, hits: Any) -> Iterator[Decision]:
        yield from self._decisions(hits)
        self._ids.clear()

    def _decisions(self, hits: Any) -> Iterator[Decision]:
        names = self.fanout.accounts.texts
        for hit in hits:
            if self.on_hit is not None:
                self.on_hit(hit)
            made = self.decision(hit, lambda slot: str(names([slot])[0].as_py()), self._trigger)
            if made is not None:
                yield made

    def decision(
        self, hit: Any, name: Callable[[int], str], trigger: Callable[[int], str]
    ) -> Decision | None:
        """Count a hit (dtype HIT), and return the decision that it makes (None: none).

        Args:
            hit: The hit, of a shard of this process or of another.
            name: Returns an account's name by its slot.
            trigger: Returns an event's id by its position, which is of the epoch of the hit.
        """
        self._count(int(hit["hits"]))
        self.asked[int(hit["level"])] += 1
        if hit["outcome"] == NO_CHANGE:
            return None
        account, event = name(int(hit["account"])), trigger(int(hit["position"]))
        made = build_decision(hit, self.program, account, event, self.version, self._model)
        if self.model is not None and needs_model_reasons(made):
            made = with_model_reasons(made, self.model.reasons(hit["values"]), hit["values"])
        return made

    def _count(self, hits: int) -> None:
        for k in range(len(self.fired)):
            self.fired[k] += hits >> k & 1

    def _trigger(self, position: int) -> str:
        for base, ids in reversed(self._ids):
            if position >= base:
                return str(ids[position - base].as_py())
        raise AssertionError("a decision names an event of the open epoch")

    def open_epoch_bytes(self) -> int:
        """Return the bytes of what is kept until the open epoch closes."""
        ids = sum(ids.nbytes for _, ids in self._ids)
        return int(ids + sum(partial.nbytes for partial in self.core.partials()))

    def rule_hits(self) -> dict[str, int]:
        """Return how often each rule newly fired, shadow rules and labels included."""
        return dict(zip(self.program.ids, self.fired.tolist(), strict=True))

    def lists_of(
        self, account: str, slot: int, now_ms: int, origin: str | None = None
    ) -> list[ListedEntry]:
        """Return the outside lists that name an account, or the servers that it is on.

        Args:
            account: The account.
            slot: Its slot (negative: the log does not contain the account).
            now_ms: The log's time.
            origin: Pseudonym of a server that an event names.
        """
        origins = {origin} if origin else set()
        if slot >= 0 and self.lists.lists and (server := int(self.core.row_of(slot)["origin"])):
            (entity,) = self.fanout.entities.texts([server - 1]).to_pylist()
            origins.add(entity.partition(":")[2])
        return self.lists.entries_of(account, origins, now_ms)

    def operators(self) -> list[Operator]:
        """Return the operators that the accounts seem to have, those with most accounts first."""
        names = self.fanout.accounts.texts
        return self.shards.operators(lambda slots: names(slots).to_pylist())

    def dump(self) -> dict[str, Any]:
        """Return the state as named arrays, also within an epoch."""
        arrays = self.shards.dump()
        arrays |= {f"fanout.{name}": array for name, array in self.fanout.dump().items()}
        bases = [base for base, _ in self._ids]
        ids = pa.concat_arrays([pa.array([], pa.string()), *(ids for _, ids in self._ids)])
        sizes, text = pc.binary_length(ids).to_numpy().astype(np.int64), ids.buffers()[2]
        arrays["ids.bases"] = np.array(bases, np.int64)
        arrays["ids.lengths"] = np.array([len(ids) for _, ids in self._ids], np.int64)
        arrays["ids.sizes"] = sizes
        arrays["ids.text"] = np.frombuffer(text or b"", np.uint8)[: sizes.sum()]
        arrays["fired"], arrays["asked"] = self.fired, self.asked
        if (lists := self.lists.dump()).size:
            arrays["lists"] = lists
        return arrays

    def load(self, arrays: dict[str, Any]) -> None:
        """Restore the state from a dump made with the same policy and profile.

        Raises ValueError or KeyError where the dump is damaged; the engine is of no use then.
        """
        check_state(arrays, len(self.policy.rules))
        self.shards.load(arrays)
        self.fanout.load(below("fanout.", arrays))
        self.go_on_with_sources(self.fanout.sources)
        self.lists.load(arrays.get("lists", np.zeros(0, np.uint8)))
        self.fired = arrays["fired"].copy()
        # A snapshot may be older than the newest outcomes.
        self.asked = np.zeros(len(OUTCOMES), np.int64)
        self.asked[: arrays["asked"].size] = arrays["asked"]
        ends = np.concatenate(([0], np.cumsum(arrays["ids.sizes"]))).astype(np.int32)
        parts = map(pa.py_buffer, (ends, arrays["ids.text"].copy()))
        ids = pa.StringArray.from_buffers(len(ends) - 1, *parts)
        ids.validate(full=True)
        self._ids.clear()
        at = 0
        for base, length in zip(arrays["ids.bases"], arrays["ids.lengths"], strict=True):
            self._ids.append((int(base), ids.slice(at, int(length))))
            at += int(length)
