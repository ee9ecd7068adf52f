"""Policy data: what failure codes mean, and the limits of a business platform.

Both are files of `wavebreak_business/policy`, dated; a file of the same name in a directory of
one's own takes the place of the shipped one.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from wavebreak.config import read_toml
from wavebreak.durations import DURATION_PATTERN, Duration, duration_ms
from wavebreak.errors import PolicyError

TomlPath = tuple[str | int, ...]
_HEADER = re.compile(r"^\s*(\[\[?)\s*([A-Za-z0-9_.\-\"' ]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*(?:=|\.)")
_PLACE = re.compile(r"`\$((?:\.[A-Za-z0-9_-]+|\[(?:[0-9]+|\.\.\.)\])*)`")
_FIELD = re.compile(r"(?:unknown|required) field `([^`]*)`")
_PART = re.compile(r"\.([A-Za-z0-9_-]+)|\[([0-9]+)\]")

SHIPPED = Path(__file__).resolve().parent / "policy"

MESSENGER = "whatsapp"
"""The messenger itself among the providers: its codes may come through any of the others."""
_MESSENGER_DIGITS = 6
QUALITY_DAYS = 7
"""Days of which reactions count; the compiled rules keep as many, and the open one."""

Retry = Literal["never", "changed", "later"]
Stop = Literal["", "person", "template", "account"]


class Code(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a failure code means.

    Attributes:
        cause: The group of codes that it belongs to, the same for all providers.
        meaning: What happened.
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


Share = Annotated[float, Meta(gt=0, le=1)]
"""A part of a whole."""
People = Annotated[int, Meta(ge=1, le=10**9)]
Category = Literal["marketing", "utility", "authentication"]
Bars = Literal["nothing", "outside_windows", "all"]


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many people may be written to, and how the limit grows."""

    span: Duration
    steps: Annotated[tuple[People, ...], Meta(min_length=1, max_length=16)]
    verified: People
    raise_share: Share
    raise_days: Annotated[int, Meta(ge=1, le=QUALITY_DAYS)]
    raise_wait: Duration
    warn_share: Share
    count: Literal["delivered", "sent"]
    delivered: Annotated[int, Meta(ge=0, le=10**9)] = 0
    delivered_days: Annotated[int, Meta(ge=1, le=366)] = 30


class PairRate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often one person may be written to."""

    interval: Duration
    burst: Annotated[int, Meta(ge=1, le=10_000)]


PerSecond = Annotated[int, Meta(ge=1, le=1_000_000)]


class Throughput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Messages a second of a number."""

    default: PerSecond
    upgraded: PerSecond
    shared: PerSecond


class Cap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often all businesses together may write to one person (`most` 0: without a cap)."""

    most: Annotated[int, Meta(ge=0, le=1_000)] = 0
    span: Duration = "24h"
    categories: tuple[Category, ...] = ("marketing",)


class LogRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long rows of a service's log stay at least ("": for ever); it decides nothing."""

    keep: Duration | Literal[""] = ""


class ConsentRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What needs a grant, and whose word is one without a proof."""

    required: tuple[Category, ...]
    trusted: tuple[str, ...]


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From when a revocation binds in a check of logs (`0s`: at once), and what it covers."""

    delay: Annotated[str, Meta(pattern=f"{DURATION_PATTERN}|^0s$")]
    categories: Annotated[tuple[Category, ...], Meta(min_length=1)]


class Pauses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a bad rating pauses a template, step by step; after the last it is disabled."""

    ladder: Annotated[tuple[Duration, ...], Meta(max_length=8)]


class Pacing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To how many people a new template, or a paced portfolio, writes before the rest is held."""

    categories: tuple[Category, ...]
    first: People
    wait: Duration
    bad_share: Share
    least: People
    portfolio_first: People
    portfolio_growth: Annotated[int, Meta(ge=2, le=1_000)]
    portfolio_until: People


Weight = Annotated[float, Meta(ge=0, le=100)]


class Quality(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How reactions become a rating."""

    day_weights: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=100)], ...],
        Meta(min_length=QUALITY_DAYS, max_length=QUALITY_DAYS),
    ]
    block: Weight
    report: Weight
    mute: Weight
    low: Share
    medium: Share
    least: People
    few_reads: Annotated[float, Meta(ge=0, le=1)]


class LadderStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a portfolio may not do on a step, and for how long ("": until an appeal)."""

    name: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,31}$")]
    bars: Bars
    lasts: Duration | Literal[""] = ""
    notice: Duration | Literal[""] = ""


class Ladder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of a portfolio whose quality is low again and again."""

    forget: Duration
    steps: Annotated[tuple[LadderStep, ...], Meta(min_length=1, max_length=16)]


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events of the account that hold its sends back."""

    stops: tuple[str, ...]


class Duplicates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Within which time two sends to two ids of one person are one too many."""

    span: Duration


class Templates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From when a template counts as at risk."""

    failed_share: Share
    sends: int


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of a business platform, as it published them on a day."""

    as_of: datetime.date
    window: Duration
    entry_window: Duration
    limit: Limit
    pair: PairRate
    throughput: Throughput
    consent: ConsentRules
    revocation: Revocation
    pauses: Pauses
    pacing: Pacing
    quality: Quality
    ladder: Ladder
    account: Account
    duplicates: Duplicates
    templates: Templates
    cap: Cap = Cap()
    log: LogRules = LogRules()

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
    codes = read_toml(_path("codes.toml", directory))
    as_of = codes.pop("as_of", None)
    return Settings(
        load_limits(directory),
        _convert("codes.toml", codes, dict[str, dict[str, Code]]),
        _convert("codes.toml", as_of, datetime.date),
    )


def load_limits(directory: Path | None = None) -> Limits:
    """Read the limits alone, and check what no type does.

    Args:
        directory: A limits.toml of one's own, which takes the place of the shipped one.

    Raises:
        PolicyError: The file cannot be read, or a value is not valid: it names line and fix.

    >>> load_limits().pair.burst
    45
    """
    path = _path("limits.toml", directory)
    values = read_toml(path)
    text = path.read_text(encoding="utf-8")
    try:
        limits = msgspec.convert(values, Limits)
    except msgspec.ValidationError as error:
        raise _limits_error(text, path_of(str(error)), str(error)) from None
    _check_limits(limits, text)
    return limits


def _path(name: str, directory: Path | None) -> Path:
    own = directory / name if directory else None
    return own if own and own.exists() else SHIPPED / name


def _convert(name: str, value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        fix = f"compare with the shipped {name}"
        raise PolicyError(f"{name}: {error}", fix=fix) from None


def _limits_error(text: str, path: TomlPath, what: str) -> PolicyError:
    """Return an error that names the line, and the shipped file's line as the fix."""
    shipped = (SHIPPED / "limits.toml").read_text(encoding="utf-8")
    known = shipped.splitlines()[line_of(shipped, path) - 1].strip()
    if known.startswith("["):
        fix = f"compare with {known} of the shipped limits.toml"
    elif path and line_of(shipped, path) > 1:
        fix = f"the shipped limits.toml has {known}"
    else:
        fix = "compare with the shipped limits.toml"
    return PolicyError(f"limits.toml, line {line_of(text, path)}: {what}", fix=fix)


def _check_limits(limits: Limits, text: str) -> None:
    """Raise `PolicyError` for values that no type forbids."""
    steps, quality, ladder = limits.limit.steps, limits.quality, limits.ladder.steps
    endless = next((n for n, step in enumerate(ladder) if not step.lasts), len(ladder))
    early = next((n for n, step in enumerate(ladder) if n > endless and step.lasts), -1)
    wrong: list[tuple[TomlPath, bool, str]] = [
        (
            ("limit", "steps"), list(steps) != sorted(set(steps)),
            "limit.steps is not a rising list of numbers",
        ),
        (
            ("entry_window",), duration_ms(limits.entry_window) < duration_ms(limits.window),
            "entry_window is shorter than window",
        ),
        (
            ("quality", "medium"), quality.medium > quality.low,
            "quality.medium is above quality.low",
        ),
        (
            ("quality", "day_weights"), not any(quality.day_weights),
            "quality.day_weights are all 0",
        ),
        (
            ("ladder", "steps", early), early >= 0,
            "a step that lasts comes after one that only an appeal ends",
        ),
    ]  # fmt: skip
    for path, is_wrong, what in wrong:
        if is_wrong:
            raise _limits_error(text, path, what)


def revocation_delay_ms(limits: Limits) -> int:
    """Return from when a revocation binds in a check of logs, in milliseconds after it.

    >>> revocation_delay_ms(load_settings().limits)
    0
    """
    delay = limits.revocation.delay
    return 0 if delay == "0s" else duration_ms(delay)


# Where in a file a value stands, so that an error names the line to correct


def path_of(message: str) -> TomlPath:
    """Return the place that a message of msgspec names, with the field that is unknown or missing.

    >>> path_of("Expected `int`, got `str` - at `$.limit.steps[2]`")
    ('limit', 'steps', 2)
    >>> path_of("Object contains unknown field `stps` - at `$.limit`")
    ('limit', 'stps')
    """
    place = _PLACE.search(message)
    path: TomlPath = tuple(
        name or int(number) for name, number in _PART.findall(place[1] if place else "")
    )
    field = _FIELD.search(message)
    return (*path, field[1]) if field else path


def line_of(text: str, path: TomlPath) -> int:
    """Return the line, from 1, where a value stands, or where the table that lacks it begins.

    >>> lines = ["a = 1", "[limit]", "steps = [1]", "[[ladder.steps]]", "[[ladder.steps]]", "n = 1"]
    >>> line_of(chr(10).join(lines), ("ladder", "steps", 1, "n"))
    6
    """
    best, length = 1, 0
    table: TomlPath = ()
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            names = tuple(part.strip(" \"'") for part in header[2].split("."))
            table = names
            if header[1] == "[[":
                name = ".".join(names)
                counts[name] = counts.get(name, -1) + 1
                table = (*names, counts[name])
            here = table
        elif key := _KEY.match(line):
            here = (*table, key[1])
        else:
            continue
        shared = _shared(here, path)
        if shared == len(here) and shared > length:
            best, length = number, shared
    return best


def _shared(one: TomlPath, other: TomlPath) -> int:
    """Return how many parts two paths begin with alike."""
    for place, (part, same) in enumerate(zip(one, other, strict=False)):
        if part != same:
            return place
    return min(len(one), len(other))
