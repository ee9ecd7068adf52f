"""What an override takes and returns: a verdict, and the enforcement state that it leaves."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import Meta

from wavebreak.outcomes import Outcome
from wavebreak.schema.events import Label, Person, outcome_alternatives
from wavebreak_server.http.schemas import Justification, Response


class OverrideResult(Response):
    """An account's enforcement state after an override; `event` is the id of its label event."""

    event: str
    outcome: Outcome
    until_ms: int | None


class Override(Justification):
    """A reviewer's verdict: `benign` lifts what is in force, `abusive` applies the policy.

    `undetermined` withdraws earlier labels without calling the account either, and may set an
    outcome, milder or severer than the one in force, for `hold_s` seconds.
    """

    schema_extra: ClassVar[dict[str, Any]] = {"anyOf": outcome_alternatives("verdict")}

    verdict: Label
    by: Person = "analyst"
    outcome: Annotated[
        Outcome | None, Meta(description="with `undetermined`: the outcome from now on")
    ] = None
    hold_s: Annotated[
        Annotated[int, Meta(ge=1, le=315_360_000)] | None,
        Meta(description="its seconds; absent: until somebody ends it"),
    ] = None

    def __post_init__(self) -> None:
        """Raise ValueError for an outcome that the verdict does not set, and a hold without one."""
        super().__post_init__()
        if self.outcome is not None and self.verdict != "undetermined":
            raise ValueError(
                "only undetermined sets an outcome: write that verdict, or leave it out"
            )
        if self.hold_s is not None and self.outcome in (None, "allow"):
            raise ValueError(
                "a hold without an outcome that ends: give one above allow, or no hold_s"
            )
