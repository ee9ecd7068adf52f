"""Policy data: what failure codes mean, and the limits of a business platform.

Both are files of `wavebreak_business/policy`, dated; a file of the same name in a directory of
one's own takes the place of the shipped one.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from wavebreak.config import read_toml
from wavebreak.durations import DURATION_PATTERN, Duration, duration_ms
from wavebreak.errors import PolicyError

SHIPPED = Path(__file__).resolve().parent / "policy"

MESSENGER = "whatsapp"
"""The messenger itself among the providers: its codes may come through any of the others."""
_MESSENGER_DIGITS = 6

Retry = Literal["never", "changed", "later"]
Stop = Literal["", "person", "template", "account"]


class Code(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a failure code means.

    Attributes:
        cause: The group of codes that it belongs to, the same for all providers.
        meaning: What happened.
        fix: What to do.
        retry: Whether a send may be tried again: never, once the cause has changed, or later.
        wait: How long to wait before a later try.
        stop: What must not be sent again: to a person, of a template, of the whole account.
        category: The category of the messages that alone can fail so; "": any.

    """

    cause: str
    meaning: str
    fix: str
    retry: Retry
    wait: Duration | Literal[""] = ""
    stop: Stop = ""
    category: Literal["", "marketing"] = ""

    @property
    def wait_ms(self) -> int:
        """How long to wait in milliseconds; 0 where waiting does not help."""
        return duration_ms(self.wait) if self.wait else 0


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many people may be written to, and how the limit grows."""

    span: Duration
    steps: tuple[int, ...]
    raise_share: float
    raise_days: int
    warn_share: float


class Pauses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a bad rating pauses a template, step by step; after the last it is disabled."""

    ladder: tuple[Duration, ...]


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events of the account that hold its sends back."""

    stops: tuple[str, ...]


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From when a revocation binds: a duration, `0s` for at once."""

    delay: str


class Duplicates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Within which time two sends to two ids of one person are one too many."""

    span: Duration


class Templates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From when a template counts as at risk."""

    failed_share: float
    sends: int


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of a business platform, as it published them on a day."""

    as_of: datetime.date
    window: Duration
    limit: Limit
    pauses: Pauses
    account: Account
    revocation: Revocation
    duplicates: Duplicates
    templates: Templates

    def step_above(self, limit: int) -> int | None:
        """Return the next step of the limit; None where the next one is no limit.

        >>> limits = load_settings().limits
        >>> limits.step_above(250), limits.step_above(100_000)
        (2000, None)
        """
        return next((step for step in self.limit.steps if step > limit), None)


@dataclass(frozen=True)
class Settings:
    """The policy data of a check.

    Attributes:
        limits: The platform's limits.
        codes: What each code means, by provider and code.
        codes_as_of: The day of the table of codes.

    """

    limits: Limits
    codes: dict[str, dict[str, Code]]
    codes_as_of: datetime.date

    def code(self, provider: str, code: str) -> Code | None:
        """Return what a code means; None where the table does not have it.

        A code of the messenger itself may come through any provider: it has six digits, and theirs
        have not.
        """
        known = self.codes.get(provider, {}).get(code)
        passed_on = known is None and len(code) == _MESSENGER_DIGITS
        return self.codes.get(MESSENGER, {}).get(code) if passed_on else known


def load_settings(directory: Path | None = None) -> Settings:
    """Read the policy data.

    Args:
        directory: Files of one's own, which take the place of the shipped ones.

    Raises:
        PolicyError: A file cannot be read, or a value is not valid.

    >>> load_settings().code("whatsapp", "131050").stop
    'person'

    """
    codes = _read("codes.toml", directory)
    as_of = codes.pop("as_of", None)
    limits = _convert("limits.toml", _read("limits.toml", directory), Limits)
    _check_limits(limits)
    return Settings(
        limits,
        _convert("codes.toml", codes, dict[str, dict[str, Code]]),
        _convert("codes.toml", as_of, datetime.date),
    )


def _read(name: str, directory: Path | None) -> dict[str, Any]:
    own = directory / name if directory else None
    return read_toml(own if own and own.exists() else SHIPPED / name)


def _convert(name: str, value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        fix = f"compare with the shipped {name}"
        raise PolicyError(f"{name}: {error}", fix=fix) from None


def _check_limits(limits: Limits) -> None:
    """Raise `PolicyError` for values that no type forbids."""
    steps = limits.limit.steps
    if not steps or list(steps) != sorted(set(steps)) or steps[0] <= 0:
        raise PolicyError(
            "limits.toml: limit.steps is not a rising list of positive numbers",
            fix="write them in order, such as [250, 2000]",
        )
    for name, share in (
        ("limit.raise_share", limits.limit.raise_share),
        ("limit.warn_share", limits.limit.warn_share),
        ("templates.failed_share", limits.templates.failed_share),
    ):
        if not 0 < share <= 1:
            raise PolicyError(
                f"limits.toml: {name} is not a share", fix="write a number above 0, at most 1"
            )
    if not 1 <= limits.limit.raise_days <= 366:
        raise PolicyError("limits.toml: limit.raise_days is out of range", fix="write 1 to 366")
    revocation_delay_ms(limits)


def revocation_delay_ms(limits: Limits) -> int:
    """Return from when a revocation binds, in milliseconds after it.

    >>> revocation_delay_ms(load_settings().limits)
    0
    """
    delay = limits.revocation.delay
    if delay == "0s":
        return 0
    try:
        return duration_ms(msgspec.convert(delay, Duration))
    except msgspec.ValidationError:
        raise PolicyError(
            f"limits.toml: revocation.delay does not match {DURATION_PATTERN}",
            fix="write 0s, or such as 10d",
        ) from None
