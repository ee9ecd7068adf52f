"""A real ejabberd as an ordinary process: the module of this tree, and data of its own."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from integrations import setup
from support.external_servers import answers, free_port

from .prosody import HOST, TREE

SOURCE = TREE / "ejabberd" / "mod_wavebreak" / "src"


def installed() -> Path:
    """Return the root below which ejabberd lies."""
    root = setup.found("ejabberd")
    assert root is not None, "ejabberd is not here: run `make integrations`"
    return root


def libraries() -> Path:
    """Return where ejabberd's own library lies."""
    return next(installed().glob("usr/lib/*/ejabberd-2*/ebin")).parent


def erlang(*arguments: str) -> list[str]:
    """Return a command of Erlang's; `environment` belongs to it."""
    root = installed() / "usr/lib/erlang"
    return [str(next(root.glob("erts-*/bin/erlexec"))), *arguments]


def environment() -> dict[str, str]:
    """Return what finds Erlang and ejabberd, installed or unpacked."""
    root = installed() / "usr/lib/erlang"
    shared = next(installed().glob("usr/lib/*-linux-gnu*"))
    return os.environ | {
        "ROOTDIR": str(root), "BINDIR": str(next(root.glob("erts-*/bin"))), "EMU": "beam",
        "PROGNAME": "erl", "ERL_LIBS": str(libraries().parent),
        "LD_LIBRARY_PATH": "" if installed() == Path("/") else str(shared),
    }  # fmt: skip


@cache
def compiled() -> Path:
    """Compile the module once, warnings as errors; return the directory, which goes at the end."""
    directory = Path(tempfile.mkdtemp(prefix="wavebreak-beams-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    lib = installed() / "usr/lib/erlang/lib"
    includes = [
        libraries() / "include",
        *lib.glob("p1_xm*/include"),
        *lib.glob("p1_utils*/include"),
    ]
    named = ",".join(f'{{i,"{path}"}}' for path in includes)
    files = ",".join(f'"{path}"' for path in sorted(SOURCE.glob("*.erl")))
    options = f'[{{outdir,"{directory}"}},return_errors,warnings_as_errors,report,{named}]'
    program = (
        f"R=[compile:file(F,{options})||F<-[{files}]], "
        "halt(case [E||E<-R,element(1,E)=/=ok] of []->0;_->1 end)."
    )
    done = subprocess.run(
        erlang("-noinput", "-pa", str(libraries() / "ebin"), "-eval", program),
        capture_output=True, text=True, check=False, env=environment(), timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


@dataclass
class Ejabberd:
    """One server in `home` that asks Wavebreak at `url`; without `module`, a plain one.

    With an `authority` it speaks to other domains, at a port of theirs, over TLS alone, and
    believes a certificate of that authority; its own is in `certs`.
    """

    home: Path
    url: str
    key: str = "k"
    mode: str = "enforce"
    module: bool = True
    more: dict[str, str] = field(default_factory=dict)
    host: str = HOST
    port: int = field(default_factory=free_port)
    s2s_port: int = field(default_factory=free_port)
    api_port: int = field(default_factory=free_port)
    raw: str = ""
    authority: Path | None = None
    other_port: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def rooms(self) -> str:
        """The domain of its rooms."""
        return f"rooms.{self.host}"

    @property
    def pid(self) -> int:
        """Its process's."""
        assert self._process is not None, "it is not started"
        return self._process.pid

    @property
    def spool(self) -> Path:
        """Where events wait."""
        return self.home / "data" / "wavebreak" / self.host

    def log(self) -> str:
        """What it has logged."""
        path = self.home / "ejabberd.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def write_config(self) -> None:
        """Write its configuration."""
        (self.home / "data").mkdir(parents=True, exist_ok=True)
        options = {"url": f'"{self.url}"', "key": f'"{self.key}"', "mode": self.mode} | self.more
        settings = "\n".join(f"    {name}: {value}" for name, value in options.items())
        module = f"  mod_wavebreak:\n{settings}" if self.module else ""
        if self.authority is None:
            module = f"  mod_s2s_dialback: {{}}\n{module}"
        (self.home / "ejabberd.yml").write_text(
            f"""
hosts: ["{self.host}"]
loglevel: info
auth_password_format: scram
{self._federation()}
listen:
  - {{port: {self.port}, ip: "127.0.0.1", module: ejabberd_c2s, max_stanza_size: 262144}}
  - {{port: {self.s2s_port}, ip: "127.0.0.1", module: ejabberd_s2s_in}}
  - {{port: {self.api_port}, ip: "127.0.0.1", module: ejabberd_http,
     request_handlers: {{/api: mod_http_api}}}}
acl: {{loopback: {{ip: ["127.0.0.0/8"]}}}}
api_permissions:
  "tests": {{who: {{access: {{allow: {{acl: loopback}}}}}}, what: "*"}}
shaper_rules: {{}}
registration_timeout: infinity
{self.raw}
modules:
  mod_adhoc: {{}}
  mod_admin_extra: {{}}
  mod_blocking: {{}}
  mod_carboncopy: {{}}
  mod_disco: {{}}
  mod_mam: {{default: always}}
  mod_muc: {{host: "rooms.{self.host}", access_create: all}}
  mod_muc_admin: {{}}
  mod_multicast: {{access: all}}
  mod_offline: {{}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_pubsub: {{host: "pubsub.{self.host}", plugins: [flat]}}
  mod_register: {{ip_access: all, access: all, password_strength: 0}}
  mod_roster: {{}}
{module}
"""
        )

    def _federation(self) -> str:
        """Return how it speaks to other servers."""
        if self.authority is None:
            return "certfiles: []\ns2s_use_starttls: false"
        # No name server is asked for the other's services.
        (self.home / "inetrc").write_text('{lookup, [file]}.\n{resolv_conf, ""}.\n')
        return f"""
certfiles: ["{self.home}/certs/*.crt", "{self.home}/certs/*.key"]
ca_file: "{self.authority}"
s2s_use_starttls: required
outgoing_s2s_port: {self.other_port}
outgoing_s2s_families: [ipv4]
"""

    def start(self) -> Ejabberd:
        """Start it, and wait until it listens."""
        self.write_config()
        beams = compiled() if self.module else self.home
        command = erlang(
            "-noinput", "+K", "true", "-pa", str(libraries() / "ebin"), str(beams),
            "-mnesia", "dir", f'"{self.home}/data"', "-s", "ejabberd",
        )  # fmt: skip
        own = {
            "EJABBERD_CONFIG_PATH": str(self.home / "ejabberd.yml"),
            "EJABBERD_LOG_PATH": str(self.home / "ejabberd.log"),
            "ERL_CRASH_DUMP": str(self.home / "erl_crash.dump"),
            "HOME": str(self.home),
        }
        if self.authority is not None:
            own["ERL_INETRC"] = str(self.home / "inetrc")
        with (self.home / "ejabberd.out").open("ab") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.home,
                env=environment() | own,
            )  # fmt: skip
        end = time.monotonic() + 240
        while not (answers(self.port) and answers(self.api_port)):
            assert self._process.poll() is None, self.log()[-3000:]
            assert time.monotonic() < end, self.log()[-3000:]
            time.sleep(0.1)
        return self

    def stop(self) -> None:
        """End it as an operator would."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                self.command("stop")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
            self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def command(self, name: str, **arguments: Any) -> Any:
        """Return what an administrator's command answers."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api_port}/api/{name}",
            json.dumps(arguments).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def add_users(self, names: list[str]) -> None:
        """Make accounts that did not register themselves: long known ones."""
        for name in names:
            self.command("register", user=name, host=self.host, password="secret")

    def status(self) -> str:
        """What the module says of itself."""
        return "\n".join(self.command("wavebreak_status", host=self.host))

    def state(self, jid: str) -> str:
        """What applies to an account."""
        return str(self.command("wavebreak_state", host=self.host, jid=jid))


@contextlib.contextmanager
def ejabberd(home: Path, url: str, **more: Any) -> Iterator[Ejabberd]:
    """Run a server for as long as the block lasts."""
    home = home / "server"
    home.mkdir(parents=True, exist_ok=True)
    server = Ejabberd(home, url, **more)
    try:
        yield server.start()
    finally:
        server.stop()
