"""Learning at home while senders attack: the learned scores of a platform, and the acting one.

Labels, line, checks and states are those of the service (`wavebreak.evaluation.home_learning`). A
score acts as soon as it is ready; a failed score is replaced by the first model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wavebreak.durations import DAY_MS
from wavebreak.engine import Engine
from wavebreak.evaluation import home_learning
from wavebreak.model import Model
from wavebreak.model.baseline import Distribution
from wavebreak.rules import Policy
from wavebreak.schema import coverage
from wavebreak_lab.training.home import fit_home


@dataclass
class LearnedScore:
    """A learned score, its state, and the reason for it."""

    number: int
    lesson: home_learning.Lesson
    state: home_learning.State = "none"
    reason: str = ""
    model: Model | None = None
    spread: Distribution | None = None

    def summary(self) -> dict[str, Any]:
        """Return plain values for a report."""
        lesson = self.lesson
        return {
            "number": self.number, "state": self.state, "why": self.reason, "line": lesson.line,
            "labels": lesson.labels, "operators": lesson.operators,
        }  # fmt: skip


class Learner:
    """The scores that a platform learned from its own log, week by week.

    Args:
        policy: The platform's policy.
        model: The model before the first score is learned, or None.
        terms: Terms of learning.
        seed: Seed of the fits.
    """

    def __init__(
        self, policy: Policy, model: Model | None, terms: home_learning.Terms, seed: int
    ) -> None:
        self._policy, self._first, self.terms, self._seed = policy, model, terms, seed
        self.scores: list[LearnedScore] = []

    @property
    def acting(self) -> Model | None:
        """The model that acts."""
        return next((s.model for s in reversed(self.scores) if s.state == "on"), self._first)

    def learn(self, log: list[pa.RecordBatch]) -> None:
        """Check the scores, and learn another from the log."""
        days = self._days(log)
        self._check(days)
        number = len(self.scores) + 1
        lesson, model, _ = home_learning.learn(
            days, self.terms, fit_home, name=f"home-{number}", seed=self._seed
        )
        for score in self.scores:
            if score.state in ("shadow", "ready"):
                score.state, score.reason = "ended", "Learned anew before it acted."
        score = LearnedScore(number, lesson, reason=lesson.no_line)
        if model is not None:
            distribution = home_learning.own_scores(model, days)["score"]
            score = LearnedScore(number, lesson, "shadow", "", model, distribution)
        self.scores.append(score)

    def is_due(self, now_ms: int) -> bool:
        """Whether a score acts, or has been in shadow for long enough to be checked."""
        shadow_ms = self.terms.shadow_days * DAY_MS
        return any(
            score.state == "on"
            or (
                score.state in home_learning.CHECKED_STATES
                and now_ms - score.lesson.end_ms >= shadow_ms
            )
            for score in self.scores
        )

    def check(self, log: list[pa.RecordBatch]) -> None:
        """Check the scores in shadow and the acting one by the log."""
        self._check(self._days(log))

    def _days(self, log: list[pa.RecordBatch]) -> home_learning.HomeDays:
        profile = coverage.declared(coverage.known_names())
        engine = Engine(self._policy, profile, enforce=True, model=self.acting, record=True)
        return home_learning.record_days(engine, log).newest(self.terms.days)

    def _check(self, days: home_learning.HomeDays) -> None:
        for score in self.scores:
            model, distribution, since_ms = score.model, score.spread, score.lesson.end_ms
            if (
                score.state not in home_learning.CHECKED_STATES
                or model is None
                or distribution is None
            ):
                continue
            drift = home_learning.moved_since(model, distribution, days, self.terms, since_ms)
            check = home_learning.check_score(model, days, self.terms, since_ms, drift)
            score.state, reason = home_learning.state_after(score.state, check, self.terms)
            score.reason = reason or score.reason
            if score.state == "failing":
                score.state = "ended"
            if score.state == "ready" and self.terms.promote == "automatic":
                for other in self.scores:
                    if other.state == "on":
                        other.state, other.reason = "ended", "Another model took its place."
                score.state = "on"
