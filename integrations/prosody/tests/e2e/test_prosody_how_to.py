"""The how-to, followed to the letter on Debian's default configuration by a real Prosody."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from integrations.harness.how_to import PLACES, blocks, moved, run, wrapper
from integrations.harness.prosody import environment, prosody_root
from integrations.harness.stub import Stub, stubbed
from support.external_servers import answers, free_port

PAGE = "protect-a-prosody"
DEBIAN = (*PLACES, "/run", "/var/log")


@dataclass
class Scratch:
    """Debian's Prosody, with each of its places below `home`."""

    home: Path
    port: int
    _process: subprocess.Popen[bytes] | None = None

    @property
    def configuration(self) -> Path:
        """Its configuration."""
        return self.home / "etc/prosody/prosody.cfg.lua"

    def write(self) -> None:
        """Write Debian's default configuration and directories; its ports alone differ."""
        places = ("etc/prosody/conf.d", "etc/prosody/certs", "run/prosody", "var/log/prosody")
        for name in (*places, "var/lib/prosody", "usr/local/lib"):
            (self.home / name).mkdir(parents=True)
        text = (prosody_root() / "etc/prosody/prosody.cfg.lua").read_text("utf-8")
        ports = f"c2s_ports, s2s_ports = {{ {self.port} }}, {{ {free_port()} }}\n"
        ports += f"http_ports, https_ports = {{ {free_port()} }}, {{}}\n"
        ports += 'interfaces = { "127.0.0.1" }\n'
        self.configuration.write_text(ports + moved(text, self.home, DEBIAN))
        named = f"--config {self.configuration}"
        program = prosody_root() / "usr/bin/prosodyctl"
        wrapper(self.home / "bin", "prosodyctl", f'exec {program} {named} "$@"')
        if os.geteuid() == 0:
            for path in (self.home, *self.home.rglob("*")):
                shutil.chown(path, "prosody", "prosody")

    def environment(self) -> dict[str, str]:
        """Return what finds Prosody, and its data."""
        return environment(prosody_root()) | {"PROSODY_DATADIR": str(self.home / "var/lib/prosody")}

    def run(self, commands: str, given: str = "") -> str:
        """Run commands of the page, with the system's places below `home`."""
        if os.geteuid():
            commands = commands.replace("-o prosody -g prosody ", "")
        moved_here = moved(commands, self.home, DEBIAN)
        return run(moved_here, self.home / "bin", given=given, **self.environment())

    def start(self) -> None:
        """Start it as its service does, and wait until it listens."""
        command = [
            str(prosody_root() / "usr/bin/prosody"),
            "--config",
            str(self.configuration),
            "-F",
        ]
        owner = "prosody" if os.geteuid() == 0 else None
        with (self.home / "out").open("ab") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.home,
                env=os.environ | self.environment(), user=owner, group=owner,
            )  # fmt: skip
        end = time.monotonic() + 60
        while not answers(self.port):
            assert self._process.poll() is None, self.said()
            assert time.monotonic() < end, self.said()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)

    def said(self) -> str:
        """What it wrote and logged."""
        files = (self.home / "out", self.home / "var/log/prosody/prosody.log")
        return "\n".join(path.read_text(errors="replace") for path in files if path.exists())


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    # Prosody changes to its own user, who may not enter a directory of pytest's.
    with tempfile.TemporaryDirectory(prefix="wavebreak-prosody-") as home:
        Path(home).chmod(0o755)
        made = Scratch(Path(home), free_port())
        made.write()
        yield made
        made.stop()


def status(scratch: Scratch, stub: Stub) -> str:
    """Return the status that section 3 shows, once the module is connected."""
    [shown] = blocks(PAGE, 3, "sh")
    with contextlib.suppress(AssertionError):
        stub.wait(lambda: "streamed" in scratch.run(shown), 30)
    return scratch.run(shown) + scratch.said()


def enabled(scratch: Scratch) -> bool:
    """Return whether the account may log in; its shell is there a moment after its start."""
    asked = "> return require'core.usermanager'.user_is_enabled('ann', 'example.org')"
    end = time.monotonic() + 20
    while True:
        try:
            return "Result: true" in scratch.run(f'prosodyctl shell "{asked}"')
        except AssertionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


def test_upgrade_keeps_a_ban_and_uninstalling_releases_it(scratch: Scratch) -> None:
    _, put_key = blocks(PAGE, 1, "sh")
    [install] = blocks(PAGE, 2, "sh")
    options, hosts = blocks(PAGE, 2, "lua")
    [enforcing] = blocks(PAGE, 4, "lua")
    [upgrade] = blocks(PAGE, 5, "sh")
    release, remove = blocks(PAGE, 6, "sh")
    with stubbed() as stub:
        scratch.run(put_key, given="k\n")
        scratch.run(install)
        stubs = f'wavebreak_url = "{stub.url}"\n'
        text = scratch.configuration.read_text()
        before, line, after = text.partition("\nVirtualHost ")
        options = moved(options, scratch.home) + enforcing
        plain = f'{before}\n{line}{after}\nVirtualHost "example.org"\n'
        scratch.configuration.write_text(f"{before}\n{options}{stubs}{line}{after}\n{hosts}")
        scratch.start()
        scratch.run("prosodyctl register ann example.org secret")
        assert enabled(scratch)
        stub.wait(lambda: stub.streams)
        stub.set_state("ann@example.org", "ban")
        stub.wait(lambda: not enabled(scratch))
        scratch.run(upgrade)
        scratch.stop()
        scratch.start()
        assert "enforce" in status(scratch, stub)
        assert not enabled(scratch)
        assert "1 accounts enabled" in scratch.run(release)
        assert enabled(scratch)
        scratch.stop()
        scratch.configuration.write_text(plain)
        scratch.run(remove)
        scratch.start()
        assert enabled(scratch)
        assert [p for p in scratch.home.rglob("*") if "wavebreak" in p.name] == []


def test_how_to_leaves_a_server_that_runs(scratch: Scratch) -> None:
    _, put_key = blocks(PAGE, 1, "sh")
    [install] = blocks(PAGE, 2, "sh")
    options, hosts = blocks(PAGE, 2, "lua")
    [enforcing] = blocks(PAGE, 4, "lua")
    with stubbed() as stub:
        scratch.run(put_key, given="k\n")
        scratch.run(install)
        stubs = f'wavebreak_url = "{stub.url}"\n'
        text = scratch.configuration.read_text()
        before, line, after = text.partition("\nVirtualHost ")
        text = f"{before}\n{moved(options, scratch.home)}{stubs}{line}{after}\n{hosts}"
        scratch.configuration.write_text(text)
        scratch.start()
        shown = status(scratch, stub)
        assert "streamed" in shown, shown
        assert " 0 held" in shown
        assert "shadow" in shown
        scratch.stop()
        before, line, after = text.partition("wavebreak_key")
        scratch.configuration.write_text(f"{before}{enforcing}{line}{after}")
        scratch.start()
        assert "enforce" in status(scratch, stub)
        assert "wavebreak" not in "".join(
            each for each in scratch.said().splitlines() if "\terror\t" in each
        )
