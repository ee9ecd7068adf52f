"""Command group `ledger`: keys and their rotation, verification, proofs, stamps and witnesses."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from wavebreak.cli.app import ledgers
from wavebreak.cli.console import (
    command,
    echo,
    out,
    print_json,
    print_next_steps,
    progress_bar,
    styled,
)
from wavebreak.cli.options import DatabaseUrl, Json, KeyHistory
from wavebreak.errors import FileError, UsageError
from wavebreak.ledger import DirectoryStorage, Ledger, OpeningFile, Signer, Storage, proof_bundle
from wavebreak.ledger.audit import STAMPS, audit_directory
from wavebreak.ledger.checkpoints import (
    add_cosignature,
    encode_verifier_key,
    fingerprint,
    load_certificates,
    load_or_create_signer,
    load_signer,
    load_verifier_key,
    new_signer,
    request_time_stamp,
    save_signer,
)
from wavebreak.ledger.errors import convert_verifier_errors, ledger_error
from wavebreak.ledger.key_history import (
    HISTORY,
    RETIRED,
    REVOKED,
    KeyChange,
    add_to_history,
    encode_change,
    read_history,
)
from wavebreak.ledger.key_history import rotate as rotate_key
from wavebreak.ledger.sources import StoredOpenings, is_service, open_source
from wavebreak.ledger.storage import LEDGER
from wavebreak.ledger.verifier import LOG, WITNESS, Checkpoint, Key, read_checkpoint
from wavebreak.ledger.witnesses import ADD, Witness, ask_witness, witness_server
from wavebreak.privacy.secret_key import load_key

Place = Annotated[
    Path, typer.Argument(help="The ledger's directory, or a service's that `serve` was given.")
]
KeyFile = Annotated[
    Path | None, typer.Option("--key", help="Key file that signs (default: the one of `run`).")
]
HistoryFile = Annotated[
    Path, typer.Option(help="File of signed statements on which key followed which.")
]
ServiceConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="WAVEBREAK_CONFIG",
        help="File of a service's options (default: wavebreak.toml in its directory).",
    ),
]
MAX_ANSWER, ANSWER_S = 1 << 20, 60.0
"""Bytes of an authority's or a witness's answer, and how long one is waited for."""
Account = Annotated[str, typer.Option(help="The account's id, as in the events.")]

if TYPE_CHECKING:
    from wavebreak.ledger.checkpoints import Certificate


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise FileError(f"{path} cannot be read: {e.strerror}", fix="name a file") from None


def read_authorities(path: Path | None) -> list[Certificate]:
    """Read the certificates (PEM) of authorities of time stamps; without a file there are none.

    Raises FileError where the file cannot be read, EvidenceError where it holds none.
    """
    return load_certificates(_bytes(path)) if path else []


def _checkpoint(path: Path) -> Checkpoint:
    with convert_verifier_errors():
        return read_checkpoint(_bytes(path))


def _storage(
    place: Path, url: str, config: Path | None
) -> tuple[Storage, Callable[[], StoredOpenings], Path | None]:
    """Return the entries of a ledger, what reads its openings, and the key of its options."""
    source = open_source(place, url, config)
    if source is not None:
        return source.storage, lambda: source.openings, source.signing_key
    return DirectoryStorage(place), lambda: _openings(place), None


def _openings(place: Path) -> OpeningFile:
    path = place / "private" / "openings.sqlite3"
    if not path.exists():
        raise FileError(
            f"{path} is not there",
            fix="run this where the ledger was written: openings are kept there only",
        )
    return OpeningFile(path)


@ledgers.command("keygen", epilog="Example: `wavebreak ledger keygen example.org/log -o log.key`")
def keygen(
    name: Annotated[str, typer.Argument(help="The log's origin, or the witness's name.")],
    out_path: Annotated[Path, typer.Option("--out", "-o", help="File to write the secret to.")],
    witness: Annotated[bool, typer.Option("--witness", help="A witness's key.")] = False,
) -> None:
    """Make a key that signs checkpoints; prints the verifier key, which others need."""
    signer = new_signer(name, WITNESS if witness else LOG)
    save_signer(signer, out_path)
    echo(encode_verifier_key(signer.key))


@ledgers.command(
    epilog="Example: `wavebreak ledger rotate cases/C-7 var --old ledger.key --new next.key`. End "
    "the server first, and start it with the new key."
)
def rotate(
    places: Annotated[
        list[Path], typer.Argument(help="Ledgers, cases and service directories of the old key.")
    ],
    old: Annotated[Path, typer.Option(help="Key file that signed them so far.")],
    new: Annotated[Path, typer.Option(help="Key file that signs them from now on.")],
    history: HistoryFile = Path(HISTORY),
    database_url: DatabaseUrl = "",
    config: ServiceConfig = None,
) -> None:
    """Have another key sign from now on; `ledger keygen` with the same name makes it."""
    before, after = load_signer(old), load_signer(new)
    change = KeyChange(before.key, after.key, RETIRED, time.time_ns() // 1_000_000)
    # Checked before anything is changed.
    note = encode_change(change, [after, before])
    known = read_history(history) if history.exists() else []
    for place in places:
        _rotate(place, before, after, note, database_url, config)
        out.print(f"{place}: signed by {after.name} ({fingerprint(after.key)})")
    if not any((one.before, one.after, one.why) == change[:3] for one in known):
        add_to_history(history, note)
    out.print(f"{history}: publish it beside the new verifier key:")
    echo(encode_verifier_key(after.key))


def _rotate(
    place: Path, before: Signer, after: Signer, note: bytes, url: str, config: Path | None
) -> None:
    """Rotate the key of one place: a service's directory, a case's, or a ledger's own."""
    now = time.time_ns() // 1_000_000
    source = open_source(place, url, config, write=True)
    if source is not None:
        source.rotate(before, after, now)
        source.key_file.write_text(f"{encode_verifier_key(after.key)}\n", "utf-8")
        add_to_history(place / HISTORY, note)
        return
    ledger = place / LEDGER if (place / LEDGER).is_dir() else place
    files = DirectoryStorage(ledger, write=True)
    try:
        rotate_key(files, before, after, why=RETIRED, at=now)
    finally:
        files.close()
    if (ledger / "key.pub").exists():
        (ledger / "key.pub").write_text(f"{encode_verifier_key(after.key)}\n", "utf-8")
    add_to_history(ledger / HISTORY, note)


@ledgers.command(
    epilog="Example: `wavebreak ledger revoke example.org/log+1a2b3c4d+AQ... --key next.key "
    "--since 2026-11-01`"
)
def revoke(
    revoked: Annotated[str, typer.Argument(help="Verifier key that others had, or its file.")],
    key: Annotated[Path, typer.Option(help="Key file that replaced it.")],
    since: Annotated[datetime, typer.Option(help="From when it is not to be trusted (UTC).")],
    history: HistoryFile = Path(HISTORY),
) -> None:
    """Declare a key compromised: what it signed counts only where a witness saw it before."""
    signer = load_signer(key)
    at = int(since.replace(tzinfo=UTC).timestamp() * 1000)
    change = KeyChange(load_verifier_key(revoked), signer.key, REVOKED, at)
    add_to_history(history, encode_change(change, [signer]))
    out.print(
        f"{history}: {fingerprint(change.before)} is revoked from "
        f"{since:%Y-%m-%d %H:%M} UTC on; publish it"
    )


@ledgers.command(
    epilog="Example: `wavebreak ledger verify log --key example.org/log+1a2b3c4d+AQ...`. Exits "
    "with 0 where every check passes under your key, 3 where the key came with the ledger, else 2."
)
def verify(
    place: Annotated[Path, typer.Argument(help="A ledger, or a proof bundle of `ledger prove`.")],
    key: Annotated[
        list[str] | None,
        typer.Option(help="Verifier key, or its file: of the log, and of each witness."),
    ] = None,
    remembered: Annotated[
        list[Path] | None, typer.Option(help="A checkpoint of this log that you kept.")
    ] = None,
    key_history: KeyHistory = None,
    authority: Annotated[
        Path | None, typer.Option(help="Certificates (PEM) of time-stamping authorities.")
    ] = None,
    deployment_key: Annotated[
        Path | None,
        typer.Option(
            help="The deployment's key file (`serve --key`): checks the MACs of rows too."
        ),
    ] = None,
    database_url: DatabaseUrl = "",
    config: ServiceConfig = None,
    as_json: Json = False,
) -> None:
    """Check every entry, signature and proof; of a service, that its tables are as sealed."""
    roots = read_authorities(authority)
    kept = [_checkpoint(path) for path in remembered or []]
    source = open_source(place, database_url, config)
    beside = source.key_file if source else place / "key.pub"
    keys = [load_verifier_key(text) for text in key or [str(beside)]]
    history = read_history(key_history) if key_history else []
    if source and (place / HISTORY).exists():
        history += read_history(place / HISTORY)
    tables = None
    row_key = _deployment_key(deployment_key or source.deployment_key) if source else None
    with progress_bar("verifying") as show:
        if source:
            audit, tables = source.audit(keys, kept, roots, history, row_key, show)
        else:
            audit = audit_directory(place, keys, kept, roots, history)
    holds = [*audit.checked, *(tables.checked if tables else [])]
    findings = tables.findings if tables else []
    key_origin = [] if key else ["whose key it is: it came with the ledger; give --key"]
    not_checked = [*key_origin, *audit.unchecked, *(tables.unchecked if tables else [])]
    if as_json:
        wrong = [finding._asdict() for finding in findings]
        found = {"holds": holds, "not_checked": not_checked, "does_not_hold": wrong}
        print_json({"entries": audit.last.size} | found)
    else:
        _print_lines("green", "holds", holds)
        _print_lines("yellow", "not checked", not_checked)
        _print_lines("red", "changed", [finding.what for finding in findings])
    if tables and tables.count:
        raise ledger_error(
            "database_differs",
            f"{tables.count:,} thing(s) in the database are not as they were sealed",
            "keep a copy as evidence, and restore a backup from before the change",
        )
    if not key or audit.revoked:
        raise typer.Exit(3)


def _deployment_key(path: Path | None) -> bytes | None:
    """Return the deployment's key, to check the MACs of rows; None where there is none here."""
    try:
        return load_key(path, create=False)
    except FileError:
        if path is not None:
            raise
        return None


def _print_lines(color: str, label: str, lines: Sequence[str]) -> None:
    for line in lines:
        out.print(styled(f"[{color}]{label:11}[/]  {{}}", line), soft_wrap=True)


@ledgers.command(epilog="Example: `wavebreak ledger prove log --position 7 --show account -o it`")
def prove(
    place: Place,
    out_path: Annotated[Path, typer.Option("--out", "-o", help="Directory to write.")],
    position: Annotated[list[int] | None, typer.Option(help="An entry, by its position.")] = None,
    account: Annotated[str | None, typer.Option(help="All entries about this account.")] = None,
    show: Annotated[
        list[str] | None, typer.Option(help="A hidden field to open: account, trigger, id.")
    ] = None,
    since: Annotated[
        Path | None, typer.Option(help="A checkpoint that the reader holds: prove it continued.")
    ] = None,
    key: KeyFile = None,
    database_url: DatabaseUrl = "",
    config: ServiceConfig = None,
) -> None:
    """Write a proof bundle of entries, which anyone can check with `verifier.py`."""
    storage, opened, signing_key = _storage(place, database_url, config)
    ledger = Ledger(storage, load_or_create_signer(key or signing_key))
    chosen = set(position or [])
    kept = opened() if account or show else None
    if kept and account:
        chosen |= set(kept.positions("account", account))
    if not chosen:
        raise UsageError("no entry was chosen", fix="give --position, or --account")
    openings = {at: kept.of(at) for at in chosen} if kept else {}
    shown = {
        at: {field: hidden for field, hidden in fields.items() if field in (show or [])}
        for at, fields in openings.items()
    }
    since_size = _checkpoint(since).size if since else None
    out_path.mkdir(parents=True, exist_ok=True)
    for name, content in proof_bundle(ledger, chosen, shown, since=since_size).items():
        (out_path / name).write_bytes(content)
    out.print(f"{len(chosen):,} entries with proofs under {ledger.sealed.size:,}, in {out_path}/")
    print_next_steps([command("wavebreak", "ledger", "verify", out_path)])


@ledgers.command(epilog="Example: `wavebreak ledger show log 7`")
def show(
    place: Place,
    position: Annotated[int, typer.Argument(help="The entry's position.")],
    database_url: DatabaseUrl = "",
    config: ServiceConfig = None,
) -> None:
    """Print an entry as JSON, with its openings where they are stored."""
    files, openings, _ = _storage(place, database_url, config)
    if not 0 <= position < files.size():
        raise UsageError(f"there is no entry {position}", fix=f"there are {files.size()}")
    entry: dict[str, Any] = json.loads(files.line(position))
    of_directory = isinstance(files, DirectoryStorage)
    if not of_directory or (place / "private" / "openings.sqlite3").exists():
        entry["opened"] = {name: value for name, (_, value) in openings().of(position).items()}
    echo(msgspec.json.format(msgspec.json.encode(entry)).decode())


@ledgers.command(epilog="Example: `wavebreak ledger checkpoint log > remembered.txt`")
def checkpoint(
    place: Place,
    witnessed: Annotated[
        Path | None, typer.Option(help="Keep this, the last checkpoint as a witness signed it.")
    ] = None,
    key: KeyFile = None,
    database_url: DatabaseUrl = "",
    config: ServiceConfig = None,
) -> None:
    """Print the last checkpoint: keep it, to detect a later change of the log."""
    storage, _, _ = _storage(place, database_url, config)
    if witnessed and not isinstance(storage, DirectoryStorage):
        raise UsageError(
            "a service's log goes on while a witness signs",
            fix="keep the note that the witness signed as a file",
        )
    if witnessed:
        files = DirectoryStorage(place, write=True)
        Ledger(files, load_or_create_signer(key)).witnessed(_bytes(witnessed))
        storage = DirectoryStorage(place)
    echo((storage.latest() or b"").decode(), nl=False)


@ledgers.command(
    epilog="Example: `wavebreak ledger stamp log --url https://authority.example/tsr "
    "--authority authority.pem`"
)
def stamp(
    place: Place,
    url: Annotated[str, typer.Option(help="Where the authority answers (RFC 3161 over HTTP).")],
    authority: Annotated[Path, typer.Option(help="Its certificate, or its root's (PEM).")],
) -> None:
    """Have the last checkpoint stamped with the time, and keep the stamp in `stamps/`."""
    kept = stamp_ledger(place, url, authority)
    out.print(f"{int(kept.stem):,} entries are stamped: {place}/{STAMPS}/{kept.name}")


def stamp_ledger(place: Path, url: str, authority: Path) -> Path:
    """Have the last checkpoint of a ledger stamped, and return the stamp's file in `stamps/`.

    Args:
        place: The ledger's directory.
        url: Where the authority answers.
        authority: Its certificate, or its root's (PEM).

    Raises:
        UsageError: The ledger has no checkpoint.
        FileError: The authority did not answer, or its certificate cannot be read.
        EvidenceError: Its answer is no stamp of this checkpoint.

    """
    latest = DirectoryStorage(place).latest()
    if latest is None:
        raise UsageError("the ledger has no checkpoint", fix="run with --ledger first")

    def ask(request: bytes) -> bytes:
        return _post(url, request, "application/timestamp-query", "the authority")[1]

    answer = request_time_stamp(latest, ask, read_authorities(authority))
    with convert_verifier_errors():
        size = read_checkpoint(latest).size
    (place / STAMPS).mkdir(exist_ok=True)
    (place / STAMPS / f"{size}.txt").write_bytes(latest)
    kept = place / STAMPS / f"{size}.tsr"
    kept.write_bytes(answer)
    return kept


def _post(url: str, content: bytes, kind: str, whom: str) -> tuple[int, bytes]:
    """Post to an authority or a witness; return status and body. Raises FileError."""
    # Stamps and witnesses alone go over the network.
    import httpx

    fix = "try again, or give another address"
    body, end = bytearray(), time.monotonic() + ANSWER_S
    headers = {"content-type": kind}
    try:
        with httpx.stream("POST", url, content=content, headers=headers, timeout=30) as answer:
            for part in answer.iter_raw():
                body += part
                if len(body) > MAX_ANSWER or time.monotonic() > end:
                    raise FileError(f"the answer of {whom} has no end", fix=fix)
    except (httpx.HTTPError, httpx.InvalidURL):
        raise FileError(f"{whom} did not answer", fix=fix) from None
    return answer.status_code, bytes(body)


def witness_ledger(ledger: Ledger, url: str, key: Key) -> None:
    """Have a witness sign the last checkpoint of a ledger, and keep its signature with it.

    Args:
        ledger: The ledger.
        url: Where the witness answers for this log, without `add-checkpoint`.
        key: Its verifier key.

    Raises:
        FileError: The witness did not answer.
        EvidenceError: It did not sign, or its answer is not its signature.

    """

    def ask(request: bytes) -> tuple[int, bytes]:
        return _post(f"{url.rstrip('/')}/{ADD}", request, "text/plain", "the witness")

    ask_witness(ledger, key, ask)


@ledgers.command(
    "serve-witness",
    epilog="Example: `wavebreak ledger serve-witness remembered --key witness.key --log-key KEY`",
)
def serve_witness(
    place: Annotated[Path, typer.Argument(help="Where it remembers the last checkpoint of each.")],
    key: Annotated[Path, typer.Option(help="The witness's key file.")],
    log_key: Annotated[list[str], typer.Option(help="Verifier key of a log, or its file.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port.")] = 8095,
    host: Annotated[str, typer.Option(help="The address it listens at.")] = "127.0.0.1",
) -> None:
    """Sign checkpoints of logs by HTTP, each where it continues the one signed last."""
    place.mkdir(parents=True, exist_ok=True)
    logs = [load_verifier_key(text) for text in log_key]
    signer = load_signer(key)
    answering = Witness(place, signer, logs, lambda: int(time.time()))
    with witness_server(answering, host, port) as server:
        out.print(f"witness {signer.name} at http://{host}:{port}/CASE/{ADD}")
        out.print(f"its key: {encode_verifier_key(signer.key)}")
        with suppress(KeyboardInterrupt):
            server.serve_forever()


@ledgers.command(
    epilog="Example: `wavebreak ledger witness proof --key witness.key --log-key KEY "
    "--remembered last.txt > signed.txt`"
)
def witness(
    place: Annotated[Path, typer.Argument(help="A proof bundle, or a ledger.")],
    key: Annotated[Path, typer.Option(help="The witness's key file.")],
    log_key: Annotated[str, typer.Option(help="Verifier key of the log, or its file.")],
    at: Annotated[int, typer.Option(help="When: seconds since 1970.")],
    remembered: Annotated[
        Path | None, typer.Option(help="The checkpoint that this witness signed last.")
    ] = None,
) -> None:
    """Check that a log continues the checkpoint signed last, and print its newest one signed."""
    kept = [_checkpoint(remembered)] if remembered else []
    audit_directory(place, [load_verifier_key(log_key)], kept)
    latest = json.loads((place / "checkpoints.jsonl").read_text("utf-8").splitlines()[-1])
    echo(add_cosignature(str(latest).encode(), load_signer(key), at).decode(), nl=False)


@ledgers.command(epilog="Example: `wavebreak ledger erase log --account +972501234567`")
def erase(place: Place, account: Account) -> None:
    """Erase the openings of an account's entries; the ledger still verifies."""
    if is_service(place):
        fix = "DELETE /v1/accounts/ACCOUNT/personal, which cuts the service's log too"
        raise UsageError("this is a service's ledger", fix=fix)
    if (place.parent / "case.json").exists():
        raise UsageError(
            "this is the ledger of a case",
            fix=f"`wavebreak case erase {place.parent} {account} --why … --by NAME`",
        )
    count = _openings(place).erase("account", account)
    out.print(f"{count:,} entries can no longer be opened; the ledger is unchanged")
