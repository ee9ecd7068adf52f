"""A real Prosody as an ordinary process: the module of this tree, and data of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from integrations import setup
from support.external_servers import answers, free_port

TREE = Path(__file__).resolve().parents[1]
HOST = "example.org"
ROOMS = f"rooms.{HOST}"


def prosody_root() -> Path:
    """Return where Prosody lies."""
    found = setup.found("prosody")
    assert found is not None, "Prosody is not here: run `make integrations`"
    return found


def environment(root: Path) -> dict[str, str]:
    """Return what finds an unpacked Prosody: nothing for an installed one."""
    if root == Path("/"):
        return {}
    lib = root / "usr/lib/prosody"
    share, libs = root / "usr/share/lua/5.4", next((root / "usr/lib").glob("*-linux-gnu*"))
    return {
        "PROSODY_SRCDIR": str(lib),
        "PROSODY_PLUGINDIR": str(lib / "modules"),
        "LUA_PATH_5_4": f"{share}/?.lua;{share}/?/init.lua;;",
        "LUA_CPATH_5_4": f"{libs}/lua/5.4/?.so;;",
        "LD_LIBRARY_PATH": str(libs),
    }


@dataclass
class Prosody:
    """One server in `home` that asks Wavebreak at `url`; without `module`, a plain one.

    With an `authority` it speaks to `others` (domains and their ports) over TLS alone, and believes
    a certificate of that authority; its own is in `certs`. The module is looked for in `tree`.
    """

    home: Path
    url: str
    key: str = "k"
    mode: str = "enforce"
    module: bool = True
    more: dict[str, str] = field(default_factory=dict)
    host: str = HOST
    rooms_host: str = ""
    port: int = field(default_factory=free_port)
    s2s_port: int = field(default_factory=free_port)
    modules: tuple[str, ...] = ()
    raw: str = ""
    components: str = ""
    authority: Path | None = None
    others: dict[str, int] = field(default_factory=dict)
    tree: Path = TREE / "prosody"
    _process: subprocess.Popen[bytes] | None = None

    @property
    def rooms(self) -> str:
        """The domain of its rooms."""
        return self.rooms_host or f"rooms.{self.host}"

    @property
    def config(self) -> Path:
        """Its configuration."""
        return self.home / "prosody.cfg.lua"

    @property
    def pid(self) -> int:
        """Its process's."""
        assert self._process is not None, "it is not started"
        return self._process.pid

    @property
    def spool(self) -> Path:
        """Where events wait."""
        return self.home / "data" / "wavebreak"

    def log(self) -> str:
        """What it has logged."""
        path = self.home / "prosody.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def write_config(self) -> None:
        """Write its configuration."""
        for name in ("data", "certs"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        modules = [
            "roster", "saslauth", "disco", "presence", "message", "iq", "register_ibr", "blocklist",
            "user_account_management", "spam_reporting", "carbons", "mam", "admin_shell", "s2s",
            "dialback", "c2s", "s2s_to", "adhoc",
            *(["tls"] if self.authority else []), *self.modules,
        ]  # fmt: skip
        if self.module:
            modules.append("wavebreak")
        named = ", ".join(f'"{name}"' for name in modules)
        options = {
            "url": f'"{self.url}"',
            "key": f'"{self.key}"',
            "mode": f'"{self.mode}"',
        } | self.more
        settings = "\n".join(f"wavebreak_{name} = {value}" for name, value in options.items())
        secured = "false" if self.authority is None else "true"
        ports = ", ".join(f'["{name}"] = {port}' for name, port in self.others.items())
        rooms = ", ".join(f'"{name}"' for name in ("s2s_to", *["wavebreak"] * self.module))
        self.config.write_text(
            f"""
run_as_root = {"true" if os.geteuid() == 0 else "false"}
daemonize = false
pidfile = "{self.home}/prosody.pid"
data_path = "{self.home}/data"
certificates = "{self.home}/certs"
plugin_paths = {{ "{self.tree}", "{TREE}/harness/plugins" }}
interfaces = {{ "127.0.0.1", "127.0.0.2" }}
c2s_ports = {{ {self.port} }}
s2s_ports = {{ {self.s2s_port} }}
c2s_require_encryption = false
s2s_require_encryption = {secured}
s2s_secure_auth = {secured}
s2s_ssl = {{ cafile = {f'"{self.authority}"' if self.authority else "nil"} }}
s2s_to = {{ {ports} }}
allow_unencrypted_plain_auth = true
allow_registration = true
authentication = "internal_hashed"
default_iteration_count = 10
admin_socket = "{self.home}/admin.sock"
log = {{ info = "{self.home}/prosody.log" }}
modules_enabled = {{ {named} }}
modules_disabled = {{ "http", "limits" }}
{settings}
{self.raw}
VirtualHost "{self.host}"
Component "{self.rooms}" "muc"
    muc_room_locking = false
    modules_enabled = {{ {rooms} }}
{self.components}
"""
        )

    def start(self) -> Prosody:
        """Start it, and wait until it listens."""
        self.write_config()
        with (self.home / "prosody.err").open("ab") as errors:
            self._process = subprocess.Popen(
                [str(prosody_root() / "usr/bin/prosody"), "--config", str(self.config), "-F"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                cwd=self.home, env=os.environ | environment(prosody_root()),
            )  # fmt: skip
        end = time.monotonic() + 30
        while not (answers(self.port) and (self.home / "admin.sock").exists()):
            assert self._process.poll() is None, (
                self.home / "prosody.err"
            ).read_text() + self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """End it as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None
            (self.home / "admin.sock").unlink(missing_ok=True)

    def shell(self, command: str) -> str:
        """Return what the administrator's shell answers."""
        program = prosody_root() / "usr/bin/prosodyctl"
        done = subprocess.run(
            [str(program), "--config", str(self.config), "shell", command],
            capture_output=True, text=True, check=False, cwd=self.home, timeout=60,
            env=os.environ | environment(prosody_root()),
        )  # fmt: skip
        return done.stdout + done.stderr

    def add_users(self, names: list[str]) -> None:
        """Make accounts that did not register themselves: long known ones."""
        listed = ", ".join(f'"{name}"' for name in names)
        answer = self.shell(
            f"> for _, n in ipairs {{ {listed} }} do require'core.usermanager'"
            f".create_user_with_role(n, 'secret', '{self.host}', 'prosody:registered') end"
        )
        assert "Result: nil" in answer, answer

    def status(self) -> str:
        """What the module says of itself."""
        return self.shell("wavebreak:status()")

    def state(self, jid: str) -> str:
        """What applies to an account."""
        return self.shell(f"wavebreak:state('{jid}')")


@contextlib.contextmanager
def prosody(home: Path, url: str, **more: object) -> Iterator[Prosody]:
    """Run a server for as long as the block lasts."""
    home.mkdir(parents=True, exist_ok=True)
    server = Prosody(home, url, **more)  # type: ignore[arg-type]
    try:
        yield server.start()
    finally:
        server.stop()
