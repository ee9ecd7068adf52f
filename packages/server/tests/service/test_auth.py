from __future__ import annotations

import pytest

from wavebreak_server.http import auth
from wavebreak_server.http.auth import Allowed, Denied, KeyEntry, KeyRing

CLOCK = [0.0]


def ring(*entries: KeyEntry) -> KeyRing:
    CLOCK[0] = 0.0
    made = KeyRing(lambda: 1_000.0 + CLOCK[0], lambda: CLOCK[0])
    made.replace(entries)
    return made


def entry(
    fresh: auth.GeneratedKey,
    scopes: str = "read",
    rate: float = 10.0,
    ends_s: float | None = None,
    owner: str = "",
) -> KeyEntry:
    scoped = frozenset(scopes.split())
    return KeyEntry(fresh.prefix, fresh.digest, "test", scoped, rate, 2.0, ends_s, owner)


def bearer(text: str) -> bytes:
    return f"Bearer {text}".encode()


def test_known_key_is_allowed_within_its_scopes() -> None:
    made = auth.generate_key()
    held = ring(entry(made, "read ingest", owner="first"))
    assert held.authorize(bearer(made.text), "ingest") == Allowed(
        made.prefix, frozenset({"read", "ingest"}), "first"
    )
    denied = held.authorize(bearer(made.text), "admin")
    assert isinstance(denied, Denied)
    assert (denied.status, denied.detail) == (403, "this key lacks the scope admin")


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer wb",
        b"Basic wb_00000000_x",
        b"Bearer wb_00000000_x",
        b"Bearer wb_\xff\xff_\xff",
        b"Bearer " + b"w" * 10_000,
        b"Bearer wb__",
    ],
)
def test_unknown_key_is_denied(header: bytes | None) -> None:
    denied = ring(entry(auth.generate_key(lambda n: bytes(n)))).authorize(header, "read")
    assert isinstance(denied, Denied)
    assert denied.status == 401


def test_key_with_any_changed_part_is_denied() -> None:
    made, other = auth.generate_key(), auth.generate_key()
    held = ring(entry(made), entry(other))
    crossed = f"wb_{made.prefix}_{other.text.split('_')[2]}"
    for wrong in (crossed, made.text[:-1], made.text + "0", made.text.replace("wb_", "xx_", 1)):
        assert isinstance(held.authorize(bearer(wrong), "read"), Denied)


def test_key_text_is_stored_nowhere() -> None:
    made = auth.generate_key()
    assert made.text.split("_")[2] not in repr(entry(made))
    assert made.text != auth.generate_key().text


def test_rotated_key_is_valid_until_grace_ends() -> None:
    old, new = auth.generate_key(), auth.generate_key()
    held = ring(entry(old, ends_s=1_060.0), entry(new))
    CLOCK[0] = 59.0
    assert isinstance(held.authorize(bearer(old.text), "read"), Allowed)
    CLOCK[0] = 60.0
    denied = held.authorize(bearer(old.text), "read")
    assert isinstance(denied, Denied)
    assert denied.status == 401
    assert isinstance(held.authorize(bearer(new.text), "read"), Allowed)


def test_key_over_its_rate_gets_retry_after() -> None:
    made = auth.generate_key()
    held = ring(entry(made, rate=10.0))
    answers = [held.authorize(bearer(made.text), "read") for _ in range(3)]
    assert [type(a) for a in answers] == [Allowed, Allowed, Denied]
    denied = answers[2]
    assert isinstance(denied, Denied)
    assert denied.status == 429
    assert denied.retry_after_s == pytest.approx(0.1)
    CLOCK[0] = 0.1
    assert isinstance(held.authorize(bearer(made.text), "read"), Allowed)


def test_replacing_keys_keeps_buckets_and_drops_revoked_keys() -> None:
    made = auth.generate_key()
    held = ring(entry(made))
    for _ in range(2):
        held.authorize(bearer(made.text), "read")
    held.replace([entry(made)])
    assert isinstance(held.authorize(bearer(made.text), "read"), Denied)
    held.replace([])
    denied = held.authorize(bearer(made.text), "read")
    assert isinstance(denied, Denied)
    assert denied.status == 401


def test_key_is_permitted_while_it_lasts_and_has_the_scope() -> None:
    lasting, ended = auth.generate_key(), auth.generate_key()
    held = ring(entry(lasting, "read"), entry(ended, "read", ends_s=0.0))
    asked = ((lasting, "read"), (lasting, "admin"), (ended, "read"))
    assert [held.permits(key.prefix, scope) for key, scope in asked] == [True, False, False]
    assert not held.permits("unknown", "read")


def test_header_of_an_unloaded_key_is_recognized() -> None:
    made = auth.generate_key(lambda n: bytes(n))
    held = ring(entry(made))
    other = auth.generate_key(lambda n: bytes([7]) * n)
    assert held.lacks(bearer(other.text))
    assert not held.lacks(bearer(made.text))
    for header in (None, b"", b"Bearer junk", b"Bearer wb_0707_x", bearer(other.text) + b"0"):
        assert not held.lacks(header)


def test_body_of_many_events_is_charged_as_many_requests() -> None:
    made = auth.generate_key()
    held = ring(entry(made, "ingest", rate=1.0))
    caller = held.authorize(bearer(made.text), "ingest")
    assert isinstance(caller, Allowed)
    caller.charge_events(100_000)
    denied = held.authorize(bearer(made.text), "ingest")
    assert isinstance(denied, Denied)
    # Of two tokens at most, one paid for the request and for its first thousand events.
    assert (denied.status, denied.retry_after_s) == (429, 99.0)


def test_body_of_a_thousand_events_costs_its_request_alone() -> None:
    made = auth.generate_key()
    held = ring(entry(made, "ingest", rate=1.0))
    caller = held.authorize(bearer(made.text), "ingest")
    assert isinstance(caller, Allowed)
    caller.charge_events(auth.EVENTS_PER_TOKEN)
    assert isinstance(held.authorize(bearer(made.text), "ingest"), Allowed)
    assert isinstance(held.authorize(bearer(made.text), "ingest"), Denied)
