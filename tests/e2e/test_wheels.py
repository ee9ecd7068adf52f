"""The wheel of each distribution, in an empty environment: what it brings, does, and asks for.

The packages come from the registry that pip is set to use, at the versions of requirements.lock, so
that a release made tomorrow cannot fail today's commit. Machine code comes from the cache of these
tests: it is kept by what the sources hold.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from packages import build
from support.external_servers import free_port
from support.service_harness import abuser
from support.service_process import KEY, LEDGER_KEY
from wavebreak.compiled.code_cache import cache_root

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "wavebreak": "engine", "wavebreak-server": "server",
    "wavebreak-cases": "cases", "wavebreak-business": "business", "wavebreak-lab": "lab",
}  # fmt: skip
LARGEST_MIB = {
    "wavebreak": 450,
    "wavebreak-server": 580,
    "wavebreak-cases": 960,
    "wavebreak-business": 560,
    "wavebreak-lab": 800,
}
"""LLVM and Arrow are two thirds of the engine's; a browser's driver is 130 of what cases need."""
OLDEST = ("numpy==2.0.2", "pyarrow==16.1.0")
"""The lower bounds of the engine: it is installed beside engines that pin old ones."""

Run = subprocess.CompletedProcess[str]


class Environment:
    """A virtual environment with some of the wheels, and what they require.

    Attributes:
        home: Its directory, which is the home of what runs in it.

    """

    def __init__(self, home: Path, wheels: Sequence[Path], pins: Sequence[str]) -> None:
        self.home = home
        home.mkdir()
        (home / "constraints.txt").write_text("\n".join(pins), encoding="utf-8")
        venv.create(home / "venv", symlinks=True)
        command = [
            sys.executable, "-m", "uv", "pip", "install", "--python", str(home / "venv"),
            "--constraint", str(home / "constraints.txt"), *pip_index(), *map(str, wheels),
        ]  # fmt: skip
        environment = os.environ | {"UV_SYSTEM_CERTS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    @property
    def packages(self) -> Path:
        """The directory of the installed packages."""
        return next((self.home / "venv").glob("lib*/python3*/site-packages"))

    def size_mib(self) -> float:
        """Return what the packages weigh, without the bytecode that running them adds."""
        files = (p for p in self.packages.rglob("*") if p.suffix != ".pyc")
        return sum(path.lstat().st_size for path in files) / 2**20

    def has(self, *names: str) -> set[str]:
        """Return which of some packages are installed."""
        return set(names) & {path.name for path in self.packages.iterdir()}

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of the installed `wavebreak`."""
        return [str(self.home / "venv" / "bin" / "wavebreak"), *arguments]

    def variables(self) -> dict[str, str]:
        """Return an environment that knows nothing of this checkout but the machine code."""
        return {
            "HOME": str(self.home), "PATH": "/usr/bin:/bin", "COLUMNS": "200",
            "WAVEBREAK_CACHE": str(cache_root()), "WAVEBREAK_KEY": KEY,
            "WAVEBREAK_LEDGER_KEY": LEDGER_KEY,
        }  # fmt: skip

    def run(self, *arguments: str) -> Run:
        """Run the installed command."""
        return subprocess.run(
            self.command(*arguments), cwd=self.home, env=self.variables(),
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def ok(self, *arguments: str) -> str:
        """Run the installed command, which succeeds; return what it prints."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    def refused(self, *arguments: str) -> str:
        """Run the installed command, which is refused; return what it says."""
        done = self.run(*arguments)
        assert done.returncode == 2, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stderr


def pip_index() -> list[str]:
    """The index that pip is set to use, as an option of uv; none where it is the default."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    set_to = os.environ.get("PIP_INDEX_URL") or asked.stdout.strip()
    return ["--default-index", set_to] if set_to else []


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each distribution's wheel, built without a network: the builder is a development package."""
    made = {}
    for name, folder in PACKAGES.items():
        into = tmp_path_factory.mktemp(folder)
        build.python_package(ROOT / "packages" / folder, into)
        (made[name],) = into.glob("*.whl")
    return made


Make = Callable[..., Environment]


@pytest.fixture
def environment(wheels: dict[str, Path], tmp_path: Path) -> Make:
    """What makes an environment of some distributions; the engine is always one."""
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^[a-z][^\[=\s]*(?:\[[^\]]*\])?==[^\\\n]*", locked, re.MULTILINE)
    pins = [re.sub(r"\[[^\]]*\]", "", pin) for pin in pins]

    def make(*names: str, others: Sequence[str] = ()) -> Environment:
        replaced = {each.partition("==")[0] for each in others}
        kept = [pin for pin in pins if pin.partition("==")[0] not in replaced]
        chosen = [wheels["wavebreak"], *(wheels[name] for name in names)]
        made = Environment(
            tmp_path / "-".join(["env", *names, *replaced]), chosen, [*kept, *others]
        )
        if not others:
            assert made.size_mib() <= LARGEST_MIB[names[-1] if names else "wavebreak"]
        return made

    return make


def decided(made: Environment) -> bytes:
    """Run the abuser's events; return the decisions as they are written."""
    lines = "".join(f"{json.dumps(event)}\n" for event in abuser(120))
    (made.home / "events.jsonl").write_text(lines, encoding="utf-8")
    made.ok("run", "events.jsonl", "--enforce", "-o", "out")
    return (made.home / "out" / "decisions.jsonl").read_bytes()


def test_engine_decides_explains_and_names_what_brings_the_rest(environment: Make) -> None:
    engine = environment()
    absent = ("django", "ninja", "httpx", "structlog", "uvicorn", "sklearn", "matplotlib", "bs4")
    assert engine.has(*absent) == set()
    decisions = [json.loads(line) for line in decided(engine).splitlines()]
    assert {row["account"] for row in decisions} == {"ann"}
    assert "It is limited until" in engine.ok("explain", "out", "ann")
    engine.ok("run", "example", "--enforce", "-o", "week")
    assert "unwanted messages" in engine.ok("evaluate", "week")
    for command, brings in (
        ("serve x", "wavebreak-server"), ("case list", "wavebreak-cases"),
        ("bundle C-1 -o x", "wavebreak-cases"), ("red-team -o x", "wavebreak-lab"),
        ("demo", "wavebreak-lab"), ("business example -o x", "wavebreak-business"),
    ):  # fmt: skip
        assert f"fix: pip install {brings}\n" in engine.refused(*command.split())


def test_engine_decides_alike_on_the_oldest_arrays_that_it_allows(environment: Make) -> None:
    newest, oldest = environment(), environment(others=OLDEST)
    for pin in OLDEST:
        name, _, version = pin.partition("==")
        assert oldest.has(f"{name}-{version}.dist-info")
    assert decided(oldest) == decided(newest)


def test_server_serves_and_names_the_extra_of_its_storage(environment: Make) -> None:
    server = environment("wavebreak-server")
    assert (
        server.has("sklearn", "matplotlib", "bs4", "typst", "confluent_kafka", "psycopg") == set()
    )
    command = "backup x -o y --database postgresql://h/d"
    assert "fix: pip install 'wavebreak-server[postgres]'" in server.refused(*command.split())
    port = free_port()
    started = server.command("serve", "home", "--port", str(port), "--model", "none")
    with subprocess.Popen(
        started, cwd=server.home, env=server.variables(), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            ready = until_ready(port, process)
        finally:
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=120)
    assert ready, said[-3000:]
    # Which of the two depends on whether what started the tests ignores the signal.
    assert process.returncode in (0, 128 + signal.SIGINT), said[-3000:]


def until_ready(port: int, process: subprocess.Popen[str]) -> bool:
    """Wait for a service; False where its process has ended, or after three minutes."""
    end = time.monotonic() + 180
    address = f"http://127.0.0.1:{port}/readyz"
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
            if answer.status == 200:
                return True
        time.sleep(0.2)
    return False


def test_cases_need_no_server(environment: Make) -> None:
    cases = environment("wavebreak-cases")
    absent = ("django", "ninja", "uvicorn", "sklearn", "wavebreak_server")
    assert cases.has(*absent) == set()
    cases.ok("case", "open", "cases/C-7", "--title", "Bulk Co", "--by", "Noa")
    assert "Bulk Co" in cases.ok("case", "list", "cases")
    assert "fix: pip install wavebreak-server" in cases.refused("serve", "x")


def test_business_checks_logs_and_needs_no_server(environment: Make) -> None:
    business = environment("wavebreak-business")
    absent = ("django", "bs4", "typst", "sklearn", "wavebreak_server", "wavebreak_cases")
    assert business.has(*absent) == set()
    business.ok("business", "example", "-o", "logs")
    shown = business.ok("business", "check", "logs", "--portfolio", "shop", "--html", "page.html")
    assert "132015" in shown
    assert "<svg" in (business.home / "page.html").read_text(encoding="utf-8")


def test_lab_simulates_trains_and_shows_the_day(environment: Make) -> None:
    lab = environment("wavebreak-lab")
    assert lab.has("django", "bs4", "typst", "wavebreak_server", "wavebreak_cases") == set()
    shown = lab.ok("demo", "--people", "60", "-o", "demo")
    assert "1. A simulated day" in shown
    assert (lab.home / "demo" / "run" / "decisions.jsonl").stat().st_size > 1000
    assert "labelled runs" in lab.ok("train", "--help")
