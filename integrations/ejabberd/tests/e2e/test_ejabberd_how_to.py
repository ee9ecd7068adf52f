"""The how-to, followed to the letter on Debian's default configuration by a real ejabberdctl."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from integrations.harness.ejabberd import environment, installed, libraries
from integrations.harness.how_to import blocks, run, wrapper
from integrations.harness.stub import Stub, stubbed
from support.external_servers import free_port

PAGE = "protect-an-ejabberd"
URL = "http://127.0.0.1:8480"


@dataclass
class Scratch:
    """Debian's ejabberd in a directory of its own: its own ports, its own user."""

    home: Path
    distribution: int

    @property
    def configuration(self) -> Path:
        """Its configuration."""
        return self.home / "etc" / "ejabberd.yml"

    def write(self) -> None:
        """Write Debian's default configuration, and an ejabberdctl that uses it."""
        for name in ("etc", "logs", "spool"):
            (self.home / name).mkdir(parents=True)
        text = (installed() / "usr/share/ejabberd/ejabberd.yml.example").read_text("utf-8")
        text = re.sub(r"(?m)^( +port:) \d+", lambda found: f"{found[1]} {free_port()}", text)
        text = re.sub(r"(?m)- (\"?)localhost\1$", "- example.org", text)
        self.configuration.write_text(text)
        (self.home / "etc" / "inetrc").touch()
        real = (installed() / "usr/sbin/ejabberdctl").read_text("utf-8")
        real = re.sub(r"(?m)^INSTALLUSER=.*", "INSTALLUSER=", real)
        real = re.sub(r"(?m)^ERL=.*", f'ERL="{installed()}/usr/bin/erl"', real)
        real = re.sub(r"(?m)^ERL_LIBS=.*", f"ERL_LIBS='{libraries().parent}'", real)
        wrapper(self.home / "bin", "real-ejabberdctl", real)
        wrapper(
            self.home / "bin",
            "ejabberdctl",
            f"exec real-ejabberdctl --config-dir {self.home}/etc --logs {self.home}/logs"
            f' --spool {self.home}/spool "$@"',
        )

    def run(self, commands: str) -> str:
        """Run commands as ejabberd's user does."""
        shown = environment() | {
            "HOME": str(self.home),
            "ERL_DIST_PORT": str(self.distribution),
            "EJABBERD_PID_PATH": str(self.home / "ejabberd.pid"),
        }
        return run(commands, self.home / "bin", **shown)

    def configure(self, block: str, url: str) -> None:
        """Put the page's block where the page says: below the line `modules:`, in place of one."""
        text = re.sub(r"(?m)^  mod_wavebreak:\n(?:    .*\n)*", "", self.configuration.read_text())
        assert text.count("\nmodules:\n") == 1
        block = block.replace(URL, url)
        self.configuration.write_text(text.replace("\nmodules:\n", f"\nmodules:\n{block}"))


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    made = Scratch(tmp_path / "ejabberd", free_port())
    made.write()
    made.run("ejabberdctl start; ejabberdctl started")
    yield made
    made.run("ejabberdctl stop || true; ejabberdctl stopped")


def connected(scratch: Scratch, stub: Stub) -> str:
    """Return the status that section 3 shows, once the module is connected."""
    [shown] = blocks(PAGE, 3, "sh")
    stub.wait(lambda: "States: streamed" in scratch.run(shown), 60)
    return scratch.run(shown)


def test_how_to_leaves_a_server_that_runs(scratch: Scratch) -> None:
    install, reload = blocks(PAGE, 2, "sh")
    [settings] = blocks(PAGE, 2, "yaml")
    [enforcing] = blocks(PAGE, 4, "yaml")
    with stubbed() as stub:
        stub.key = "wb_..."
        scratch.run(install)
        scratch.configure(settings, stub.url)
        scratch.run(reload)
        assert "shadow" in connected(scratch, stub)
        scratch.run("ejabberdctl stop; ejabberdctl stopped; ejabberdctl start; ejabberdctl started")
        assert " 0 held" in connected(scratch, stub)
        scratch.configure(enforcing, stub.url)
        scratch.run(reload)
        assert "enforce" in connected(scratch, stub)
        # An upgrade of the module leaves what is set.
        scratch.run("ejabberdctl module_upgrade mod_wavebreak")
        scratch.run("ejabberdctl stop; ejabberdctl stopped; ejabberdctl start; ejabberdctl started")
        assert "enforce" in connected(scratch, stub)


def test_upgrade_keeps_a_ban_and_uninstalling_releases_it(scratch: Scratch) -> None:
    install, reload = blocks(PAGE, 2, "sh")
    [enforcing] = blocks(PAGE, 4, "yaml")
    [upgrade] = blocks(PAGE, 5, "sh")
    release, remove = blocks(PAGE, 6, "sh")
    check = "ejabberdctl check_password ann example.org secret && echo right || echo wrong"
    with stubbed() as stub:
        stub.key = "wb_..."
        scratch.run(install)
        scratch.configure(enforcing, stub.url)
        scratch.run(reload)
        scratch.run("ejabberdctl register ann example.org secret")
        connected(scratch, stub)
        stub.set_state("ann@example.org", "ban")
        stub.wait(lambda: "wrong" in scratch.run(check), 30)
        scratch.run(upgrade)
        scratch.run("ejabberdctl stop; ejabberdctl stopped; ejabberdctl start; ejabberdctl started")
        assert "enforce" in connected(scratch, stub)
        assert "wrong" in scratch.run(check)
        assert "1 accounts enabled" in scratch.run(release)
        assert "right" in scratch.run(check)
        scratch.configure("", stub.url)
        scratch.run(remove)
        assert "right" in scratch.run(check)
        assert list(scratch.home.rglob("*wavebreak*")) == []
        scratch.run("ejabberdctl stop; ejabberdctl stopped; ejabberdctl start; ejabberdctl started")
        assert "right" in scratch.run(check)


def test_modules_own_file_sets_nothing() -> None:
    own = Path(__file__).parents[2] / "mod_wavebreak" / "conf" / "mod_wavebreak.yml"
    assert [line for line in own.read_text().splitlines() if not line.startswith("#")] == []
