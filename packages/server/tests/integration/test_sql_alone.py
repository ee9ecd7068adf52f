"""Somebody who can write the database, and has no key, becomes nobody in the console by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from allauth.socialaccount.models import SocialApp
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.models import Session
from django.db import connection

from support.console_harness import PASSWORD, RunningConsole, Visitor, console_test
from wavebreak_server.errors import DomainError
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.shares.models import SharedCase
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.users.sessions import stored_key
from wavebreak_server.slices.versions.models import ModelVersion, PolicyVersion
from wavebreak_server.storage.database_audit import DatabaseAudit
from wavebreak_server.storage.models import Erasure

LOGIN = "/console/user/login/"
OWN = "a passphrase that the attacker knows"


async def _with_people(console: RunningConsole) -> None:
    await console.person("admin", "dana")
    await console.person("auditor", "eve")


visits = console_test(_with_people)
"""Runs a test against a console where `dana` is administrator, and `eve` an auditor."""


def _run_sql(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        assert cursor.rowcount != 0, statement


def _insert_administrator() -> None:
    columns = [field.column for field in User._meta.concrete_fields if field.column != "id"]
    changed = {"username": "'mallory'", "password": "%s", "role": "'admin'"}
    values = ", ".join(changed.get(name, name) for name in columns)
    _run_sql(
        f"INSERT INTO console_user ({', '.join(columns)}) SELECT {values} "
        "FROM console_user WHERE username = 'dana'",
        make_password(OWN),
    )


def _promote() -> None:
    _run_sql("UPDATE console_user SET role = 'admin' WHERE username = 'eve'")


def _copy_row() -> None:
    _run_sql(
        "UPDATE console_user SET (role, mac) = "
        "(SELECT role, mac FROM console_user WHERE username = 'dana') WHERE username = 'eve'"
    )


def _exchange_password() -> None:
    _run_sql("UPDATE console_user SET password = %s WHERE username = 'dana'", make_password(OWN))


def _forget_proof() -> None:
    _run_sql(
        "UPDATE console_user SET role = 'admin', mac = NULL WHERE username = 'eve'",
    )


def _findings() -> list[str]:
    return [finding.what for finding in DatabaseAudit().run().findings]


async def _sign_in(visitor: Visitor, name: str, password: str) -> int:
    answer = await visitor.post(LOGIN, page=LOGIN, login=name, password=password)
    return int(answer.status_code)


@pytest.mark.parametrize(
    ("attack", "name", "password"),
    [
        (_insert_administrator, "mallory", OWN),
        (_promote, "eve", PASSWORD),
        (_copy_row, "eve", PASSWORD),
        (_exchange_password, "dana", OWN),
        (_forget_proof, "eve", PASSWORD),
    ],
)
def test_a_changed_person_does_not_sign_in(
    attack: Callable[[], None], name: str, password: str, tmp_path: Path
) -> None:
    @visits
    async def run(console: RunningConsole) -> None:
        assert await stored(_findings) == []
        await stored(attack)
        visitor = console.anybody()
        assert await _sign_in(visitor, name, password) == 200, "the form is shown again"
        assert (await visitor.get("/console/")).status_code == 302
        assert len(await stored(_findings)) == 1

    run(tmp_path)


@visits
async def test_a_session_ends_when_its_person_is_changed_in_the_database(
    console: RunningConsole,
) -> None:
    eve = await console.person("auditor", "eve")
    assert (await eve.get("/console/")).status_code == 200
    await stored(_promote)
    assert (await eve.get("/console/")).status_code == 302


@visits
async def test_a_copied_session_signs_nobody_in(console: RunningConsole) -> None:
    dana = await console.person("admin", "dana")
    cookie = dana.client.cookies.get(settings.SESSION_COOKIE_NAME)
    assert cookie is not None

    def copy(key: str) -> None:
        _run_sql(
            "INSERT INTO django_session (session_key, session_data, expire_date) "
            "SELECT %s, session_data, expire_date FROM django_session WHERE session_key = %s",
            key,
            stored_key(cookie),
        )

    def readable_keys() -> list[str]:
        return list(Session.objects.values_list("session_key", flat=True))

    chosen = "k" * 32
    await stored(lambda: copy(stored_key(chosen)))
    keys = await stored(readable_keys)
    assert cookie not in keys
    for guess in (chosen, *keys):
        visitor = console.anybody()
        visitor.client.cookies.set(settings.SESSION_COOKIE_NAME, guess, domain="localhost.local")
        assert (await visitor.get("/console/")).status_code == 302, guess
    assert (await dana.get("/console/")).status_code == 200


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM mfa_authenticator WHERE type = 'totp'",
        "UPDATE mfa_authenticator SET data = '{\"secret\": \"mine\"}' WHERE type = 'totp'",
        "INSERT INTO socialaccount_socialaccount "
        "(provider, uid, user_id, extra_data, last_login, date_joined) "
        "SELECT 'own', 'mallory', id, '{}', date_joined, date_joined FROM console_user "
        "WHERE username = 'dana'",
    ],
)
def test_changed_credentials_sign_nobody_in(statement: str, tmp_path: Path) -> None:
    @visits
    async def run(console: RunningConsole) -> None:
        def add_factor() -> None:
            TOTP.activate(User.objects.get(username="dana"), "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")

        def change_again() -> None:
            factor = Authenticator(user=User.objects.get(username="dana"), type="webauthn", data={})
            factor.save()

        dana = await console.person("admin", "dana")
        await stored(add_factor)
        assert (await dana.get("/console/")).status_code == 200
        assert await stored(_findings) == []
        await stored(lambda: _run_sql(statement))
        assert (await dana.get("/console/")).status_code == 302
        with pytest.raises(DomainError, match="credentials of person"):
            await stored(change_again)
        assert len(await stored(_findings)) == 1

    run(tmp_path)


@visits
async def test_a_provider_in_the_database_signs_nobody_in(console: RunningConsole) -> None:
    def add_provider() -> None:
        settings = {"server_url": "https://mallory.example", "auto_create": True}
        SocialApp.objects.create(
            provider="openid_connect", provider_id="mallory", client_id="m", settings=settings
        )

    await stored(add_provider)
    visitor = console.anybody()
    page = await visitor.get(LOGIN)
    assert page.status_code == 200
    assert "mallory" not in page.text
    answer = await visitor.get("/console/user/oidc/mallory/login/")
    assert answer.status_code == 404


def _review_case(number: int) -> ReviewCase:
    names = ("opened_ms", "changed_ms", "harm", "uncertainty", "priority")
    case: ReviewCase = ReviewCase.objects.create(
        account=str(number), decision=number, **dict.fromkeys(names, 0)
    )
    return case


def _change(table: str, column: str, value: object) -> None:
    _run_sql(f"UPDATE {table} SET {column} = %s WHERE id = 1", value)


def _forget(table: str, column: str, value: object) -> None:
    _run_sql(f"UPDATE {table} SET {column} = %s, mac = NULL WHERE id = 1", value)


def _copy(table: str, column: str, value: object) -> None:
    _run_sql(
        f"UPDATE {table} SET {column} = %s, mac = (SELECT mac FROM {table} WHERE id = 2) "
        "WHERE id = 1",
        value,
    )


@pytest.mark.parametrize("attack", [_change, _forget, _copy])
def test_rows_that_decide_are_not_read_after_sql_alone(
    attack: Callable[[str, str, object], None], tmp_path: Path
) -> None:
    changes = {
        PolicyVersion: ("state", PolicyVersion.APPROVED),
        ModelVersion: ("model", "mine"),
        Appeal: ("result", Appeal.REVERSED),
        SharedCase: ("expires_ms", 1 << 60),
        Erasure: ("upto", 1 << 60),
    }

    def make_rows() -> None:
        author = User.objects.get(username="dana")
        for number in (1, 2):
            PolicyVersion.objects.create(author=author, created_ms=number, changed_ms=0)
            ModelVersion.objects.create(author=author, created_ms=number)
            Appeal.objects.create(decision=str(number), number=number, account="a", created_ms=0)
            case = _review_case(number)
            SharedCase.objects.create(
                digest=str(number), case=case, by=author, created_ms=0, expires_ms=0
            )
            Erasure.objects.create(account="a", at_ms=number, upto=0)

    def attack_all() -> None:
        for table, (column, value) in changes.items():
            attack(table._meta.db_table, column, value)

    def readable_ids() -> list[list[int]]:
        return [[row.pk for row in table.objects.order_by("id")] for table in changes]

    @visits
    async def run(console: RunningConsole) -> None:
        await stored(make_rows)
        assert await stored(_findings) == []
        assert await stored(readable_ids) == [[1, 2]] * len(changes)
        await stored(attack_all)
        assert await stored(readable_ids) == [[2]] * len(changes)
        assert len(await stored(_findings)) == len(changes)

    run(tmp_path)


@visits
async def test_columns_of_people_are_read_with_their_proof_alone(console: RunningConsole) -> None:
    with pytest.raises(TypeError, match="columns of a row cannot be verified"):
        await stored(lambda: list(User.objects.values_list("role", flat=True)))
    with pytest.raises(TypeError, match="verified as a whole"):
        await stored(lambda: list(User.objects.defer("role")))
    with pytest.raises(TypeError, match="save"):
        await stored(lambda: User.objects.bulk_create([User(username="mallory")]))
