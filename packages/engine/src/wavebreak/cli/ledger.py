"""Command group `ledger`: keys and their rotation, verification, proofs, stamps and witnesses."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from wavebreak.cli import console, options
from wavebreak.cli.app import ledgers
from wavebreak.cli.commands import KEY_UNKNOWN, UNCHECKED, Output, command
from wavebreak.errors import FileError, UsageError
from wavebreak.extras import LazyModule
from wavebreak.ledger import (
    DirectoryStorage,
    Ledger,
    OpeningFile,
    Signer,
    Storage,
    audit,
    checkpoints,
    key_changes,
    proof_bundle,
    verifier,
)
from wavebreak.ledger.checkpoints import encode_verifier_key, load_signer, load_verifier_key
from wavebreak.ledger.errors import convert_verifier_errors, ledger_error
from wavebreak.ledger.ledger import WITNESS_ENDPOINT, cosign, rotate_key
from wavebreak.ledger.storage import KEY_HISTORY, LEDGER, add_key_change, read_key_history
from wavebreak.privacy import secret_key

httpx = LazyModule("httpx")
MAX_ANSWER, ANSWER_S = 1 << 20, 60.0
"""Maximum bytes of an authority's or a witness's response, and the timeout of one."""

Place = Annotated[Path, "The ledger's directory, or a service's that `serve` was given."]
SigningKey = Annotated[
    Path | None, typer.Option("--key", help="Key file that signs (default: the one of `run`).")
]
HistoryFile = Annotated[Path, "File of signed statements on which key followed which."]


@dataclass(frozen=True)
class ServiceOptions:
    """The options that find the ledger of a service."""

    database_url: options.DatabaseUrl = ""
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="WAVEBREAK_CONFIG",
            help="File of a service's options (default: wavebreak.toml in its directory).",
        ),
    ] = None

    def open_source(self, place: Path, *, write: bool = False) -> audit.LedgerSource | None:
        """Open the ledger of a service; None for the directory of a ledger."""
        return audit.open_source(place, self.database_url, self.config, write=write)

    def open(self, place: Path) -> tuple[Storage, Callable[[], Any], Path | None]:
        """Open a ledger: entries, openings, and the signing key in the options."""
        source = self.open_source(place)
        if source is not None:
            return source.storage, lambda: source.openings, source.signing_key
        return DirectoryStorage(place), lambda: _openings(place), None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise FileError(f"{path} cannot be read: {e.strerror}", fix="name a file") from None


def read_authorities(path: Path | None) -> list[checkpoints.Certificate]:
    """Read the certificates (PEM) of authorities of time stamps; without a file there are none.

    Raises FileError for an unreadable file, EvidenceError for a file without certificates.
    """
    return checkpoints.load_certificates(_bytes(path)) if path else []


def _checkpoint(path: Path) -> verifier.Checkpoint:
    with convert_verifier_errors():
        return verifier.read_checkpoint(_bytes(path))


def _openings(place: Path) -> OpeningFile:
    path = place / "private" / "openings.sqlite3"
    if not path.exists():
        raise FileError(
            f"{path} is not there",
            fix="run this where the ledger was written: openings are kept there only",
        )
    return OpeningFile(path)


@command(ledgers, "wavebreak ledger keygen example.org/log -o log.key")
def keygen(
    name: Annotated[str, "The log's origin."],
    *,
    out: options.OutFile,
) -> None:
    """Make a key that signs checkpoints; prints the verifier key, which others need."""
    signer = checkpoints.new_signer(name)
    checkpoints.save_signer(signer, out)
    console.echo(encode_verifier_key(signer.key))


@command(ledgers, "wavebreak ledger rotate cases/C-7 var --old ledger.key --new next.key")
def rotate(
    places: Annotated[list[Path], "Ledgers, cases and service directories of the old key."],
    *,
    old: Annotated[Path, "Key file that signed them so far."],
    new: Annotated[Path, "Key file that signs them from now on."],
    history: HistoryFile = Path(KEY_HISTORY),
    service: ServiceOptions,
) -> None:
    """Have another key sign from now on; `ledger keygen` with the same name makes it.

    End the server first, and start it with the new key.
    """
    before, after = load_signer(old), load_signer(new)
    now_ms = time.time_ns() // 1_000_000
    change = key_changes.KeyChange(before.key, after.key, key_changes.RETIRED, now_ms)
    # Checked before anything is changed.
    note = checkpoints.encode_key_change(change, [after, before])
    recorded = read_key_history(history) if history.exists() else []
    for place in places:
        _rotate(place, before, after, note, service)
        fingerprint = checkpoints.fingerprint(after.key)
        console.out.print(f"{place}: signed by {after.name} ({fingerprint})")
    if not any(
        (change_recorded.before, change_recorded.after, change_recorded.why) == change[:3]
        for change_recorded in recorded
    ):
        add_key_change(history, note)
    console.out.print(f"{history}: publish it beside the new verifier key:")
    console.echo(encode_verifier_key(after.key))


def _rotate(
    place: Path, before: Signer, after: Signer, note: bytes, service: ServiceOptions
) -> None:
    """Rotate the key of one place: a service's directory, a case's, or a ledger's own."""
    now_ms = time.time_ns() // 1_000_000
    source = service.open_source(place, write=True)
    if source is not None:
        source.rotate(before, after, now_ms)
        source.key_file.write_text(f"{encode_verifier_key(after.key)}\n", "utf-8")
        add_key_change(place / KEY_HISTORY, note)
        return
    directory = place / LEDGER if (place / LEDGER).is_dir() else place
    files = DirectoryStorage(directory, write=True)
    try:
        rotate_key(files, before, after, why=key_changes.RETIRED, at_ms=now_ms)
    finally:
        files.close()
    if (directory / "key.pub").exists():
        (directory / "key.pub").write_text(f"{encode_verifier_key(after.key)}\n", "utf-8")
    add_key_change(directory / KEY_HISTORY, note)


@command(
    ledgers,
    "wavebreak ledger revoke example.org/log+1a2b3c4d+AQ... --key next.key --since 2026-11-01",
)
def revoke(
    revoked: Annotated[str, "Verifier key that others had, or its file."],
    *,
    key: Annotated[Path, "Key file that replaced it."],
    since: Annotated[datetime, "From when it is not to be trusted (UTC)."],
    history: HistoryFile = Path(KEY_HISTORY),
) -> None:
    """Declare a key compromised: what it signed counts only where a witness saw it before."""
    signer = load_signer(key)
    since_ms = int(since.replace(tzinfo=UTC).timestamp() * 1000)
    change = key_changes.KeyChange(
        load_verifier_key(revoked), signer.key, key_changes.REVOKED, since_ms
    )
    add_key_change(history, checkpoints.encode_key_change(change, [signer]))
    console.out.print(
        f"{history}: {checkpoints.fingerprint(change.before)} is revoked from "
        f"{since:%Y-%m-%d %H:%M} UTC on; publish it"
    )


@command(ledgers, "wavebreak ledger verify log --key example.org/log+1a2b3c4d+AQ...")
def verify(
    place: Annotated[Path, "A ledger, or a proof bundle of `ledger prove`."],
    *,
    key: Annotated[
        Sequence[str], "Verifier key, or its file: of the log, and of each witness."
    ] = (),
    remembered: Annotated[Sequence[Path], "A checkpoint of this log that you kept."] = (),
    key_history: options.KeyHistory = None,
    authority: Annotated[Path | None, "Certificates (PEM) of time-stamping authorities."] = None,
    deployment_key: Annotated[
        Path | None, "The deployment's key file (`serve --key`): checks the MACs of rows too."
    ] = None,
    service: ServiceOptions,
) -> Output:
    """Check every entry, signature and proof; of a service, that its tables are as sealed.

    Exits with 0 where every check passes under your key, 3 where the key was revoked, 4 where it
    came with the ledger, else 2.
    """
    certificates = read_authorities(authority)
    checkpoints = [_checkpoint(path) for path in remembered]
    source = service.open_source(place)
    key_file = source.key_file if source else place / "key.pub"
    keys = [load_verifier_key(text) for text in key or [str(key_file)]]
    history = _read_history(key_history, place if source else None)
    tables = None
    with console.progress_bar("verifying") as show:
        if source:
            row_key = _deployment_key(deployment_key or source.deployment_key)
            entries, tables = source.audit(keys, checkpoints, certificates, history, row_key, show)
        else:
            entries = audit.audit_directory(place, keys, checkpoints, certificates, history)
    holds = [*entries.checked, *(tables.checked if tables else [])]
    key_origin = [] if key else ["whose key it is: it came with the ledger; give --key"]
    not_checked = [*key_origin, *entries.unchecked, *(tables.unchecked if tables else [])]
    findings = tables.findings if tables else []
    error = None
    if tables and tables.count:
        error = ledger_error(
            "database_differs",
            f"{tables.count:,} thing(s) in the database are not as they were sealed",
            "keep a copy as evidence, and restore a backup from before the change",
        )
    return Output(
        {
            "entries": entries.last.size,
            "holds": holds,
            "not_checked": not_checked,
            "does_not_hold": [finding._asdict() for finding in findings],
        },
        _line_printer("green", "holds", holds),
        _line_printer("yellow", "not checked", not_checked),
        _line_printer("red", "changed", [finding.what for finding in findings]),
        code=UNCHECKED if entries.revoked else 0 if key else KEY_UNKNOWN,
        error=error,
    )


def _read_history(file: Path | None, home: Path | None) -> list[key_changes.KeyChange]:
    """Read the changes of keys in a file, and in the directory of a service."""
    changes = read_key_history(file) if file else []
    if home and (home / KEY_HISTORY).exists():
        changes += read_key_history(home / KEY_HISTORY)
    return changes


def _deployment_key(path: Path | None) -> bytes | None:
    """Return the deployment's key, to check the MACs of rows; None where there is none here."""
    try:
        return secret_key.load_key(path, create=False)
    except FileError:
        if path is not None:
            raise
        return None


def _line_printer(color: str, label: str, lines: Sequence[str]) -> Callable[[Any], None]:
    """Return a function that prints lines after a label."""

    def show(terminal: console.TerminalConsole) -> None:
        for line in lines:
            text = console.styled(f"[{color}]{label:11}[/]  {{}}", line)
            terminal.print(text, soft_wrap=True)

    return show


@command(ledgers, "wavebreak ledger prove log --position 7 --show account -o it")
def prove(
    place: Place,
    *,
    out: options.OutDir,
    position: Annotated[Sequence[int], "An entry, by its position."] = (),
    account: Annotated[str, "All entries about this account."] = "",
    show: Annotated[Sequence[str], "A hidden field to open: account, trigger, id."] = (),
    since: Annotated[Path | None, "A checkpoint that the reader holds: prove it continued."] = None,
    key: SigningKey = None,
    service: ServiceOptions,
) -> None:
    """Write a proof bundle of entries, which anyone can check with `verifier.py`."""
    storage, open_openings, signing_key = service.open(place)
    ledger = Ledger(storage, checkpoints.load_or_create_signer(key or signing_key))
    positions = set(position)
    openings = open_openings() if account or show else None
    if openings and account:
        positions |= set(openings.positions("account", account))
    if not positions:
        raise UsageError("no entry was chosen", fix="give --position, or --account")
    shown_openings = {}
    if openings:
        for number in positions:
            stored = openings.of(number)
            shown_openings[number] = {field: stored[field] for field in show if field in stored}
    since_size = _checkpoint(since).size if since else None
    out.mkdir(parents=True, exist_ok=True)
    for name, content in proof_bundle(ledger, positions, shown_openings, since=since_size).items():
        (out / name).write_bytes(content)
    size = ledger.sealed.size
    console.out.print(f"{len(positions):,} entries with proofs under {size:,}, in {out}/")
    console.print_next_steps([console.command("wavebreak", "ledger", "verify", out)])


@command(ledgers, "wavebreak ledger show log 7")
def show(
    place: Place, position: Annotated[int, "The entry's position."], *, service: ServiceOptions
) -> None:
    """Print an entry as JSON, with its openings where they are stored."""
    files, openings, _ = service.open(place)
    if not 0 <= position < files.size():
        raise UsageError(f"there is no entry {position}", fix=f"there are {files.size()}")
    entry: dict[str, Any] = json.loads(files.line(position))
    of_directory = isinstance(files, DirectoryStorage)
    if not of_directory or (place / "private" / "openings.sqlite3").exists():
        entry["opened"] = {name: value for name, (_, value) in openings().of(position).items()}
    console.echo(msgspec.json.format(msgspec.json.encode(entry)).decode())


@command(ledgers, "wavebreak ledger checkpoint log > remembered.txt")
def checkpoint(
    place: Place,
    *,
    service: ServiceOptions,
) -> None:
    """Print the last checkpoint: keep it, to detect a later change of the log."""
    storage, _, _ = service.open(place)
    console.echo((storage.latest() or b"").decode(), nl=False)


@command(
    ledgers,
    "wavebreak ledger stamp log --url https://authority.example/tsr --authority authority.pem",
)
def stamp(
    place: Place,
    *,
    url: Annotated[str, "Where the authority answers (RFC 3161 over HTTP)."],
    authority: Annotated[Path, "Its certificate, or its root's (PEM)."],
) -> None:
    """Have the last checkpoint stamped with the time, and keep the stamp in `stamps/`."""
    file = stamp_ledger(place, url, authority)
    console.out.print(f"{int(file.stem):,} entries are stamped: {place}/{audit.STAMPS}/{file.name}")


def stamp_ledger(place: Path, url: str, authority: Path) -> Path:
    """Have the last checkpoint of a ledger stamped, and return the stamp's file in `stamps/`.

    Args:
        place: The ledger's directory.
        url: Where the authority answers.
        authority: The authority's certificate, or the root's (PEM).

    Raises:
        UsageError: The ledger has no checkpoint.
        FileError: The authority did not answer, or the certificate cannot be read.
        EvidenceError: The answer is no stamp of this checkpoint.
    """
    latest = DirectoryStorage(place).latest()
    if latest is None:
        raise UsageError("the ledger has no checkpoint", fix="run with --ledger first")

    def ask(request: bytes) -> bytes:
        return _post(url, request, "application/timestamp-query", "the authority")[1]

    answer = checkpoints.request_time_stamp(latest, ask, read_authorities(authority))
    with convert_verifier_errors():
        size = verifier.read_checkpoint(latest).size
    (place / audit.STAMPS).mkdir(exist_ok=True)
    (place / audit.STAMPS / f"{size}.txt").write_bytes(latest)
    stamp_file = place / audit.STAMPS / f"{size}.tsr"
    stamp_file.write_bytes(answer)
    return stamp_file


def _post(url: str, content: bytes, kind: str, recipient: str) -> tuple[int, bytes]:
    """Post to an authority or a witness; return status and body. Raises FileError."""
    fix = "try again, or give another address"
    body, end = bytearray(), time.monotonic() + ANSWER_S
    headers = {"content-type": kind}
    try:
        with httpx.stream("POST", url, content=content, headers=headers, timeout=30) as answer:
            for part in answer.iter_raw():
                body += part
                if len(body) > MAX_ANSWER or time.monotonic() > end:
                    raise FileError(f"the answer of {recipient} has no end", fix=fix)
    except (httpx.HTTPError, httpx.InvalidURL):
        raise FileError(f"{recipient} did not answer", fix=fix) from None
    return answer.status_code, bytes(body)


def request_cosignature(ledger: Ledger, url: str, key: verifier.Key) -> bytes:
    """Return the last checkpoint of a ledger, signed by a witness too.

    Args:
        ledger: The ledger.
        url: The witness's address for this log, without `add-checkpoint`.
        key: The witness's verifier key.

    Raises:
        FileError: The witness did not answer.
        EvidenceError: The witness did not sign, or the answer is another signature.
    """

    def send(request: bytes) -> tuple[int, bytes]:
        return _post(f"{url.rstrip('/')}/{WITNESS_ENDPOINT}", request, "text/plain", "the witness")

    return cosign(ledger, key, send)


@command(ledgers, "wavebreak ledger witness log --url https://witness.example --witness-key KEY")
def witness(
    place: Place,
    *,
    url: Annotated[str, "The witness's address (C2SP tlog-witness), without add-checkpoint."],
    witness_key: Annotated[str, "Verifier key of the witness, or its file."],
    key: SigningKey = None,
    service: ServiceOptions,
) -> None:
    """Have a witness sign the last checkpoint, print it, and store it with a ledger's directory.

    Of a service, whose log goes on meanwhile, keep the printed checkpoint yourself.
    """
    storage, _, signing_key = service.open(place)
    files = DirectoryStorage(place, write=True) if isinstance(storage, DirectoryStorage) else None
    with closing(files) if files else nullcontext():
        signer = checkpoints.load_or_create_signer(key or signing_key)
        ledger = Ledger(files or storage, signer)
        note = request_cosignature(ledger, url, load_verifier_key(witness_key))
        if files:
            ledger.witnessed(note)
    console.echo(note.decode(), nl=False)


@command(ledgers, "wavebreak ledger erase log --account +972501234567")
def erase(place: Place, *, account: Annotated[str, "The account's id, as in the events."]) -> None:
    """Erase the openings of an account's entries; the ledger still verifies."""
    if audit.is_service(place):
        fix = "DELETE /v1/accounts/ACCOUNT/personal, which cuts the service's log too"
        raise UsageError("this is a service's ledger", fix=fix)
    if (place.parent / "case.json").exists():
        raise UsageError(
            "this is the ledger of a case",
            fix=f"`wavebreak case erase {place.parent} {account} --why … --by NAME`",
        )
    count = _openings(place).erase("account", account)
    console.out.print(f"{count:,} entries can no longer be opened; the ledger is unchanged")
