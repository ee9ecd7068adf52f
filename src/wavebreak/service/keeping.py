"""Keys as they are kept: made, listed, rotated with grace, ended."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET

from wavebreak.service import keys, shapes
from wavebreak.service.desk import changed, read, write
from wavebreak.service.problems import RefusedError
from wavebreak.service.replying import Call
from wavebreak.service.tables import ApiKey

_UNKNOWN = "there is no such key, or it has ended"


def shown(key: ApiKey, text: str = "") -> shapes.Key:
    """A key as it may be shown; with its `text` when it is made."""
    scopes = key.scopes.split()
    return shapes.Key(
        prefix=key.prefix, name=key.name, scopes=tuple(s for s in keys.SCOPES if s in scopes),
        rate=key.rate, burst=key.burst, created_ms=key.created_ms, ends_ms=key.ends_ms,
        text=text or UNSET,
    )  # fmt: skip


def add(
    name: str, scopes: Iterable[str], now_ms: int, by: str, reason: str, *, rate: float = 1000.0,
    burst: float = 2000.0,
) -> shapes.Key:  # fmt: skip
    """Make a key and keep its hash; its text is in what is returned and nowhere else."""
    fresh = keys.make()
    made = ApiKey.objects.create(
        prefix=fresh.prefix, digest=fresh.digest, name=name, rate=rate, burst=burst,
        scopes=" ".join(s for s in keys.SCOPES if s in set(scopes)), created_ms=now_ms,
    )  # fmt: skip
    changed(now_ms, by, "add_key", fresh.prefix, reason)
    return shown(made, fresh.text)


def _living(prefix: str, now_ms: int) -> ApiKey:
    found: ApiKey | None = ApiKey.objects.filter(prefix=prefix).first()
    if found is None or (found.ends_ms is not None and found.ends_ms <= now_ms):
        raise RefusedError(404, _UNKNOWN)
    return found


def rotate(prefix: str, grace_s: int, now_ms: int, by: str, reason: str) -> shapes.Key:
    """Make a key's successor with the same scopes and rate; the former ends after the grace.

    Raises RefusedError for a key that has ended (404) or is being rotated already (409).
    """
    former = _living(prefix, now_ms)
    if former.ends_ms is not None:
        raise RefusedError(409, "the key has a successor already")
    former.ends_ms = now_ms + grace_s * 1000
    former.save()
    changed(now_ms, by, "rotate_key", prefix, reason)
    return add(
        former.name, former.scopes.split(), now_ms, by, f"successor of {prefix}",
        rate=former.rate, burst=former.burst,
    )  # fmt: skip


def revoke(prefix: str, now_ms: int, by: str, reason: str) -> None:
    """End a key at once; raises RefusedError (404) where there is none that lives."""
    former = _living(prefix, now_ms)
    former.ends_ms = now_ms
    former.save()
    changed(now_ms, by, "revoke_key", prefix, reason)


def listed() -> list[shapes.Key]:
    """Every key, oldest first."""
    return [shown(key) for key in ApiKey.objects.order_by("created_ms", "prefix")]


async def all_keys(_call: Call) -> shapes.Keys:
    """Answer with every key."""
    return shapes.Keys(tuple(await read(listed)))


async def add_key(call: Call) -> shapes.Key:
    """Answer with a new key."""
    asked = call.body
    made = await write(
        lambda: add(asked.name, asked.scopes, call.now_ms, call.key, asked.reason,
                    rate=asked.rate, burst=asked.burst)
    )  # fmt: skip
    await call.desk.refresh()
    return made


async def rotate_key(call: Call) -> shapes.Key:
    """Answer with a key's successor."""
    prefix, asked = call.path["prefix"], call.body
    made = await write(lambda: rotate(prefix, asked.grace_s, call.now_ms, call.key, asked.reason))
    await call.desk.refresh()
    return made


async def revoke_key(call: Call) -> None:
    """End a key."""
    prefix, reason = call.path["prefix"], call.query.reason
    await write(lambda: revoke(prefix, call.now_ms, call.key, reason))
    await call.desk.refresh()
