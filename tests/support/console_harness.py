"""A console that runs, and people who visit it."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import connection

from support import service_harness
from wavebreak.engine import Engine
from wavebreak.model import Model
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy
from wavebreak.schema.coverage import Profile
from wavebreak_server.console.server import ConsoleOptions, ConsoleRouter, configure
from wavebreak_server.console.site import Site
from wavebreak_server.pipeline.decide import DecideResponder, load_decide_policy
from wavebreak_server.slices.config import load_config
from wavebreak_server.slices.queue.indexer import Indexer, index_decisions
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.users.service import create_user
from wavebreak_server.slices.versions.policy_switch import PolicySwitch

PASSWORD = "correct horse battery staple"
HOST = "http://localhost"
SHEET = re.compile(r'name="sheet" value="([^"]+)"')
SECRET = b"a console secret for tests only!"
settings.PASSWORD_HASHERS = ["support.quick_hasher.QuickHasher"]


class Visitor:
    """A person with a browser: cookies, and forms with their CSRF token."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **more: Any) -> httpx.Response:
        """Open a page."""
        return await self.client.get(path, **more)

    async def post(self, path: str, page: str = "/console/profile", **fields: Any) -> Any:
        """Send a form, with the token of a page that was opened before."""
        return await self.client.post(
            path, data={"csrfmiddlewaretoken": await self.token(page)} | fields
        )

    async def act(self, path: str, **fields: Any) -> Any:
        """Send a form that acts; where it is answered with an effect sheet, confirm that sheet."""
        shown = await self.post(path, **fields)
        found = SHEET.search(shown.text)
        return await self.post(path, **fields, sheet=found[1]) if found else shown

    async def confirm(self, path: str, page: str, **fields: Any) -> Any:
        """Send a form that acts, with the digest of the effect sheet that a page shows."""
        shown = (await self.get(page)).text
        found = SHEET.search(shown)
        assert found, shown
        return await self.post(path, **fields, sheet=found[1])

    async def with_sheet(self, path: str, **fields: Any) -> dict[str, Any]:
        """Send a form that acts; return its fields with the digest of the effect sheet shown."""
        page = (await self.post(path, **fields)).text
        found = SHEET.search(page)
        assert found, page
        return fields | {"sheet": found[1]}

    async def token(self, page: str = "/console/profile") -> str:
        """Return the CSRF token of a page."""
        found = re.search(r'name="csrf(?:-token" content|middlewaretoken" value)="([^"]+)',
                          (await self.get(page)).text)  # fmt: skip
        assert found, page
        return found[1]


class RunningConsole:
    """A console that runs over the bound database."""

    def __init__(self, running: service_harness.Running, app: Any) -> None:
        self.running, self._app = running, app
        self._clients: list[httpx.AsyncClient] = []

    @property
    def service(self) -> Any:
        """The service."""
        return self.running.service

    def anybody(self, peer: str = "127.0.0.1") -> Visitor:
        """Return a visitor who is not signed in, from an address."""
        transport = httpx.ASGITransport(
            app=self._app, raise_app_exceptions=True, client=(peer, 50_000)
        )
        client = httpx.AsyncClient(transport=transport, base_url=HOST)
        self._clients.append(client)
        return Visitor(client)

    async def person(self, role: str, name: str = "") -> Visitor:
        """Return a visitor who is signed in with a role."""
        visitor = self.anybody()
        key = await asyncio.to_thread(_session, name or role.replace("_", "-"), role)
        visitor.client.cookies.set(settings.SESSION_COOKIE_NAME, key, domain="localhost.local")
        return visitor

    async def index(self) -> None:
        """Read all decisions into the console's tables."""
        await asyncio.to_thread(_index, self.service.clock())

    async def close(self) -> None:
        """Close all browsers."""
        for client in self._clients:
            await client.aclose()


def _session(name: str, role: str) -> str:
    try:
        user = User.objects.filter(username=name).first() or create_user(name, role, PASSWORD)
        session = import_module(settings.SESSION_ENGINE).SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        return str(session.session_key)
    finally:
        connection.close()


def _index(now_ms: int) -> None:
    try:
        while index_decisions(load_config().queue, now_ms)[0]:
            pass
    finally:
        connection.close()


@asynccontextmanager
async def running_console(
    home: Path, *, url: str = "http://localhost", indexed: bool = False,
    options: ConsoleOptions | None = None, **more: Any,
) -> AsyncIterator[RunningConsole]:  # fmt: skip
    """Run a service with its console until the block ends; `indexed`: with its indexer."""
    site = configure(options or ConsoleOptions(url), SECRET)
    apps: list[Any] = []

    def pages(api: Any) -> Any:
        return ConsoleRouter(api)

    background = [*more.pop("background", ()), *[Indexer(load_config().queue)] * indexed]
    async with service_harness.running(home, background=background, pages=pages, **more) as one:
        apps.append(one.client._transport.app)  # type: ignore[attr-defined]
        one.context.states[Site] = site
        one.context.set_public_url(site.url)
        console = RunningConsole(one, apps[0])
        try:
            yield console
        finally:
            await console.close()


def switch_of(console: RunningConsole) -> PolicySwitch:
    """Return what switches a running console's service, in shadow and without a model at first."""

    def engine(
        policy: Policy, loaded: Model | None, enforce: bool, profile: Profile | None = None
    ) -> Engine:
        return Engine(policy, profile, accounts=1024, model=loaded, enforce=enforce)

    def responder(policy: Policy, directory: Path | None) -> DecideResponder:
        terms = load_decide_policy(directory)
        return DecideResponder(policy, terms, Pseudonymizer(service_harness.SECRET))

    return PolicySwitch(console.service.settings.home, None, engine, responder, base_model="none")


Visit = Callable[..., Awaitable[None]]


def console_test(prepare: Visit, **options: Any) -> Callable[[Visit], Callable[[Path], None]]:
    """Return a decorator of coroutines that get a console of their own, prepared; on SQLite.

    `options` are those of `service_harness.running`.
    """

    def decorate(test: Visit) -> Callable[[Path], None]:
        wants_path = "tmp_path" in inspect.signature(test).parameters

        async def whole(home: Path) -> None:
            async with running_console(home, **options) as console:
                await prepare(console)
                await (test(console, home) if wants_path else test(console))

        def run(tmp_path: Path) -> None:
            with service_harness.migrated("sqlite", tmp_path):
                asyncio.run(whole(tmp_path))

        run.__name__, run.__doc__ = getattr(test, "__name__", "test"), test.__doc__
        return run

    return decorate
