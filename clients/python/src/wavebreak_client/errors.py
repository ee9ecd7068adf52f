"""Exceptions. Each message states the problem, and `fix` what the reader can do about it."""

from __future__ import annotations

NEVER = "message content is never accepted"
"""The contract's sentence on a field that would carry content."""


class WavebreakClientError(Exception):
    """Base class of what this package raises deliberately.

    Attributes:
        what: The problem in plain words, without a value that may be personal.
        fix: What the reader can do about it.

    >>> str(WavebreakClientError("no key is given", fix="pass key="))
    'no key is given — fix: pass key='

    """

    def __init__(self, what: str, *, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what} — fix: {self.fix}" if self.fix else self.what


class EventError(WavebreakClientError, ValueError):
    """An event does not fit the schema.

    Attributes:
        field: The name of the field at fault; empty where it is the whole event.

    """

    def __init__(self, what: str, *, field: str = "", fix: str = "") -> None:
        super().__init__(f"field `{field}`: {what}" if field else what, fix=fix)
        self.field = field


class UnknownFieldError(EventError, TypeError):
    """An event was given a field that the schema does not have."""


class ContentError(UnknownFieldError):
    """An event was given a field that would carry message content."""


class SettingsError(WavebreakClientError, ValueError):
    """A client was made with a setting that is missing or invalid."""


class SpoolError(WavebreakClientError):
    """The spool file cannot be used: another process has it, or it cannot be written."""


class ServiceError(WavebreakClientError):
    """The service did not answer a question that has no answer of its own for that case.

    Attributes:
        status: The HTTP status; 0 where there was none.

    """

    def __init__(self, what: str, *, status: int = 0, fix: str = "") -> None:
        super().__init__(what, fix=fix)
        self.status = status


class WebhookError(WavebreakClientError):
    """A webhook message is not to be trusted.

    Attributes:
        cause: headers, timestamp, signature, replayed or body.

    """

    def __init__(self, cause: str, what: str, *, fix: str = "") -> None:
        super().__init__(what, fix=fix)
        self.cause = cause
