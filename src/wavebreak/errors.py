"""The one tree of errors. Each says what is wrong and, where there is one, the fix."""

from __future__ import annotations


class WavebreakError(Exception):
    """Root of every error that Wavebreak raises on purpose.

    `what` is the fault in plain words (never an offending value that may be personal), `fix`
    what the reader can do about it.

    >>> str(WavebreakError("the file is empty", fix="give a file with events"))
    'the file is empty — fix: give a file with events'
    """

    def __init__(self, what: str, *, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what} — fix: {self.fix}" if self.fix else self.what


class EventError(WavebreakError):
    """An event breaks the contract of events.md."""


class PolicyError(WavebreakError):
    """A rule, an action or a threshold of a policy is not well formed."""


class SnapshotError(WavebreakError):
    """A snapshot is damaged, or was made by another layout or version."""


class FileError(WavebreakError):
    """A file is absent, unreadable, or of a format that is not known."""


class UsageError(WavebreakError):
    """A command was called with options that do not go together."""


class MissingExtraError(UsageError):
    """What was asked for needs a package that this installation does not have."""


class ModelError(WavebreakError):
    """A model is damaged, foreign, or was trained on other features than there are."""


class TrainingError(WavebreakError):
    """Points, labels or settings from which no honest model can be learned."""


class EvidenceError(WavebreakError):
    """A ledger, proof, checkpoint, time stamp or bundle does not hold; `name` says how."""

    def __init__(self, what: str, *, fix: str = "", name: str = "") -> None:
        super().__init__(what, fix=fix)
        self.name = name


class ClaimError(WavebreakError):
    """A page cannot be captured, or a capture cannot be read."""


class CaseError(WavebreakError):
    """A case, party, exhibit or determination is not well formed, or a step is not allowed."""


class ServiceError(WavebreakError):
    """The service is set up wrongly, or what it stands on is not there."""
