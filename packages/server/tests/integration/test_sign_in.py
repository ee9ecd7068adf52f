"""Signing in: guesses are slowed, nobody is locked out; credentials need the old one; audited."""

from __future__ import annotations

import re
import time
from functools import partial
from typing import Any

import httpx
import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from allauth.socialaccount.models import SocialAccount
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.mail.backends.dummy import EmailBackend
from django.urls import URLPattern, get_resolver

from support.console_harness import PASSWORD, RunningConsole, Visitor, console_test
from wavebreak_server.console import sign_in_audit, sign_in_limits
from wavebreak_server.console.sign_in_limits import SignInLimits
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import AuditEntry

LOGIN = "/console/user/login/"
CODE = "/console/user/2fa/authenticate/"
CHANGE = "/console/user/password/change/"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
NEW = "an entirely other passphrase"


class Clock:
    """The clock of the limits: it stands still until a test lets it go on."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True)
def standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test limits of its own, in which no time passes."""
    CLOCK.now = 0.0
    monkeypatch.setattr(sign_in_limits, "SignInLimits", partial(SignInLimits, CLOCK))
    attempts = partial(sign_in_audit.UnnamedAttempts, CLOCK)
    monkeypatch.setattr(sign_in_audit, "UnnamedAttempts", attempts)


async def _with_people(console: RunningConsole) -> None:
    await console.person("lead", "dana")
    await console.person("analyst", "omer")


visits = console_test(_with_people)
"""Runs a test against a console where `dana` and `omer` may sign in."""


async def _sign_in(visitor: Visitor, name: str, password: str = PASSWORD) -> httpx.Response:
    answer: httpx.Response = await visitor.post(LOGIN, page=LOGIN, login=name, password=password)
    return answer


async def _known(console: RunningConsole, name: str, peer: str = "192.0.2.1") -> Visitor:
    """Return a browser in which somebody has signed in before, and out."""
    visitor = console.anybody(peer)
    assert (await _sign_in(visitor, name)).status_code == 302
    await visitor.post("/console/user/logout/")
    return visitor


def _audited(*actions: str) -> list[tuple[str, str, str, str, str]]:
    rows = AuditEntry.objects.order_by("number")
    rows = rows.filter(action__in=actions) if actions else rows
    return list(rows.values_list("action", "key", "object", "reason", "outcome"))


def _add_totp(name: str) -> list[str]:
    """Give somebody an authenticator app, and return their recovery codes."""
    user = User.objects.get(username=name)
    TOTP.activate(user, SECRET)
    codes: list[str] = RecoveryCodes.activate(user).get_unused_codes()
    return codes


def _code() -> str:
    return str(format_hotp_value(hotp_value(SECRET, int(time.time()) // 30)))


# Guesses


@visits
async def test_wrong_guesses_elsewhere_lock_nobody_out(console: RunningConsole) -> None:
    own = await _known(console, "dana")
    stranger = console.anybody("203.0.113.9")
    answers = [await _sign_in(stranger, "dana", f"wrong guess {n}") for n in range(12)]
    assert [a.status_code for a in answers[:6]] == [200] * 6
    slowed = answers[-1]
    assert (slowed.status_code, slowed.headers["retry-after"]) == (429, "1")
    assert "Too many wrong attempts. Try again in 1 second." in slowed.text
    assert (await _sign_in(stranger, "dana")).status_code == 429
    assert (await _sign_in(own, "dana")).status_code == 302
    assert (await _sign_in(console.anybody("198.51.100.7"), "dana")).status_code == 302


@visits
async def test_guesses_behind_ones_own_address_lock_nobody_out(console: RunningConsole) -> None:
    own = await _known(console, "dana", "203.0.113.9")
    stranger = console.anybody("203.0.113.9")
    for n in range(45):
        await _sign_in(stranger, f"name{n}", "a wrong guess")
    fresh = console.anybody("203.0.113.9")
    slowed = await _sign_in(fresh, "omer")
    assert slowed.status_code == 429
    assert int(slowed.headers["retry-after"]) <= 10
    assert (await _sign_in(own, "dana")).status_code == 302


@visits
async def test_distributed_guesses_slow_new_devices_alone(console: RunningConsole) -> None:
    own = await _known(console, "dana")
    answers = [
        await _sign_in(console.anybody(f"203.0.113.{n}"), "dana", "a wrong guess")
        for n in range(40)
    ]
    assert [a.status_code for a in answers] == [200] * 21 + [429] * 19
    for _ in range(9):
        assert (await _sign_in(own, "dana", "mistyped")).status_code == 200
    assert (await _sign_in(own, "dana")).status_code == 302


@visits
async def test_device_is_known_for_who_signed_in_on_it(console: RunningConsole) -> None:
    own = await _known(console, "omer", "203.0.113.9")
    answers = [await _sign_in(own, "dana", "a wrong guess") for _ in range(12)]
    assert answers[-1].status_code == 429
    forged = console.anybody("203.0.113.10")
    forged.client.cookies.set("wavebreak_device", "WyJ4IixbMV1d:1:x", domain="localhost.local")
    answers = [await _sign_in(forged, "dana", "a wrong guess") for _ in range(12)]
    assert answers[-1].status_code == 429


@visits
async def test_guesses_in_a_known_browser_are_slowed_too(console: RunningConsole) -> None:
    own = await _known(console, "dana")
    answers = [await _sign_in(own, "dana", "a wrong guess") for _ in range(14)]
    assert [a.status_code for a in answers].count(200) == 11
    assert answers[-1].headers["retry-after"] == "1"
    CLOCK.now += 1.0
    assert (await _sign_in(own, "dana")).status_code == 302


@visits
async def test_passkeys_are_unaffected_by_wrong_passwords(console: RunningConsole) -> None:
    stranger = console.anybody("203.0.113.9")
    for n in range(45):
        await _sign_in(stranger, f"name{n % 9}", "a wrong guess")
    assert (await _sign_in(stranger, "dana")).status_code == 429
    passkey = "/console/user/2fa/webauthn/login/"
    for _ in range(30):
        asked = await stranger.get(passkey, headers={"Accept": "application/json"})
        assert "challenge" in asked.json()["request_options"]["publicKey"]
        answer = await stranger.post(passkey, page=LOGIN, credential="{}")
        assert (answer.status_code, answer.headers["location"]) == (302, LOGIN)


@visits
async def test_guesses_at_a_code_are_slowed_but_not_at_home(console: RunningConsole) -> None:
    own = await _known(console, "dana")
    recovery = await stored(lambda: _add_totp("dana"))
    stranger = console.anybody("203.0.113.9")
    assert (await _sign_in(stranger, "dana")).headers["location"] == CODE
    answers = [await stranger.post(CODE, page=CODE, code=f"00000{n}") for n in range(8)]
    assert [a.status_code for a in answers] == [200] * 6 + [429] * 2
    assert answers[-1].headers["retry-after"] == "1"
    # A new session is no new start.
    again = console.anybody("198.51.100.8")
    assert (await _sign_in(again, "dana")).headers["location"] == CODE
    assert (await again.post(CODE, page=CODE, code=recovery[0])).status_code == 429
    assert (await _sign_in(own, "dana")).headers["location"] == CODE
    assert (await own.post(CODE, page=CODE, code=_code())).headers["location"] == "/console/"
    refused = [r for r in await stored(lambda: _audited("sign_in")) if r[4] == "refused"]
    assert len(refused) == 6
    assert refused[-1][1:4] == (
        "sign-in", "dana", "wrong code of a second factor, from a new device; slowed for 1 second",
    )  # fmt: skip


# The audit


@visits
async def test_sign_ins_failures_and_sign_outs_are_audited(console: RunningConsole) -> None:
    visitor = console.anybody("203.0.113.9")
    await _sign_in(visitor, "dana", "a wrong guess")
    await _sign_in(visitor, "hunter2-typed-as-name", "a wrong guess")
    await _sign_in(visitor, "Dana")
    await visitor.post("/console/user/logout/")
    await stored(lambda: User.objects.filter(username="omer").update(is_active=False))
    assert (await _sign_in(visitor, "omer")).headers["location"] == "/console/user/inactive/"
    assert await stored(lambda: _audited("sign_in", "sign_out")) == [
        ("sign_in", "sign-in", "dana", "wrong name or password, from a new device", "refused"),
        ("sign_in", "sign-in", "unknown name", "wrong name or password", "refused"),
        ("sign_in", "user:dana", "dana", "by password", "done"),
        ("sign_out", "user:dana", "dana", "asked for", "done"),
        ("sign_in", "sign-in", "omer", "the account is off", "refused"),
    ]
    assert await stored(lambda: all(row.is_authentic for row in AuditEntry.objects.all()))


@visits
async def test_no_typed_name_password_or_address_is_stored(
    console: RunningConsole, tmp_path: Any
) -> None:
    visitor = console.anybody("203.0.113.9")
    for name, password in (("hunter2hunter2", "x"), ("dana", "hunter2hunter2"), ("dana", PASSWORD)):
        await _sign_in(visitor, name, password)
    for path in tmp_path.rglob("*"):
        held = path.read_bytes() if path.is_file() else b""
        assert not any(word in held for word in (b"hunter2", PASSWORD.encode(), b"203.0.113.9"))


@visits
async def test_unknown_names_do_not_fill_the_audit(console: RunningConsole) -> None:
    for n in range(60):
        await _sign_in(console.anybody(f"203.0.113.{n}"), f"nobody{n}", "a wrong guess")
    assert len(await stored(lambda: _audited("sign_in"))) <= 30


# Credentials


@visits
async def test_session_alone_changes_no_credential(console: RunningConsole) -> None:
    thief = await console.person("lead", "dana")
    for path in (
        "2fa/totp/activate/", "2fa/webauthn/add/", "2fa/recovery-codes/generate/", "3rdparty/",
    ):  # fmt: skip
        page = await thief.get(f"/console/user/{path}")
        if path != "3rdparty/":
            assert page.headers["location"].startswith("/console/user/reauthenticate/"), path
    fields = {"password1": NEW, "password2": NEW}
    answer = await thief.post(CHANGE, page=CHANGE, **fields)
    assert "This field is required" in answer.text
    answers = [
        await thief.post(CHANGE, page=CHANGE, oldpassword=f"guess {n}", **fields) for n in range(8)
    ]
    assert [a.status_code for a in answers] == [200] * 6 + [429] * 2
    confirm = "/console/user/reauthenticate/"
    assert (await thief.post(confirm, page=confirm, password="a guess")).status_code == 429
    assert (await _sign_in(console.anybody("192.0.2.1"), "dana")).status_code == 302
    audited = await stored(lambda: _audited("reauthenticate", "change_password"))
    assert len(audited) == 6
    assert audited[0][1:] == (
        "sign-in", "dana", "wrong name or password, from a new device", "refused",
    )  # fmt: skip


@visits
async def test_new_password_ends_other_sessions_and_is_audited(console: RunningConsole) -> None:
    other, person = await console.person("lead", "dana"), console.anybody()
    await _sign_in(person, "dana")
    answer = await person.post(
        CHANGE, page=CHANGE, oldpassword=PASSWORD, password1=NEW, password2=NEW
    )
    assert answer.status_code == 302
    assert (await person.get("/console/profile")).status_code == 200
    assert (await other.get("/console/profile")).status_code == 302
    assert await stored(lambda: _audited("change_password")) == [
        ("change_password", "user:dana", "dana",
         "with the old password; 2 other sessions ended", "done"),
    ]  # fmt: skip
    assert await stored(Session.objects.count) == 2  # of `person`, and of `omer`
    assert (await _sign_in(console.anybody(), "dana")).status_code == 200


@visits
async def test_new_password_ends_a_sign_in_that_waits_for_a_code(console: RunningConsole) -> None:
    recovery = await stored(lambda: _add_totp("dana"))
    thief = console.anybody("203.0.113.9")
    assert (await _sign_in(thief, "dana")).headers["location"] == CODE
    token = await thief.token(CODE)
    person = await console.person("lead", "dana")
    await person.post(CHANGE, page=CHANGE, oldpassword=PASSWORD, password1=NEW, password2=NEW)
    fields = {"csrfmiddlewaretoken": token, "code": recovery[0]}
    assert (await thief.client.post(CODE, data=fields)).headers["location"] != "/console/"
    assert (await thief.get("/console/")).status_code == 302


@visits
async def test_second_factors_end_other_sessions_and_are_audited(console: RunningConsole) -> None:
    other, person = await console.person("lead", "dana"), await console.person("lead", "dana")
    activate, confirm = "/console/user/2fa/totp/activate/", "/console/user/reauthenticate/"
    assert (await person.post(confirm, page=confirm, password=PASSWORD)).status_code == 302
    page = await person.get(activate)
    code = format_hotp_value(hotp_value(_shown_secret(page.text), int(time.time()) // 30))
    fields = {"csrfmiddlewaretoken": await person.token("/console/profile"), "code": code}
    assert (await person.client.post(activate, data=fields)).status_code == 302
    assert (await other.get("/console/profile")).status_code == 302
    assert (await person.get("/console/profile")).status_code == 200
    renew = "/console/user/2fa/recovery-codes/generate/"
    assert (await person.post(renew)).status_code == 302
    assert (await person.post("/console/user/2fa/totp/deactivate/")).status_code == 302
    audited = await stored(lambda: _audited("add_factor", "renew_factor", "remove_factor"))
    assert [(action, reason.partition(";")[0]) for action, _, _, reason, _ in audited] == [
        ("add_factor", "authenticator app"),
        ("add_factor", "recovery codes"),
        ("renew_factor", "recovery codes"),
        ("remove_factor", "authenticator app"),
        ("remove_factor", "recovery codes"),
    ]
    assert {key for _, key, _, _, _ in audited} == {"user:dana"}
    assert not await stored(Authenticator.objects.exists)


def _shown_secret(page: str) -> str:
    found = re.search(r"\b[A-Z2-7]{32}\b", page)
    assert found
    return found[0]


# Addresses


def _user_addresses() -> set[str]:
    def walk(patterns: Any, before: str) -> Any:
        for one in patterns:
            path = f"{before}{one.pattern}"
            if isinstance(one, URLPattern):
                yield path
            else:
                yield from walk(one.url_patterns, path)

    every = walk(get_resolver("wavebreak_server.console.urls").url_patterns, "")
    return {path for path in every if path.startswith("console/user")}


@visits
async def test_person_is_told_that_their_account_was_changed(console: RunningConsole) -> None:
    changed = "account was changed since"
    person = console.anybody()
    await _sign_in(person, "dana")
    await person.post(CHANGE, page=CHANGE, oldpassword=PASSWORD, password1=NEW, password2=NEW)
    again = console.anybody()
    await _sign_in(again, "dana", NEW)
    assert changed in (await again.get("/console/")).text
    assert "change_password" in (await again.get("/console/profile")).text
    # Told once, and to nobody else.
    for name, password in (("dana", NEW), ("omer", PASSWORD), ("omer", PASSWORD)):
        other = console.anybody()
        await _sign_in(other, name, password)
        assert changed not in (await other.get("/console/")).text
    assert "change_password" not in (await other.get("/console/profile")).text


@visits
async def test_shown_name_is_nobody_elses_and_audited(console: RunningConsole) -> None:
    person = await console.person("analyst", "gal")
    for name in ("Dana", "D\u00e1na", "omer", "gal\u202eanad"):
        answer = await person.post("/console/profile", display_name=name)
        assert answer.status_code == 422, name
    assert await stored(lambda: _audited("change_name")) == []
    for name in ("Gal  Levi", "Gal Levi"):
        assert (await person.post("/console/profile", display_name=name)).status_code == 302
    assert await stored(lambda: _audited("change_name")) == [
        ("change_name", "user:gal", "gal", '["", "Gal Levi"]', "done"),
    ]  # fmt: skip


@visits
async def test_reset_takes_what_may_be_somebody_elses(console: RunningConsole) -> None:
    admin = await console.person("admin")

    def stolen() -> str:
        user = User.objects.get(username="dana")
        _add_totp("dana")
        SocialAccount.objects.create(user=user, provider="company", uid="7")
        User.objects.filter(id=user.id).update(display_name="Admin")
        return f"/console/settings/users/{user.id}/reset"

    path = await stored(stolen)
    version = await stored(lambda: User.objects.get(username="dana").version)
    answer = await admin.post(path, version=version, reason="a stolen session")
    assert answer.status_code == 200

    def held() -> tuple[int, int, str]:
        models = (Authenticator, SocialAccount)
        name = User.objects.get(username="dana").display_name
        return *(model.objects.count() for model in models), name

    assert await stored(held) == (0, 0, "")


def test_addresses_of_people_are_these_alone() -> None:
    user = "console/user/"
    assert _user_addresses() == {
        f"{user}login/", f"{user}logout/", f"{user}inactive/", f"{user}reauthenticate/",
        f"{user}password/change/",
        f"{user}2fa/", f"{user}2fa/authenticate/", f"{user}2fa/reauthenticate/",
        f"{user}2fa/totp/activate/", f"{user}2fa/totp/deactivate/",
        f"{user}2fa/recovery-codes/", f"{user}2fa/recovery-codes/generate/",
        f"{user}2fa/recovery-codes/download/",
        f"{user}2fa/webauthn/", f"{user}2fa/webauthn/add/", f"{user}2fa/webauthn/login/",
        f"{user}2fa/webauthn/reauthenticate/", f"{user}2fa/webauthn/keys/<int:pk>/remove/",
        f"{user}2fa/webauthn/keys/<int:pk>/edit/",
        f"{user}3rdparty/", f"{user}3rdparty/login/cancelled/",
        f"{user}oidc/<str:provider_id>/login/", f"{user}oidc/<str:provider_id>/login/callback/",
    }  # fmt: skip


@visits
async def test_pages_of_mail_and_lost_passwords_are_gone(console: RunningConsole) -> None:
    thief = await console.person("lead", "dana")
    for path in (
        "email/", "confirm-email/", "confirm-email/x:y/", "password/reset/", "password/reset/done/",
        "password/reset/key/1-set-password/", "password/set/", "reauthenticate/code/", "signup/",
        "login/code/confirm/", "3rdparty/signup/", "social/connections/", "",
    ):  # fmt: skip
        for visitor in (thief, console.anybody()):
            assert (await visitor.get(f"/console/user/{path}")).status_code == 404, path
            posted = await visitor.client.post(
                f"/console/user/{path}", data={"email": "a@b.example"}
            )
            assert posted.status_code in (403, 404), path


def test_no_mail_is_sent() -> None:
    assert type(mail.get_connection()) is EmailBackend
