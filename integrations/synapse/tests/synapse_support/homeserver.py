"""A real Synapse in a process of its own, and the Matrix calls that tests make."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import itertools
import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import psycopg
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PACKAGE = Path(__file__).resolve().parents[2]
ROOT = PACKAGE.parents[1]
CLIENT = ROOT / "clients" / "python" / "src"
sys.path.insert(0, str(PACKAGE))
from install_synapse import PYTHON as PYTHON  # noqa: E402
from install_synapse import is_installed  # noqa: E402
from support.external_servers import free_port, postgresql  # noqa: E402

PATIENCE_S = 30.0
SHARED_SECRET = "registration-secret-of-the-tests"
RATES = (
    "rc_message", "rc_registration", "rc_joins_per_room", "rc_room_creation", "rc_reports",
)  # fmt: skip
_transactions = itertools.count(1)


def write_certificate(home: Path) -> tuple[Path, Path]:
    """Write a certificate for localhost that nobody signed; returns it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    paths = home / "certificate.pem", home / "certificate.key"
    paths[0].write_bytes(certificate.public_bytes(pem))
    paths[1].write_bytes(private)
    return paths


@dataclass
class Homeserver:
    """A Synapse in `home`; `module` is the configuration of the module, if any.

    Its database is SQLite, or the PostgreSQL database at the URL `postgres`.
    """

    home: Path
    module: dict[str, Any] | None
    name: str = "hs.test"
    port: int = field(default_factory=free_port)
    extra: dict[str, Any] = field(default_factory=dict)
    tls_port: int = 0
    """Where other servers reach it, if they do; its name must end in it."""
    postgres: str = ""
    python: Path = PYTHON
    """Of another environment than the tests', which then has the module installed."""
    accounts: list[Account] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        assert is_installed(), (
            "Synapse is not installed. Fix: python integrations/synapse/install_synapse.py"
        )
        self.home.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its main process's."""
        assert self._process is not None, "it is not started"
        return self._process.pid

    @property
    def log(self) -> Path:
        """What it logs at INFO."""
        return self.home / "homeserver.log"

    def _configuration(self) -> dict[str, Any]:
        generous = {"per_second": 10_000, "burst_count": 10_000}
        rates: dict[str, Any] = dict.fromkeys(RATES, generous)
        rates["rc_login"] = {"address": generous, "account": generous, "failed_attempts": generous}
        rates["rc_joins"] = {"local": generous, "remote": generous}
        rates["rc_invites"] = {"per_room": generous, "per_user": generous, "per_issuer": generous}
        configuration = {
            "server_name": self.name,
            "pid_file": str(self.home / "homeserver.pid"),
            "listeners": [
                {
                    "port": self.port,
                    "bind_addresses": ["127.0.0.1"],
                    "type": "http",
                    "tls": False,
                    "x_forwarded": True,
                    "resources": [{"names": ["client", "federation", "metrics"]}],
                }
            ],
            "database": self._database(),
            "log_config": str(self.home / "log.yaml"),
            "media_store_path": str(self.home / "media"),
            "registration_shared_secret": SHARED_SECRET,
            "macaroon_secret_key": "macaroons-of-the-tests",
            "form_secret": "forms-of-the-tests",
            "signing_key_path": str(self.home / "signing.key"),
            "report_stats": False,
            "enable_metrics": True,
            "enable_registration": True,
            "enable_registration_without_verification": True,
            "suppress_key_server_warning": True,
            "trusted_key_servers": [],
            "bcrypt_rounds": 4,
            # A new database fills its directory of people only after all of these.
            "background_updates": {"sleep_enabled": False},
            "server_notices": {
                "system_mxid_localpart": "notices",
                "room_name": "Notices",
                "auto_join": True,
            },
            "user_directory": {"enabled": True, "search_all_users": True},
            **rates,
            **self.extra,
        }
        if self.tls_port:
            self._federate(configuration)
        if self.module is not None:
            entry = {"module": "wavebreak_synapse.Module", "config": self.module}
            configuration["modules"] = [entry]
        return configuration

    def _database(self) -> dict[str, Any]:
        if not self.postgres:
            return {"name": "sqlite3", "args": {"database": str(self.home / "homeserver.db")}}
        url = urlsplit(self.postgres)
        args = {"user": url.username, "host": url.hostname, "port": url.port}
        args |= {"dbname": url.path.strip("/"), "cp_min": 1, "cp_max": 4}
        return {"name": "psycopg2", "args": args}

    def _federate(self, configuration: dict[str, Any]) -> None:
        certificate, key = write_certificate(self.home)
        listener = {
            "port": self.tls_port,
            "bind_addresses": ["127.0.0.1"],
            "type": "http",
            "tls": True,
            "resources": [{"names": ["federation"]}],
        }
        configuration["listeners"].append(listener)
        configuration |= {
            "tls_certificate_path": str(certificate),
            "tls_private_key_path": str(key),
            "federation_verify_certificates": False,
            "ip_range_blacklist": [],
            "federation_ip_range_blacklist": [],
        }

    def write_configuration(self) -> Path:
        """Write its configuration; returns where."""
        path = self.home / "homeserver.yaml"
        path.write_text(yaml.safe_dump(self._configuration()))
        handler = {
            "class": "logging.FileHandler",
            "filename": str(self.log),
            "formatter": "plain",
        }
        form = "%(asctime)s %(name)s %(levelname)s %(message)s"
        logging = {
            "version": 1,
            "formatters": {"plain": {"format": form}},
            "handlers": {"file": handler},
            "loggers": {},
            "root": {"level": "INFO", "handlers": ["file"]},
            "disable_existing_loggers": False,
        }
        (self.home / "log.yaml").write_text(yaml.safe_dump(logging))
        return path

    def start(self) -> Homeserver:
        """Start it, and wait until it answers."""
        path = self.write_configuration()
        command = [str(self.python), "-m", "synapse.app.homeserver", "-c", str(path)]
        if not (self.home / "signing.key").exists():
            subprocess.run([*command, "--generate-keys"], check=True, capture_output=True)
        self._process = self._launch(command, self.url)
        return self

    def _launch(self, command: list[str], url: str) -> subprocess.Popen[bytes]:
        """Start a process of it, and wait until it answers at a URL."""
        own = [str(PACKAGE / "src"), str(CLIENT)] if self.python == PYTHON else []
        with (self.home / "homeserver.out").open("ab") as out:
            process = subprocess.Popen(
                command,
                stdout=out,
                stderr=out,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(own)},
            )
        end = time.monotonic() + 180
        while time.monotonic() < end:
            assert process.poll() is None, self.said()
            try:
                if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                    return process
            except httpx.HTTPError:
                time.sleep(0.1)
        process.kill()
        raise AssertionError(f"the homeserver does not answer: {self.said()}")

    def said(self) -> str:
        """The end of what it wrote."""
        texts = [self.home / "homeserver.out", self.log]
        return "\n".join(p.read_text()[-3000:] for p in texts if p.exists())

    def stop(self) -> None:
        """End it as a person would."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask its database."""
        if self.postgres:
            with psycopg.connect(self.postgres) as asked:
                return asked.execute(query.encode()).fetchall()
        path = f"file:{self.home / 'homeserver.db'}?mode=ro"
        with closing(sqlite3.connect(path, uri=True, timeout=30)) as found:
            return found.execute(query).fetchall()

    def write(self, statement: str) -> None:
        """Change its database from outside."""
        with closing(sqlite3.connect(self.home / "homeserver.db", timeout=30)) as found, found:
            found.execute(statement)

    def figure(self, name: str) -> float:
        """Return one of its metrics."""
        text = httpx.get(f"{self.url}/_synapse/metrics", timeout=60).text
        (line,) = [each for each in text.splitlines() if each.startswith(f"{name} ")]
        return float(line.split()[1])

    def admin(self, name: str = "root") -> Account:
        """Register an administrator by the shared secret."""
        client = httpx.Client(base_url=self.url, timeout=60)
        path = "/_synapse/admin/v1/register"
        nonce = client.get(path).json()["nonce"]
        mac = hmac.new(SHARED_SECRET.encode(), digestmod=hashlib.sha1)
        mac.update("\0".join([nonce, name, "password-1", "admin"]).encode())
        body = {"nonce": nonce, "username": name, "password": "password-1", "admin": True}
        answer = client.post(path, json=body | {"mac": mac.hexdigest()})
        answer.raise_for_status()
        client.close()
        return Account(self, answer.json()["user_id"], answer.json()["access_token"])

    def register(self, name: str, *, address: str = "192.0.2.7", agent: str = "") -> httpx.Response:
        """Try to register an account as a client does."""
        headers = {"X-Forwarded-For": address, "User-Agent": agent or "Element/1.11.2 (Linux)"}
        with httpx.Client(base_url=self.url, timeout=60, headers=headers) as client:
            path = "/_matrix/client/v3/register"
            body = {"username": name, "password": "password-1"}
            session = client.post(path, json=body).json()["session"]
            auth = {"type": "m.login.dummy", "session": session}
            return client.post(path, json=body | {"auth": auth})

    def account(self, name: str, **more: str) -> Account:
        """Register an account.

        429 says to come again: a service that is busy closes registrations for a moment.
        """
        end = time.monotonic() + PATIENCE_S
        while (answer := self.register(name, **more)).status_code == 429:
            assert time.monotonic() < end, answer.text
            time.sleep(0.2)
        assert answer.status_code == 200, answer.text
        return Account(self, answer.json()["user_id"], answer.json()["access_token"])

    def deactivate(self, account: Account) -> httpx.Response:
        """Have an account deactivate itself."""
        who = {"type": "m.id.user", "user": account.id}
        auth = {"type": "m.login.password", "identifier": who, "password": "password-1"}
        return account.call("POST", "/account/deactivate", {"auth": auth})


@dataclass
class Account:
    """An account, and what it does."""

    server: Homeserver
    id: str
    token: str
    url: str = ""
    """Where its requests go, if not to the main process."""

    def __post_init__(self) -> None:
        self.http = httpx.Client(
            base_url=self.url or self.server.url,
            timeout=90,
            headers={"Authorization": f"Bearer {self.token}", "X-Forwarded-For": "192.0.2.8"},
        )
        self.server.accounts.append(self)

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Make a call below `/_matrix/client/v3`."""
        return self.http.request(method, f"/_matrix/client/v3{path}", json=body)

    def create(self, *invitees: str, **more: Any) -> httpx.Response:
        """Make a room."""
        body = {"preset": "private_chat", "invite": list(invitees), **more}
        return self.call("POST", "/createRoom", body)

    def direct(self, other: str) -> str:
        """Make a direct chat; returns its room."""
        answer = self.create(other, is_direct=True, preset="trusted_private_chat")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["room_id"])

    def join(self, room: str) -> httpx.Response:
        """Join a room."""
        return self.call("POST", f"/join/{quote(room)}", {})

    def leave(self, room: str) -> httpx.Response:
        """Leave a room, or refuse an invitation."""
        return self.call("POST", f"/rooms/{quote(room)}/leave", {"reason": "no thanks"})

    def invite(self, room: str, other: str, **more: Any) -> httpx.Response:
        """Invite somebody."""
        return self.call("POST", f"/rooms/{quote(room)}/invite", {"user_id": other, **more})

    def send(self, room: str, body: Any, kind: str = "m.room.message") -> httpx.Response:
        """Send a message: a text, or a content."""
        content = {"msgtype": "m.text", "body": body} if isinstance(body, str) else body
        name = f"{next(_transactions)}.{secrets.token_hex(4)}"
        return self.call("PUT", f"/rooms/{quote(room)}/send/{kind}/{name}", content)

    def state(self, room: str, kind: str, content: Any, key: str = "") -> httpx.Response:
        """Set a room's state."""
        return self.call("PUT", f"/rooms/{quote(room)}/state/{kind}/{quote(key)}", content)

    def login(self, **more: Any) -> httpx.Response:
        """Log in once more, from another device."""
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self.id},
            "password": "password-1",
            **more,
        }
        headers = {"User-Agent": "Fluffy/2.0", "X-Forwarded-For": "192.0.2.9"}
        url = f"{self.url or self.server.url}/_matrix/client/v3/login"
        return httpx.post(url, json=body, headers=headers, timeout=60)


def notices(server: Homeserver) -> list[tuple[str, str]]:
    """Return what server notices were sent: to whom, and the text."""
    sender = f"@notices:{server.name}"
    query = (
        "SELECT m.user_id, j.json FROM events AS e JOIN event_json AS j ON j.event_id = e.event_id"
        " JOIN local_current_membership AS m ON m.room_id = e.room_id"
        f" WHERE e.sender = '{sender}' AND m.user_id <> '{sender}'"
        " AND e.type = 'm.room.message' ORDER BY e.stream_ordering"
    )
    return [(who, json.loads(event)["content"]["body"]) for who, event in server.rows(query)]


def noticed(account: Account) -> list[str]:
    """Return what the notices' account wrote to an account, once there is something."""
    end = time.monotonic() + 60
    while True:
        texts = [text for who, text in notices(account.server) if who == account.id]
        if texts or time.monotonic() > end:
            return texts
        time.sleep(0.2)


def new_database() -> str:
    """Make an empty database on this process's PostgreSQL; returns its URL."""
    server = postgresql()
    name = f"synapse_{secrets.token_hex(4)}"
    with psycopg.connect(f"{server.url}/postgres", autocommit=True) as made:
        made.execute(f'CREATE DATABASE "{name}" TEMPLATE template0 LOCALE "C"'.encode())
    return f"{server.url}/{name}"


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `wavebreak-synapse` as an administrator does, with Synapse's own Python."""
    paths = os.pathsep.join([str(PACKAGE / "src"), str(CLIENT)])
    return subprocess.run(
        [str(PYTHON), "-m", "wavebreak_synapse.commands", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"PYTHONPATH": paths},
    )


@contextmanager
def running(home: Path, module: dict[str, Any] | None, **more: Any) -> Iterator[Homeserver]:
    """A homeserver for as long as the block lasts."""
    server = Homeserver(home, module, **more)
    with started(server):
        yield server


@contextmanager
def started(server: Homeserver) -> Iterator[None]:
    """Let a homeserver, alone or with workers, run for as long as the block lasts."""
    try:
        server.start()
        yield
    finally:
        for account in server.accounts:
            account.http.close()
        server.stop()
