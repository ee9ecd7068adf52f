"""Makes the digests that `test_output_digests.py` holds; run as a program it writes them anew.

    PYTHONPATH=tests .venv/bin/python tests/support/output_digests.py    # then: git diff

Everything is made by the console command. Where a command reads the clock, draws salts or names
the machine, it runs in `settled_process.py`, which settles those three.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from support.command_line import KEYS, Service, rows, wavebreak
from support.former_model import extract_former_model
from support.settled_process import END
from wavebreak.ledger import new_signer
from wavebreak.ledger.checkpoints import encode_verifier_key, save_signer

HELD = Path(__file__).parents[1] / "e2e" / "output_digests.json"
TRACES = Path(__file__).resolve().parents[3] / "shared" / "data" / "traces"
TRACE = "collegemsg"
VERSION = re.compile(r"\bwavebreak ((?:version )?)\d+\.\d+\.\d+\S*", re.IGNORECASE)
TIMED = ("seconds", "events_per_s", "versions", "source", "profile", "ledger")
"""Keys of summary.json that hold times, paths, versions, or what stands elsewhere."""
MODES = {"shadow": "--shadow", "enforce": "--enforce"}
MODELS = ("no model", "model of 0.2")


def sha256(content: bytes | str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()


def told(value: Any) -> str:
    """A value as canonical JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def by_key(items: Iterable[dict[str, Any]]) -> dict[str, str]:
    """A digest for each key, over its values in order."""
    found: dict[str, list[Any]] = {}
    for item in items:
        for key, value in item.items():
            found.setdefault(key, []).append(value)
    return {key: sha256(told(values)) for key, values in found.items()}


def day(directory: Path) -> Path:
    """A small simulated day, as JSON Lines: the simulator's own bytes, no library's."""
    world = directory / "world"
    campaigns = ("blast:6", "jitter:4", "hijack:3", "group-adder:4")
    chosen = [part for name in campaigns for part in ("--campaign", name)]
    wavebreak("simulate", "--people", "400", "--days", "0.6", *chosen, "--personas", "all",
              "--seed", "7", "--format", "jsonl", "-o", world)  # fmt: skip
    return world


def of_day(world: Path) -> dict[str, Any]:
    """Digests of what the simulator wrote."""
    return {path.name: sha256(path.read_bytes()) for path in sorted(world.iterdir())}


def of_run(out: Path) -> dict[str, Any]:
    """Digests of what a run wrote: whole, by field, by column, by key."""
    content = (out / "decisions.jsonl").read_bytes()
    decisions = [json.loads(line) for line in content.splitlines()]
    accounts = pq.read_table(out / "accounts.parquet")
    summary = json.loads((out / "summary.json").read_bytes())
    columns = zip(accounts.schema, accounts.columns, strict=True)
    versions = {k: v for k, v in summary["versions"].items() if k not in ("wavebreak", "python")}
    return {
        "count": len(decisions),
        "outcomes": summary["decisions"]["outcome"],
        "versions": versions,
        "decisions.jsonl": sha256(content),
        "decisions.jsonl by field": by_key(decisions),
        "accounts.parquet by column": {
            f"{known.name}: {known.type}": sha256(told(column.to_pylist()))
            for known, column in columns
        },
        "refused.jsonl": sha256((out / "refused.jsonl").read_bytes()),
        "summary.json by key": {
            key: sha256(told(value)) for key, value in summary.items() if key not in TIMED
        },
    }


def decided(events: Path, out: Path, mode: str, model: str) -> dict[str, Any]:
    """Digests of a run over `events`."""
    with tempfile.TemporaryDirectory() as directory:
        former = extract_former_model(Path(directory))
        selected = ("--model", former) if model == "model of 0.2" else ()
        wavebreak("run", events, "-o", out, MODES[mode], *selected)
    return of_run(out)


def of_trace(directory: Path) -> dict[str, Any]:
    """Digests of a real trace as it is imported, and of a run over it."""
    events = directory / "trace.jsonl"
    wavebreak("import", TRACES / f"{TRACE}.csv.gz", "-o", events)
    run = decided(events, directory / "out", "shadow", "model of 0.2")
    return {"events": sha256(events.read_bytes()), "run": run}


def settled(*commands: tuple[str | Path, ...]) -> list[str]:
    """Run commands under a settled clock, salts and name; what each printed."""
    told_of = json.dumps([[str(part) for part in command] for command in commands])
    program = [sys.executable, str(Path(__file__).with_name("settled_process.py")), told_of]
    environment = os.environ | KEYS | {"WAVEBREAK_BY": "Noa", "COLUMNS": "80"}
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.split(f"{END}\n")[:-1]


def sealed(world: Path, directory: Path) -> dict[str, Any]:
    """Digests of a run that seals, and of its ledger; leaves them in `directory`."""
    run, log = directory / "sealed", directory / "log"
    former = extract_former_model(directory / "model")
    settled(("run", world, "-o", run, "--enforce", "--ledger", log, "--model", former))
    made: dict[str, Any] = json.loads((run / "summary.json").read_bytes())["ledger"]
    entries = (log / "entries.jsonl").read_bytes()
    return made | {
        "decisions.jsonl": sha256((run / "decisions.jsonl").read_bytes()),
        "entries.jsonl": sha256(entries),
        "kinds": sorted({json.loads(line)["kind"] for line in entries.splitlines()}),
    }


SEVERITY = ("allow", "observe", "challenge", "limit", "restrict", "suspend", "ban")


def of_case(world: Path, directory: Path) -> dict[str, Any]:
    """Digests of a bundle of a case about one account of a sealed run, member by member."""
    sealed(world, directory)
    lines = (directory / "sealed" / "decisions.jsonl").read_bytes().splitlines()
    decided = list(map(json.loads, lines))
    account = max(decided, key=lambda d: SEVERITY.index(d["outcome"]))["account"]
    case, out = directory / "C-7", directory / "C-7.zip"
    *said, _packed = settled(*steps(case, directory, account), ("bundle", case, "-o", out))
    with zipfile.ZipFile(out) as archive:
        members = {name: of_member(name, archive.read(name)) for name in archive.namelist()}
    # Where a line wraps depends on the length of the directory's path.
    plain = ["".join(text.split()).replace(str(directory), "") for text in said]
    return {"said": [sha256(text) for text in plain], "members": members}


def steps(case: Path, directory: Path, account: str) -> list[tuple[str | Path, ...]]:
    """The commands that take a case from its opening to a signed determination."""
    page, receipt = directory / "page.txt", directory / "receipt.txt"
    page.write_text("Bulk messages, 80,000 a day, from 99 dollars\n", encoding="utf-8")
    receipt.write_text("Delivered.\n", encoding="utf-8")
    basis = ("--basis", "statement", "--strength", "strong")
    span = ("--began", "2025-11-01", "--until", "2026-01-02", "--date-basis", "the receipt")
    did = ("--conduct", "engaged", "--violation", "bulk")
    log = ("--ledger", directory / "log")
    counsel = new_signer("levi.example", secret=bytes(range(32)))
    save_signer(counsel, directory / "levi.key")
    told_to = ("--operator", "Example", "--contact", "legal@example.org")
    taken: list[tuple[str | Path, ...]] = [
        ("open", case, "--title", "Bulk Co", "--about", "Eighty thousand a day."),
        ("party", case, "Bulk Co Ltd", "--domain", "bulk.example"),
        ("advance", case, "investigating"),
        ("exhibit", case, page, "--kind", "test_purchase", "--title", "Price page"),
        ("evidence", case, "E1", "--party", "P1", *basis, *did, *span),
        ("confirm", case, "V1", "--yes"),
        ("link", case, "P1", account, "--basis", "number_in_claim", "--strength", "strong",
         "--exhibit", "E1"),
        ("evidence", case, directory / "sealed", "--account", account, "--party", "P1", *did,
         *log, "--model", directory / "model"),
        ("confirm", case, "V2", "--yes"),
        ("notice", case, "P1", *told_to, "-o", directory / "letter"),
        ("exhibit", case, receipt, "--kind", "delivery"),
        ("notice", case, "P1", "--letter", directory / "letter" / "N1.json", "--exhibit", "E3",
         "--sent", "2027-01-15T00:00:00Z"),
        ("delivery", case, "N1", "--exhibit", "E3", "--how", "courier"),
        ("advance", case, "noticed"),
        ("determine", case, "P1"),
        ("signer", case, "Adv. Levi", "--key", encode_verifier_key(counsel.key)),
        ("sign", case, "D1", "--signing-key", directory / "levi.key"),
        ("advance", case, "determined"),
    ]  # fmt: skip
    return [("case", *step) for step in taken]


def of_member(name: str, content: bytes) -> str:
    """The digest of one file of a bundle; of those that hold a version, only that it is there.

    The manifests hold the digests of those files, and the source of `verifier.py` may be edited.
    """
    if name.endswith((".pdf", "/made.json", "/verifier.py")) or "manifest-" in name:
        return "there"
    if name.endswith(("/README.txt", "/bag-info.txt")):
        text = re.sub(r"Payload-Oxum: .*", "", VERSION.sub("wavebreak", content.decode()))
        return sha256(text)
    return sha256(content)


def of_service(directory: Path) -> dict[str, Any]:
    """The API's document, operation by operation, and the tables of a fresh home."""
    home = directory / "home"
    with Service(home).started() as service:
        document = service.get("/api/openapi.json")
        wanted = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
        tables = dict(rows(home, wanted))
        migrations = rows(home, "SELECT app, name FROM django_migrations ORDER BY app, name")
    return {
        "operations": {
            f"{method.upper()} {path}": of_operation(operation)
            for path, operations in sorted(document["paths"].items())
            for method, operation in sorted(operations.items())
        },
        "schemas": {
            name: sha256(told(one)) for name, one in document["components"]["schemas"].items()
        },
        "tables": tables,
        "migrations": [".".join(names) for names in migrations],
    }


def of_operation(operation: dict[str, Any]) -> dict[str, Any]:
    """What an operation is called, takes and answers, and a digest of all that is said of it."""
    parameters = operation.get("parameters", [])
    return {
        "operationId": operation.get("operationId"),
        "parameters": [f"{one['in']} {one['name']}" for one in parameters],
        "bodies": sorted(operation.get("requestBody", {}).get("content", {})),
        "statuses": sorted(operation["responses"]),
        "whole": sha256(told(operation)),
    }


def recorded(directory: Path) -> dict[str, Any]:
    """Every digest."""
    world = day(directory)
    made: dict[str, Any] = {"day": of_day(world)}
    for mode in MODES:
        for model in MODELS:
            name = f"run, {mode}, {model}"
            made[name] = decided(world, directory / name.replace(" ", ""), mode, model)
    made["sealed run"] = sealed(world, _fresh(directory, "a"))
    made["bundle"] = of_case(world, _fresh(directory, "b"))
    made["service"] = of_service(_fresh(directory, "c"))
    made[TRACE] = of_trace(_fresh(directory, "d"))
    return made


def _fresh(directory: Path, name: str) -> Path:
    (directory / name).mkdir()
    return directory / name


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        found = recorded(Path(place))
    HELD.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{HELD.name} is written; next: git diff {HELD.name}")
