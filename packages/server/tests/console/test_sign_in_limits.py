"""Limits of guesses: who waits for whose wrong guesses, and for how long."""

from __future__ import annotations

from django.utils.module_loading import import_string

from wavebreak.durations import HOUR_S
from wavebreak_server import django_settings
from wavebreak_server.console.sign_in_audit import UnnamedAttempts
from wavebreak_server.console.sign_in_limits import (
    KINDS,
    MAX_COUNTED,
    Counted,
    SignInLimits,
    factor_guess,
    password_guess,
)

HERE, ELSEWHERE = "198.51.100.7", "203.0.113.9"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def waits(limits: SignInLimits, clock: Clock, guess: tuple[Counted, ...], count: int) -> list[int]:
    """Make so many wrong guesses, each as soon as it is taken; return the seconds waited."""
    waited = []
    for _ in range(count):
        wait = limits.begin(guess)
        waited.append(round(wait))
        if wait:
            clock.now += wait
            assert limits.begin(guess) == 0
    return waited


def test_wait_grows_with_each_wrong_guess_up_to_its_longest() -> None:
    clock = Clock()
    limits = SignInLimits(clock)
    guess = password_guess("dana", HERE, "")
    waited = waits(limits, clock, guess, 19)
    assert waited[:11] == [0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16]
    assert waited[-2:] == [900, 900]


def test_guesses_that_come_too_soon_are_not_counted() -> None:
    clock = Clock()
    limits = SignInLimits(clock)
    guess = password_guess("dana", HERE, "")
    waits(limits, clock, guess, 8)
    assert {limits.begin(guess) for _ in range(50)} == {4.0}


def test_wrong_guesses_of_one_network_leave_others_alone() -> None:
    clock = Clock()
    limits = SignInLimits(clock)
    waits(limits, clock, password_guess("dana", HERE, ""), 12)
    assert limits.begin(password_guess("dana", ELSEWHERE, "")) == 0
    assert limits.begin(password_guess("omer", HERE, "")) == 0
    assert limits.begin(password_guess("dana", HERE, "a device")) == 0


def test_guesses_from_many_networks_slow_new_devices_alone() -> None:
    clock = Clock()
    limits = SignInLimits(clock)
    waited = [limits.begin(password_guess("dana", f"10.0.0.{n}", "")) for n in range(60)]
    assert waited[:21] == [0.0] * 21
    assert set(waited[21:]) == {1.0}
    clock.now += 1
    guesses = [password_guess("dana", f"10.0.1.{n}", "") for n in range(20)]
    for guess in guesses:
        clock.now += limits.begin(guess)
        limits.begin(guess)
    assert limits.begin(password_guess("dana", ELSEWHERE, "")) == KINDS["name"].longest_s
    assert limits.begin(password_guess("dana", ELSEWHERE, "a device")) == 0


def test_one_password_on_many_names_slows_a_network_briefly() -> None:
    clock = Clock()
    limits = SignInLimits(clock)
    for n in range(200):
        guess = password_guess(f"name {n}", HERE, "")
        clock.now += limits.begin(guess)
        limits.begin(guess)
    assert limits.begin(password_guess("dana", HERE, "")) == KINDS["network"].longest_s == 10
    assert limits.begin(password_guess("dana", HERE, "a device")) == 0
    assert limits.begin(password_guess("dana", ELSEWHERE, "")) == 0


def test_guesses_at_the_same_time_do_not_pass_together() -> None:
    limits = SignInLimits(Clock())
    guess = password_guess("dana", HERE, "")
    assert sum(limits.begin(guess) == 0 for _ in range(100)) == 6


def test_right_guess_ends_the_wait() -> None:
    clock = Clock()
    limits = SignInLimits(clock)
    guess = password_guess("dana", HERE, "a device")
    waits(limits, clock, guess, 12)
    limits.succeed(guess)
    assert waits(limits, clock, guess, 11) == [0] * 11


def test_right_guesses_between_wrong_ones_free_no_network() -> None:
    clock = Clock()
    limits = SignInLimits(clock)
    own, other = password_guess("mallory", HERE, ""), password_guess("dana", HERE, "")
    tried = 0
    for _ in range(60):
        if limits.begin(own) == 0:
            limits.succeed(own)
        tried += limits.begin(other) == 0
    assert tried == 6


def test_counts_end_after_a_quiet_hour() -> None:
    clock = Clock()
    limits = SignInLimits(clock)
    guess = factor_guess("dana", "")
    waits(limits, clock, guess, 9)
    clock.now += HOUR_S + 1
    assert waits(limits, clock, guess, 6) == [0] * 6


def test_memory_is_bounded_and_the_newest_are_kept() -> None:
    clock = Clock()
    limits = SignInLimits(clock)
    guess = factor_guess("dana", "")
    waits(limits, clock, guess, 8)
    for n in range(MAX_COUNTED - 1):
        limits.begin(factor_guess(f"name {n}", ""))
    assert limits.wait_s(guess) > 0
    limits.begin(factor_guess("one more", ""))
    assert limits.wait_s(guess) == 0


def test_entries_that_anybody_can_cause_are_bounded() -> None:
    clock = Clock()
    attempts = UnnamedAttempts(clock)
    taken = [attempts.take() for _ in range(100)]
    assert taken == [0] * 30 + [None] * 70
    clock.now += 61
    assert attempts.take() == 70
    assert attempts.take() is None


def test_a_stored_password_costs_memory_to_guess() -> None:
    # Other tests hash by `support.quick_hasher`.
    hashers = [import_string(name) for name in django_settings.settings()["PASSWORD_HASHERS"]]
    assert [each.algorithm for each in hashers] == ["argon2"]
    assert all(each.memory_cost >= 64 << 10 and each.time_cost >= 2 for each in hashers)
