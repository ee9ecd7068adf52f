"""Field coverage: which event types and fields a stream carries, so that absence is not zero."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wavebreak.durations import DAY_MS
from wavebreak.errors import FileError
from wavebreak.schema.event_kinds import EVENT_KINDS, Carried
from wavebreak.schema.events import EVENTS, TYPES

MIN_COVERED_SHARE = 0.01
"""A field is covered if at least this share of its type's events carry it."""

DENSE = tuple(row.type for row in EVENT_KINDS if row.carried is Carried.BESIDE_MESSAGES)
"""Types that accompany messages: covered if there is at least one per hundred sends."""

SELDOM: dict[str, str] = {
    "session.started.linked": "marks a companion device; other sessions leave it out",
    "group.left.peer": "names who had added the one who leaves; most join and leave by themselves",
    "message.sent.broadcast": "marks a message to a list; other messages leave it out",
    "message.sent.origin": "marks an account on a remote server; local ones leave it out",
    "contact.requested.origin": "marks an account on a remote server; local ones leave it out",
}
"""Optional fields that are rare by nature, and why: their absence means "no", not "unknown", so a
share says nothing of whether the stream carries them. Fields that every event of their type could
have (`attested`, `in_contacts`, `size`, `hits`) are not among them: where these are rare, the
absent ones are unknown."""
SELDOM_COUNT = 3
SELDOM_SHARE = 0.0001
"""A field of SELDOM is covered where it occurs so often, and in at least one of ten thousand events
of its type: a test client's three events are not a stream's field."""

ALWAYS_CARRIED = tuple(row.type for row in EVENT_KINDS if row.carried is Carried.ALWAYS)
"""What people say of accounts comes beside a stream, from the service's own pages and operations:
it is covered whatever the stream carries, and an account without a label has none."""

MAX_RESOLUTION_MS = DAY_MS

_IN_LOG = {"phone": "number", "ip": "address"}
_FIELDS: dict[str, tuple[str, ...]] = {
    t: tuple(n for n in kind.__struct_fields__ if n not in ("ts", "account"))
    for t, kind in zip(TYPES, EVENTS, strict=True)
}


@dataclass(frozen=True)
class Profile:
    """Event types and fields that a stream carries.

    Attributes:
        types: Each type's share of all events.
        fields: For "type.field" the share of the type's events that have the field.
        resolution_ms: The greatest common step of event times.
        events: Number of events that were measured.
        challenges: Whether the platform can ask for a challenge; where it cannot, a limit is
            decided instead.
        sources: Profiles of the sources that feed the stream, by name (empty: nobody has declared
            any). The profile itself then is their union.

    Types and fields that never occur are omitted.
    """

    types: dict[str, float]
    fields: dict[str, float]
    resolution_ms: int
    events: int
    challenges: bool = True
    sources: Mapping[str, Profile] = field(default_factory=dict)

    def covers(self, source: str) -> bool:
        """Return whether the stream carries a type ("message.sent") or field ("message.sent.size").

        A type that occurs is covered; a type that accompanies messages (DENSE) is covered with
        at least one per hundred sends; a field if at least 1 % of the type's events have a
        value, or if a rare field (SELDOM) occurs at least three times. Labels
        (ALWAYS_CARRIED) are always covered.

        >>> seen = Profile({"message.sent": 1.0}, {"message.sent.size": 0.4}, 1000, 10)
        >>> seen.covers("message.sent.size"), seen.covers("typing.started")
        (True, False)
        >>> rare = Profile({"session.started": 0.5}, {"session.started.linked": 0.006}, 1, 1000)
        >>> rare.covers("session.started.linked"), rare.covers("session.started.ip")
        (True, False)
        >>> seen.covers("label.assigned")
        True
        """
        kind = source if source in TYPES else source.rpartition(".")[0]
        if kind in ALWAYS_CARRIED:
            return True
        if source in TYPES:
            share = self.types.get(source, 0.0)
            min_share = (
                MIN_COVERED_SHARE * self.types.get("message.sent", 0.0) if source in DENSE else 0.0
            )
            return share > 0 and share >= min_share
        if kind not in TYPES or not self.covers(kind):
            return False
        share = self.fields.get(source, 0.0)
        if source in SELDOM and share >= SELDOM_SHARE:
            count = round(share * self.types[kind] * self.events)
            return share >= MIN_COVERED_SHARE or count >= SELDOM_COUNT
        return share >= MIN_COVERED_SHARE


def measure(batches: Iterable[pa.RecordBatch]) -> Profile:
    """Measure the profile of log batches."""
    events, step = 0, 0
    of_type = np.zeros(len(TYPES), np.int64)
    counts = {t: dict.fromkeys(_FIELDS[t], 0) for t in TYPES}
    for log in batches:
        if not log.num_rows:
            continue
        events += log.num_rows
        codes = log.column("type").to_numpy()
        of_type += np.bincount(codes, minlength=len(TYPES))
        step = int(np.gcd.reduce(log.column("ts").to_numpy(), initial=step))
        for code in np.unique(codes).tolist():
            _count(log, codes == code, counts[TYPES[code]])
    total = dict(zip(TYPES, of_type.tolist(), strict=True))
    return Profile(
        {t: n / events for t, n in total.items() if n},
        {f"{t}.{f}": n / total[t] for t, f_ in counts.items() for f, n in f_.items() if n},
        min(step, MAX_RESOLUTION_MS) or 1,
        events,
    )


def declared(carries: Iterable[str], *, challenges: bool = True) -> Profile:
    """Return the profile of a stream that carries certain types and fields, by their names.

    Args:
        carries: Types ("message.sent") and fields ("message.sent.size"); a field's type is carried
            with it.
        challenges: Whether the platform can ask for a challenge.

    >>> seen = declared(["message.sent.size", "typing.started"])
    >>> [seen.covers(n) for n in ("message.sent", "message.sent.size", "message.sent.media")]
    [True, True, False]
    """
    names = set(carries)
    fields = {name for name in names if name not in TYPES}
    types = (names - fields) | {name.rpartition(".")[0] for name in fields}
    return Profile(
        dict.fromkeys(sorted(types), 1 / max(len(types), 1)),
        dict.fromkeys(sorted(fields), 1.0),
        1,
        0,
        challenges,
    )


def known_names() -> frozenset[str]:
    """Return the names of all types and fields that a stream may carry.

    >>> sorted(name for name in known_names() if name.startswith("user.blocked"))[:2]
    ['user.blocked', 'user.blocked.attempted']
    """
    return frozenset(TYPES) | {f"{t}.{name}" for t, names in _FIELDS.items() for name in names}


def _count(log: pa.RecordBatch, rows: np.ndarray, counts: dict[str, int]) -> None:
    for name in counts:
        column = log.column(_IN_LOG.get(name, name))
        if column.null_count < len(column):
            valid = column.is_valid().to_numpy(zero_copy_only=False)
            counts[name] += int(np.count_nonzero(valid & rows))


def sidecar_path(events: Path) -> Path:
    """Return the path of the profile of an events file.

    >>> sidecar_path(Path("day/events.jsonl.gz")).name
    'events.profile.json'
    """
    return events.with_name(events.name.partition(".")[0] + ".profile.json")


def save(profile: Profile, path: Path) -> None:
    """Write a profile as JSON, keys sorted."""
    path.write_text(as_text(profile), "utf-8")


def as_text(profile: Profile) -> str:
    """Return a profile as the text of a file."""
    return json.dumps(_as_json(profile), indent=1, sort_keys=True) + "\n"


def _as_json(profile: Profile) -> dict[str, Any]:
    """Return a profile as JSON values; sources are left out if there are none."""
    content = {name: value for name, value in asdict(profile).items() if name != "sources"}
    sources = {name: _as_json(source) for name, source in profile.sources.items()}
    return content | ({"sources": sources} if sources else {})


def _from_json(fields_read: Any) -> Profile:
    return Profile(
        {str(k): float(v) for k, v in fields_read["types"].items()},
        {str(k): float(v) for k, v in fields_read["fields"].items()},
        int(fields_read["resolution_ms"]),
        int(fields_read["events"]),
        bool(fields_read.get("challenges", True)),
        {str(name): _from_json(source) for name, source in fields_read.get("sources", {}).items()},
    )


def load(path: Path) -> Profile:
    """Read a profile; raises FileError for a missing or malformed file."""
    fix = "create it: wavebreak profile EVENTS"
    try:
        profile = _from_json(json.loads(path.read_text("utf-8")))
    except OSError as e:
        raise FileError(f"the profile {path} cannot be read: {e.strerror}", fix=fix) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FileError(f"the profile {path} is not well formed", fix=fix) from None
    profiles = [profile, *profile.sources.values()]
    if any(set(part.types) - set(TYPES) or part.resolution_ms < 1 for part in profiles):
        raise FileError(
            f"the profile {path} has an unknown event type or a resolution below 1 ms", fix=fix
        )
    return profile
