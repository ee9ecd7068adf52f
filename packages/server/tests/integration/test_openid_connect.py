"""Sign-in by OpenID Connect against a provider that runs: state, PKCE, roles, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.contrib.sessions.models import Session
from django.contrib.sessions.serializers import JSONSerializer
from django.core import signing
from django.http import HttpRequest

from support.console_harness import PASSWORD, RunningConsole, Visitor, running_console
from support.openid_provider import OpenIdProvider
from support.service_harness import migrated
from support.webhook_receiver import listening
from wavebreak.errors import UsageError
from wavebreak_server.console import server
from wavebreak_server.console.adapters import SocialAccountAdapter
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.users.sessions import read_session, session_salt
from wavebreak_server.storage.models import AuditEntry

LOGIN = "/console/user/oidc/company/login/"
CALLBACK = f"http://localhost{LOGIN}callback/"
ROLES = {"t-and-s": "analyst", "t-and-s-leads": "lead"}
NOA = {"sub": "7", "preferred_username": "noa", "groups": ["staff", "t-and-s-leads"]}


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIdProvider]:
    with listening(OpenIdProvider((CALLBACK,))) as made:
        yield made


def visit(
    home: Path, provider: OpenIdProvider, test: Callable[[RunningConsole], Awaitable[None]],
    **more: Any,
) -> None:  # fmt: skip
    """Run a console that knows the provider."""
    file = home / "provider.toml"
    file.write_text(provider.as_toml(role_claim="groups", roles=ROLES, **more), "utf-8")
    file.chmod(0o600)
    options = server.options("http://localhost", None, file, 0)
    provider.asked.clear()

    async def run() -> None:
        async with running_console(home, options=options) as console:
            await test(console)

    with migrated("sqlite", home):
        asyncio.run(run())


async def begin(visitor: Visitor) -> str:
    """Begin a sign-in; return the provider's address to which it leads."""
    answer = await visitor.post(LOGIN, page=LOGIN)
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


async def sign_in(visitor: Visitor) -> httpx.Response:
    """Sign in at the provider, and come back."""
    url = await begin(visitor)
    async with httpx.AsyncClient() as browser:
        back = await browser.get(url)
    assert back.status_code == 302, back.text
    return await visitor.get(back.headers["location"])


def people() -> list[tuple[str, str]]:
    return [(user.username, user.role) for user in User.objects.order_by("id")]


def test_unknown_person_is_refused(tmp_path: Path, provider: OpenIdProvider) -> None:
    provider.person = dict(NOA)

    async def test(console: RunningConsole) -> None:
        visitor = console.anybody()
        answer = await sign_in(visitor)
        assert "administrator creates accounts" in answer.text
        assert (await visitor.get("/console/")).status_code == 302
        assert await stored(people) == []

    visit(tmp_path, provider, test, user_claim="preferred_username")


def test_unknown_person_gets_the_claimed_role(tmp_path: Path, provider: OpenIdProvider) -> None:
    provider.person = dict(NOA)

    async def test(console: RunningConsole) -> None:
        visitor = console.anybody()
        answer = await sign_in(visitor)
        assert answer.headers["location"] == "/console/", answer.text
        assert (await visitor.get("/console/queue")).status_code == 200
        assert await stored(people) == [("noa", "lead")]
        # Another group at the next sign-in is another role, and is audited.
        provider.person["groups"] = ["t-and-s"]
        await sign_in(console.anybody())
        assert await stored(people) == [("noa", "analyst")]
        audited = AuditEntry.objects.filter(key="openid connect")
        acts = await stored(lambda: list(audited.values_list("action", "reason")))
        assert acts == [
            ("add_user", "created by OpenID Connect as lead"),
            ("change_user", "lead is analyst now, by OpenID Connect"),
        ]
        # Who left every group loses the role that a group gave; a new person reads alone.
        claims: list[dict[str, list[str]]] = [{"groups": []}, {"groups": ["staff"]}, {}]
        for groups in claims:
            await stored(lambda: User.objects.update(role="lead"))
            provider.person = {"sub": "7", "preferred_username": "noa"} | groups
            await sign_in(console.anybody())
            assert await stored(people) == [("noa", "auditor")], groups
        newest = audited.order_by("-number")
        reason = await stored(lambda: newest.values_list("reason", flat=True)[0])
        assert reason == "lead is auditor now, by OpenID Connect"
        provider.person = {"sub": "8", "preferred_username": "omer", "groups": "staff"}
        await sign_in(console.anybody())
        assert await stored(people) == [("noa", "auditor"), ("omer", "auditor")]

    visit(tmp_path, provider, test, auto_create=True)


def test_known_person_signs_in_by_the_claim(tmp_path: Path, provider: OpenIdProvider) -> None:
    provider.person = NOA | {"groups": []}

    async def test(console: RunningConsole) -> None:
        await console.person("counsel", "noa")
        visitor = console.anybody()
        assert (await sign_in(visitor)).headers["location"] == "/console/"
        assert "noa" in (await visitor.get("/console/profile")).text
        assert await stored(people) == [("noa", "counsel")]
        left = await visitor.post("/console/user/logout/")
        assert left.headers["location"] == "/console/user/login/"
        assert (await visitor.get("/console/profile")).status_code == 302

    visit(tmp_path, provider, test, user_claim="preferred_username")


def test_state_and_code_count_once_for_one_browser(
    tmp_path: Path, provider: OpenIdProvider
) -> None:
    provider.person = dict(NOA)

    async def test(console: RunningConsole) -> None:
        victim, other = console.anybody(), console.anybody()
        url = await begin(victim)
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert len(query["state"]) >= 16
        async with httpx.AsyncClient() as browser:
            back = (await browser.get(url)).headers["location"]
        for person, address in (
            (other, back),
            (victim, back.replace(query["state"], "x" * len(query["state"]))),
        ):
            assert (await person.get(address)).status_code in (200, 401, 403)
            assert (await person.get("/console/")).status_code == 302
        assert await stored(people) == []

    visit(tmp_path, provider, test, auto_create=True)


def test_stolen_code_is_worth_nothing(tmp_path: Path, provider: OpenIdProvider) -> None:
    provider.person = dict(NOA)

    async def test(console: RunningConsole) -> None:
        victim, thief = console.anybody(), console.anybody()
        async with httpx.AsyncClient() as browser:
            back = (await browser.get(await begin(victim))).headers["location"]
        own = parse_qs(urlsplit(await begin(thief)).query)["state"][0]
        code = parse_qs(urlsplit(back).query)["code"][0]
        # With a state of its own it passes the first check; the verifier is another one.
        await thief.get(f"{LOGIN}callback/?code={code}&state={own}")
        assert (await thief.get("/console/")).status_code == 302
        assert await stored(people) == []

    visit(tmp_path, provider, test, auto_create=True)


def test_each_sign_in_sends_a_nonce_of_its_own(tmp_path: Path, provider: OpenIdProvider) -> None:
    async def test(console: RunningConsole) -> None:
        visitor = console.anybody()
        queries = [parse_qs(urlsplit(await begin(visitor)).query) for _ in range(2)]
        nonces = {query["nonce"][0] for query in queries}
        assert len(nonces) == 2
        assert min(map(len, nonces)) >= 22
        assert nonces.isdisjoint(query["state"][0] for query in queries)

    visit(tmp_path, provider, test, auto_create=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nonce": "another"}, "does not have the nonce"),
        ({"nonce": None}, "does not have the nonce"),
        ({"sub": "8"}, "another person"),
        ({"aud": "another client"}, ""),
        ({"iss": "https://other.example"}, ""),
        ({"exp": 1}, ""),
    ],
)
def test_id_token_of_another_sign_in_is_refused(
    tmp_path: Path, provider: OpenIdProvider, changes: dict[str, Any], said: str
) -> None:
    provider.person = dict(NOA)

    async def test(console: RunningConsole) -> None:
        visitor = console.anybody()
        provider.id_token_changes = changes
        try:
            answer = await sign_in(visitor)
        finally:
            provider.id_token_changes = {}
        assert answer.status_code == 401
        assert said in answer.text
        assert (await visitor.get("/console/")).status_code == 302
        assert await stored(people) == []
        # As the provider makes it, the same person is let in.
        assert (await sign_in(visitor)).headers["location"] == "/console/"

    visit(tmp_path, provider, test, auto_create=True)


def test_signed_out_session_opens_nothing_again(tmp_path: Path, provider: OpenIdProvider) -> None:
    provider.person = dict(NOA)

    async def test(console: RunningConsole) -> None:
        visitor = console.anybody()
        await sign_in(visitor)
        kept = dict(visitor.client.cookies)
        assert (await visitor.get("/console/profile")).status_code == 200
        left = await visitor.post("/console/user/logout/")
        assert left.headers["location"] == "/console/user/login/"
        # Who copied the cookie before has nothing either: the session is gone at the service.
        thief = console.anybody()
        for name, value in kept.items():
            thief.client.cookies.set(name, value, domain="localhost.local")
        assert (await thief.get("/console/profile")).status_code == 302

    visit(tmp_path, provider, test, auto_create=True)


def test_session_alone_connects_no_provider(tmp_path: Path, provider: OpenIdProvider) -> None:
    provider.person = dict(NOA)
    confirm = "/console/user/reauthenticate/"

    async def test(console: RunningConsole) -> None:
        other = await console.person("lead", "dana")
        person = await console.person("lead", "dana")
        begun = await person.post(LOGIN, page=LOGIN, process="connect")
        async with httpx.AsyncClient() as browser:
            back = await browser.get(begun.headers["location"])
        answer = await person.get(back.headers["location"])
        assert answer.headers["location"] == confirm
        assert not await stored(SocialAccount.objects.exists)
        # With the password it goes on, ends other sessions, and is audited.
        assert (await person.post(confirm, page=confirm, password=PASSWORD)).status_code == 302
        assert await stored(SocialAccount.objects.count) == 1
        assert (await other.get("/console/profile")).status_code == 302
        audited = AuditEntry.objects.filter(action="add_provider")
        assert await stored(lambda: list(audited.values_list("key", "reason"))) == [
            ("user:dana", "OpenID Connect; 1 other session ended")
        ]

    visit(tmp_path, provider, test)


def test_person_without_a_password_adds_a_factor_soon_after_signing_in(
    tmp_path: Path, provider: OpenIdProvider
) -> None:
    provider.person = NOA | {"email": "noa@company.example", "email_verified": False}
    activate = "/console/user/2fa/totp/activate/"

    async def test(console: RunningConsole) -> None:
        visitor = console.anybody()
        await sign_in(visitor)
        assert (await visitor.get(activate)).status_code == 200
        await stored(_sign_in_longer_ago)
        later = await visitor.get(activate)
        assert (later.status_code, "Sign in anew first" in later.text) == (403, True)
        refused = await visitor.get("/console/user/password/change/")
        assert (refused.status_code, "no password here" in refused.text) == (409, True)
        assert not await stored(EmailAddress.objects.exists)
        assert [user.email for user in await stored(lambda: list(User.objects.all()))] == [""]

    visit(tmp_path, provider, test, auto_create=True)


def _sign_in_longer_ago() -> None:
    row = Session.objects.get()
    content = read_session(row)
    records = content[AUTHENTICATION_METHODS_SESSION_KEY]
    content[AUTHENTICATION_METHODS_SESSION_KEY] = [r | {"at": r["at"] - 301} for r in records]
    salt = session_salt(row.session_key)
    row.session_data = signing.dumps(content, salt=salt, serializer=JSONSerializer)
    row.save()


def test_two_people_with_one_mail_address_both_sign_in(
    tmp_path: Path, provider: OpenIdProvider
) -> None:
    async def test(console: RunningConsole) -> None:
        for person in (NOA, {"sub": "8", "preferred_username": "omer"}):
            provider.person = person | {"email": "team@company.example", "email_verified": True}
            assert (await sign_in(console.anybody())).headers["location"] == "/console/"
        assert [name for name, _role in await stored(people)] == ["noa", "omer"]

    visit(tmp_path, provider, test, auto_create=True)


def test_sign_ins_by_the_provider_are_audited(tmp_path: Path, provider: OpenIdProvider) -> None:
    provider.person = dict(NOA)

    async def test(console: RunningConsole) -> None:
        visitor = console.anybody()
        await sign_in(visitor)
        assert (await visitor.get(f"{LOGIN}callback/?error=denied&state=x")).status_code == 401
        audited = AuditEntry.objects.filter(action="sign_in").order_by("number")
        fields = ("key", "object", "reason", "outcome")
        assert await stored(lambda: list(audited.values_list(*fields))) == [
            ("user:noa", "noa", "by OpenID Connect", "done"),
            ("sign-in", "unknown name", "OpenID Connect was refused", "refused"),
        ]

    visit(tmp_path, provider, test, auto_create=True)


def test_role_by_the_provider_switches_no_account_on(tmp_path: Path) -> None:
    with migrated("sqlite", tmp_path):
        user = User.objects.create(username="noa", role="analyst")
        # An administrator switches the account off while the provider answers.
        User.objects.filter(id=user.id).update(is_active=False)
        claims = {"nonce": "n", "sub": "7", "groups": ["t-and-s-leads"]}
        app = SimpleNamespace(settings={"role_claim": "groups", "roles": ROLES})
        login: Any = SimpleNamespace(
            account=SimpleNamespace(extra_data={"id_token": claims}),
            state={"nonce": "n", "process": "login"},
            provider=SimpleNamespace(app=app),
            is_existing=True,
            user=user,
        )
        SocialAccountAdapter().pre_social_login(HttpRequest(), login)
        assert [(user.role, user.is_active) for user in User.objects.all()] == [("lead", False)]


def test_form_may_lead_to_the_provider(tmp_path: Path, provider: OpenIdProvider) -> None:
    async def test(console: RunningConsole) -> None:
        visitor = console.anybody()
        page = await visitor.get("/console/user/login/")
        assert "Company account" in page.text
        assert f"form-action 'self' {provider.url};" in page.headers["content-security-policy"]
        lead = await console.person("lead")
        queue = await lead.get("/console/queue")
        assert "form-action 'self';" in queue.headers["content-security-policy"]

    visit(tmp_path, provider, test)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"roles": {"t-and-s": "boss"}}, "unknown role 'boss'"),
        ({"server_url": "http://login.example.org"}, "server_url is no https URL"),
        ({"authorization_origin": "http://x.example"}, "authorization_origin is no https URL"),
    ],
)
def test_file_of_a_provider_is_checked(
    tmp_path: Path, provider: OpenIdProvider, more: dict[str, Any], said: str
) -> None:
    file = tmp_path / "provider.toml"
    file.write_text(provider.as_toml(**more), "utf-8")
    file.chmod(0o600)
    with pytest.raises(UsageError, match=said):
        server.options("http://localhost", None, file, 0)


@pytest.mark.parametrize("mode", [0o666, 0o644, 0o640, 0o602])
def test_file_of_a_provider_that_others_reach_is_refused(
    tmp_path: Path, provider: OpenIdProvider, mode: int
) -> None:
    file = tmp_path / "provider.toml"
    file.write_text(provider.as_toml(), "utf-8")
    file.chmod(mode)
    with pytest.raises(UsageError, match="others may read") as refused:
        server.options("http://localhost", None, file, 0)
    assert refused.value.fix == f"chmod 600 {file}"
    file.chmod(0o600)
    assert server.options("http://localhost", None, file, 0).oidc["provider_id"] == "company"


@pytest.mark.parametrize("changes", [{"sub": None}, {"sub": ""}, {"sub": "8"}])
def test_user_information_about_nobody_is_refused(
    tmp_path: Path, provider: OpenIdProvider, changes: dict[str, Any]
) -> None:
    provider.person = dict(NOA)

    async def test(console: RunningConsole) -> None:
        visitor = console.anybody()
        provider.userinfo_changes = changes
        try:
            answer = await sign_in(visitor)
        finally:
            provider.userinfo_changes = {}
        assert answer.status_code == 401
        assert "another person" in answer.text
        assert await stored(people) == []

    visit(tmp_path, provider, test, auto_create=True)


def test_sign_out_leads_to_the_providers_own(tmp_path: Path, provider: OpenIdProvider) -> None:
    provider.person = dict(NOA)

    async def signed_out(console: RunningConsole) -> str:
        visitor = console.anybody()
        await sign_in(visitor)
        page = await visitor.get("/console/")
        assert f"form-action 'self' {provider.url};" in page.headers["content-security-policy"]
        answer = await visitor.post("/console/user/logout/")
        assert (await visitor.get("/console/")).status_code == 302
        return str(answer.headers["location"])

    async def test(console: RunningConsole) -> None:
        provider.end_session = f"{provider.url}/end"
        parts = urlsplit(await signed_out(console))
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == provider.end_session
        assert parse_qs(parts.query) == {
            "client_id": ["wavebreak"],
            "post_logout_redirect_uri": ["http://localhost/console/user/login/"],
        }
        # A form may lead to the origin of the sign-in alone.
        provider.end_session = "https://elsewhere.example/end"
        assert await signed_out(console) == "/console/user/login/"
        # Who signs in with a password leaves the provider's session alone.
        person = await console.person("lead")
        answer = await person.post("/console/user/logout/")
        assert answer.headers["location"] == "/console/user/login/"

    try:
        visit(tmp_path, provider, test, user_claim="preferred_username", auto_create=True)
    finally:
        provider.end_session = ""
