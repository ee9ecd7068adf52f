"""What a service decides by: the policy and model of a start, and engines made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from wavebreak import engine, model, rules
from wavebreak.engine.outside_lists import ListTerms
from wavebreak.errors import UsageError
from wavebreak.evaluation.home_learning import load_terms
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema import coverage
from wavebreak_server.config import Decisions
from wavebreak_server.http import app_context
from wavebreak_server.pipeline import decide, live_policy
from wavebreak_server.pipeline.service import Background
from wavebreak_server.settings import Settings
from wavebreak_server.slices.learning.service import LearningSchedule
from wavebreak_server.slices.sources import service as sources
from wavebreak_server.slices.versions import policy_switch

Say = Callable[..., None]
"""Prints a text with Rich's markup, and the values of its fields."""


@dataclass(frozen=True)
class PolicyChoice:
    """Which policy a start decides by.

    Attributes:
        base: The directory that `serve` was started with.
        directory: That of the policy that decides: another one where a version went live.
        enforce: Whether outcomes are enforced.
    """

    base: Path | None
    directory: Path | None
    enforce: bool


def choose_policy(home: Path, asked: Decisions, say: Say) -> PolicyChoice:
    """Choose the policy: the one that went live last, or the given one."""
    directory = live_policy.live_directory(home)
    if directory is not None:
        say("deciding by {}, which went live in the console, not by --policy", directory.name)
    return PolicyChoice(asked.policy, directory or asked.policy, asked.enforce)


def choose_model(home: Path, model_dir: str | None, say: Say) -> str | None:
    """Return the model that went live last, or else the given one.

    Raises:
        UsageError: Its files are gone, or were changed after it went live.
    """
    live = live_policy.live_model(home)
    if live is None:
        return model_dir
    directory, version = live
    loaded = model.load(directory).version if directory.is_dir() else "gone"
    if loaded != version:
        raise UsageError(
            f"{directory} is not the model that went live: it is {loaded}, not {version}",
            fix="restore its files from a backup",
        )
    say("scoring by {} ({}), which went live in the console", directory.name, version)
    return str(directory)


@dataclass(frozen=True)
class EngineParts:
    """What the engines of a service, and its answers to `decide`, are made of."""

    settings: Settings
    profile: coverage.Profile | None
    lateness: int
    pseudonymizer: Pseudonymizer
    context: app_context.AppContext
    lists: Mapping[str, ListTerms] = field(default_factory=dict)

    def live_coverage(self) -> sources.Coverage | None:
        """Return what the declared sources carry that decide; None where none is declared."""
        live = live_policy.live_policy(self.settings.home)
        if live is None or live.carries is None:
            return None
        return sources.Coverage(live.carries, live.challenges, live.sources)

    def live_profile(self) -> coverage.Profile | None:
        """Return the coverage of the stream at the start."""
        declared = self.live_coverage()
        return declared.profile() if declared is not None else self.profile

    def engine(
        self,
        policy: rules.Policy,
        loaded: model.Model | None,
        enforce: bool,
        profile: coverage.Profile | None = None,
    ) -> engine.Engine:
        """Return an engine of a policy and a model, without state."""
        return engine.Engine(
            policy,
            profile or self.profile,
            enforce=enforce,
            workers=self.settings.workers,
            lateness_s=self.lateness,
            model=loaded,
        )

    def responder(self, policy: rules.Policy, directory: Path | None) -> decide.DecideResponder:
        """Return what answers `decide` under a policy of a directory."""
        terms = decide.load_decide_policy(directory)
        declared = self.live_coverage()
        return decide.DecideResponder(
            policy,
            terms,
            self.pseudonymizer,
            self.context.quota_extension,
            challenges=declared is None or declared.challenges_anyone,
            lists=self.lists,
        )

    def switched(self, directory: Path | None, enforce: bool) -> None:
        """Take the sheets of the policy that decides from now on, and its mode."""
        self.context.quota_config = decide.load_quota_config(directory)
        notices = self.context.holder_notices.reload(rules.load_policy(directory), directory)
        self.context.holder_notices = replace(notices, is_enforced=enforce)


def make_policy_switch(
    parts: EngineParts, choice: PolicyChoice, asked: Decisions
) -> policy_switch.PolicySwitch:
    """Return what switches the service to another policy, model or mode."""
    home = parts.settings.home
    live = live_policy.live_policy(home)
    version = live.version if live and choice.directory != choice.base else ""
    digest = live.digest if live and version else ""
    return policy_switch.PolicySwitch(
        home,
        choice.base,
        parts.engine,
        parts.responder,
        parts.switched,
        (*_words({"--profile": asked.profile}), "--lateness", str(parts.lateness)),
        asked.model,
        choice.enforce,
        live_policy.files_digest(choice.base) if choice.base else "",
        policy_switch.Deciding(
            version, live.model if live else "", choice.enforce, parts.live_coverage(), digest
        ),
    )


def learning_tasks(
    home: Path, choice: PolicyChoice, context: app_context.AppContext
) -> list[Background]:
    """Return the task that learns at home; none where the policy says never."""
    terms = load_terms(choice.directory)
    return [LearningSchedule(home, terms, context)] if terms.every else []


def _words(given: Mapping[str, object]) -> list[str]:
    """Return options of a command: those that have a value."""
    return [str(part) for option in given.items() if option[1] is not None for part in option]
