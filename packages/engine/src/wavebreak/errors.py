"""Exceptions. Each message states the problem, and `fix` what the reader can do about it."""

from __future__ import annotations

from collections.abc import Mapping


class WavebreakError(Exception):
    """Base class of all errors that Wavebreak raises deliberately.

    Attributes:
        what: The problem in plain words, without a value that may be personal.
        fix: What the reader can do about it.
        code: The kind of problem, by which a command, a page or a client says the way out in words
            of its own ("": `fix` is all that there is to say).
        values: What those words may name.

    Example:
        >>> str(WavebreakError("the file is empty", fix="give a file with events"))
        'the file is empty — fix: give a file with events'
    """

    code: str
    values: Mapping[str, object]

    def __init__(self, what: str, *, fix: str = "", code: str = "", **values: object) -> None:
        super().__init__(what)
        self.what, self.fix, self.code, self.values = what, fix, code, values

    def __str__(self) -> str:
        return f"{self.what} — fix: {self.fix}" if self.fix else self.what


class EventError(WavebreakError):
    """An event does not match the event schema."""


class PolicyError(WavebreakError):
    """A rule, action or other configuration of a policy is invalid."""


class StateSizeError(WavebreakError):
    """The state of accounts does not fit into the memory that it may use."""


class SnapshotError(WavebreakError):
    """A snapshot is damaged, or of another layout or version."""


class FileError(WavebreakError):
    """A file is missing, unreadable, or of an unknown format."""


class UsageError(WavebreakError):
    """A command or function was called with invalid or conflicting options."""


class MissingExtraError(UsageError):
    """What was asked for needs a package that this installation does not have."""


class ModelError(WavebreakError):
    """A model is damaged, of another format, or was trained on other features."""


class TrainingError(WavebreakError):
    """Training data, labels or settings do not allow a valid model."""


class EvidenceError(WavebreakError):
    """A ledger, proof, checkpoint, time stamp or bundle fails verification; `name` is the check."""

    def __init__(self, what: str, *, fix: str = "", name: str = "") -> None:
        super().__init__(what, fix=fix)
        self.name = name


class ClaimError(WavebreakError):
    """A page cannot be captured, or a capture cannot be read."""


class CaseError(WavebreakError):
    """A case, party, exhibit or determination is invalid, or a step is not allowed."""


class CaseBusyError(CaseError):
    """Somebody else has the case open for writing; nothing was changed."""


class ServiceError(WavebreakError):
    """The service is misconfigured, or a dependency is unavailable."""
