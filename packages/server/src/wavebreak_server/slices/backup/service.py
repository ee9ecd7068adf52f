"""Backup and restore: one file, written while the service runs, for SQLite and PostgreSQL.

The file is a zip archive: each table as chunks of rows (MessagePack after eight bytes of length),
read in one transaction and so consistent; the newest snapshot of what decides that is not ahead of
them, and others of its time; the files of the service's directory that cannot be made again; a
manifest with the size and SHA-256 of each part, and a MAC of the manifest under the deployment's
key. The key itself is not in it, and no session of the console.

A restore believes nothing that the MAC does not cover, unless it is asked to. It writes tables and
files whose names it knows, sizes that were declared, and through no link.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
import re
import shutil
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.management.color import no_style
from django.db import Error, connection, models, transaction
from django.db.migrations.recorder import MigrationRecorder

from wavebreak import __version__
from wavebreak.durable_files import replacing
from wavebreak.errors import FileError, ServiceError, WavebreakError
from wavebreak.privacy.traps import FILE as TRAPS_FILE
from wavebreak_server.pipeline.recovery import list_snapshots, usable_snapshots
from wavebreak_server.service_plugins import plugin_models
from wavebreak_server.slices.erasure.service import LIST_FILE, apply_again, read_list
from wavebreak_server.slices.queue.models import CaseSkip, Review, ReviewCase
from wavebreak_server.slices.users.credentials import adopt_users
from wavebreak_server.slices.users.models import User
from wavebreak_server.storage import database
from wavebreak_server.storage.event_log import log_start, with_bodies
from wavebreak_server.storage.models import (
    AppliedPosition,
    LogBatch,
    Owner,
    VerifiedModel,
    adopt_rows,
)
from wavebreak_server.storage.ownership import LOCK_FILE
from wavebreak_server.storage.private_files import FILE_MODE, created, open_regular

VERSION = 2
UNSEALED_VERSION = 1
"""Backups of 0.1 and 0.2: without a MAC and without sizes."""
_MANIFEST, _MAC = "manifest.json", "manifest.mac"
_MANIFEST_AT_MOST = 64 << 20
_ROWS, _CHUNK = 500, 4 << 20
"""Rows of a chunk, and bytes after which it ends."""
_CHUNK_AT_MOST = 256 << 20
_COLUMNS_AT_MOST = 64
_RATIO_AT_MOST, _SPARE = 200, 1 << 20
"""How many bytes each byte of an unproven part may unpack to, beside the spare ones."""
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9 ._@+-]{0,199}"
_DIRECTORIES = ("policies", "models", "learned", "reports", "cases")
_FILE = re.compile(
    rf"ledger\.pub|{re.escape(TRAPS_FILE)}|state-\d+-\d+\.snapshot|({'|'.join(_DIRECTORIES)})(/{_SEGMENT}){{1,9}}"
)
_DAMAGED = "use another backup: this one is truncated or was changed"
_UNREADABLE = (
    OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError,
    LookupError, ArithmeticError, AttributeError, ValueError, ValidationError,
    msgspec.MsgspecError, TypeError, Error,
)  # fmt: skip
"""Errors of a file that is no backup, or a damaged one."""
_CONSOLE_TABLES = (
    ("account", "EmailAddress"), ("mfa", "Authenticator"), ("socialaccount", "SocialAccount"),
)  # fmt: skip
"""Tables of django-allauth with what people sign in by. Sessions end with a restore."""

UNPROVEN = (
    "nothing proves who wrote this backup, and that it was not changed since: its log, its "
    "decisions, API keys, webhooks and people may be somebody else's"
)

_Rows = Annotated[
    list[Annotated[list[msgspec.Raw], msgspec.Meta(max_length=_COLUMNS_AT_MOST)]],
    msgspec.Meta(max_length=_ROWS + 1),
]
_decode_rows = msgspec.msgpack.Decoder(_Rows).decode


@dataclass
class Saved:
    """What a backup holds: rows by table, and files that it leaves out for their names or kind."""

    rows: dict[str, int]
    left_out: list[str]


@dataclass
class Restored:
    """What was restored: rows by table, and what of it is unproven (empty: nothing).

    `listed` erasures were on the list that was given, `erasures` of all were applied again.
    """

    rows: dict[str, int]
    unproven: str = ""
    listed: int = 0
    erasures: int = 0


@dataclass
class _Manifest:
    about: dict[str, Any]
    sizes: dict[str, int]
    sums: dict[str, str]
    unproven: str = ""
    unproven_tables: list[type[VerifiedModel]] = field(default_factory=list)
    has_second_looks: bool = False


def _tables() -> list[Any]:
    """Return the models whose rows a backup has; who owns the log is no part of it."""
    found = [m for m in apps.get_app_config("service").get_models() if m is not Owner]
    found += [*apps.get_app_config("console").get_models(), *plugin_models()]
    return [*found, *(apps.get_model(*name) for name in _CONSOLE_TABLES)]


def mac_key(secret: bytes) -> bytes:
    """Return the key of backups' MACs, derived from the deployment's."""
    return hmac.digest(secret, b"wavebreak backup", hashlib.sha256)


def deployment_id(secret: bytes) -> str:
    """Return a name of the deployment's key that does not reveal it."""
    return hmac.digest(secret, b"wavebreak deployment", hashlib.sha256).hex()[:16]


# Writing


def save(home: Path, file: Path, secret: bytes) -> Saved:
    """Write a backup of the bound database and of `home`, authenticated by the deployment's key.

    The file appears complete or not at all, and is on the disk then; nobody else can read it. A
    link in its place is replaced, and never followed.

    Raises:
        ServiceError: The database cannot be read.
        FileError: The file cannot be written.
    """
    try:
        with (
            replacing(file, mode=FILE_MODE) as out,
            zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        ):
            return _save(home, archive, secret)
    except Error as error:
        if isinstance(error, WavebreakError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ServiceError(
            f"the database cannot be read: {reason}",
            fix="check that the database is reachable and of this version",
        ) from None
    except OSError as error:
        raise FileError(
            f"{file} cannot be written: {error.strerror}",
            fix="name a file in a directory with room",
        ) from None


class _Writer:
    """Writes parts, and remembers their sizes and digests."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.parts: dict[str, dict[str, Any]] = {}

    def table(self, table: Any) -> int:
        """Write the rows of a table; return their number."""
        name = f"tables/{table._meta.db_table}"
        digest, size, count = hashlib.sha256(), 0, 0
        with self._archive.open(name, "w", force_zip64=True) as part:
            for content, rows in _chunks_of(table):
                for written in (len(content).to_bytes(8, "big"), content):
                    digest.update(written)
                    part.write(written)
                size, count = size + 8 + len(content), count + rows
        self.parts[name] = {"bytes": size, "sha256": digest.hexdigest()}
        return count

    def file(self, name: str, path: Path) -> bool:
        """Write a regular file; False where it is none."""
        source = _consistent(path) if path.suffix == ".sqlite3" else open_regular(path)
        if source is None:
            return False
        info: Any = name
        if path.suffix == ".snapshot":
            # It is an archive itself, and the largest part.
            info = zipfile.ZipInfo(name)
            info.external_attr = FILE_MODE << 16
        digest, size = hashlib.sha256(), 0
        with source, self._archive.open(info, "w", force_zip64=True) as part:
            while block := source.read(1 << 20):
                digest.update(block)
                part.write(block)
                size += len(block)
        self.parts[name] = {"bytes": size, "sha256": digest.hexdigest()}
        return True


def _consistent(path: Path) -> IO[bytes] | None:
    """Return one consistent state of a SQLite file that may be written meanwhile."""
    if path.is_symlink() or not path.is_file():
        return None
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as held:
        return io.BytesIO(held.serialize())


def _save(home: Path, archive: zipfile.ZipFile, secret: bytes) -> Saved:
    writer, counts = _Writer(archive), dict[str, int]()
    # Before the log: a version that goes live meanwhile is not in the backup, its decisions are.
    left_out = _save_files(home, writer)
    with transaction.atomic():
        database.use_consistent_snapshot()
        migrations = sorted(
            f"{a}.{n}" for a, n in MigrationRecorder(connection).applied_migrations()
        )
        position = AppliedPosition.objects.values_list("position", flat=True).first() or 0
        _check_snapshots(home, position)
        for table in _tables():
            counts[table._meta.db_table] = writer.table(table)
    trimmed = log_start().position > 0
    usable = next((path for at, path in usable_snapshots(home) if at <= position), None)
    for at, _, path in list_snapshots(home):
        # A switch leaves one of each policy at its position, and a switch that failed a newer one:
        # neither the whole log nor a trimmed one goes on as before from that of another policy.
        if at <= position and writer.file(path.name, path) and path == usable and not trimmed:
            break
    about = {
        "version": VERSION,
        "wavebreak": __version__,
        "deployment": deployment_id(secret),
        "migrations": migrations,
        "rows": counts,
        "position": position,
        "parts": writer.parts,
    }
    manifest = json.dumps(about, indent=1, sort_keys=True).encode()
    archive.writestr(_MANIFEST, manifest)
    archive.writestr(_MAC, hmac.digest(mac_key(secret), manifest, hashlib.sha256).hex())
    return Saved(counts, left_out)


def _check_snapshots(home: Path, position: int) -> None:
    """Refuse a backup of a trimmed log without the snapshot from which it goes on."""
    begin = log_start().position
    if begin and not any(begin <= at <= position for at, _, _ in list_snapshots(home)):
        raise ServiceError(
            f"the log begins at position {begin:,}, and no snapshot in {home} leads there",
            fix="give the directory that `serve` uses, with its snapshots",
        )


def _save_files(home: Path, writer: _Writer) -> list[str]:
    """Write the directory's files that cannot be made again; return the names of those left out."""
    left_out = []
    paths = [home / "ledger.pub", home / TRAPS_FILE]
    for directory in _DIRECTORIES:
        for at, names, files in os.walk(home / directory):
            paths += [Path(at, name) for name in files]
            paths += [Path(at, name) for name in names if Path(at, name).is_symlink()]
    for path in sorted(paths):
        name = path.relative_to(home).as_posix()
        if path.name.startswith(".") or not path.exists():
            continue
        if not _FILE.fullmatch(name) or not writer.file(name, path):
            left_out.append(name)
    return left_out


def _chunks_of(table: Any) -> Iterator[tuple[bytes, int]]:
    """Yield a table's rows in chunks, as MessagePack; the first row holds the columns' names."""
    fields = list(table._meta.concrete_fields)
    rows: list[Any] = [[each.column for each in fields]]
    size, count = 0, 0
    names = [each.attname for each in fields]
    stored = table._base_manager.order_by("pk").values_list(*names).iterator(chunk_size=_ROWS)
    # A backup stands alone: it has the bodies that a topic holds.
    for row in with_bodies(stored) if table is LogBatch else stored:
        rows.append([_cell(each, value) for each, value in zip(fields, row, strict=True)])
        size += sum(len(value) for value in row if isinstance(value, bytes | memoryview | str))
        count += 1
        if count >= _ROWS or size >= _CHUNK:
            yield msgspec.msgpack.encode(rows), count
            rows, size, count = [], 0, 0
    yield msgspec.msgpack.encode(rows), count


def _cell(of: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(of, models.JSONField):
        return json.dumps(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return bytes(value) if isinstance(value, memoryview) else value


# Restoring


def restore(
    file: Path,
    home: Path,
    secret: bytes | None,
    now_ms: int,
    *,
    accept_unproven: bool = False,
    erasures: Path | None = None,
) -> Restored:
    """Restore a backup into the bound, empty database and `home`, which this process owns.

    Args:
        file: The backup.
        home: An empty directory; a list of erasures may lie in it.
        secret: The deployment's key (None: unknown).
        now_ms: The time.
        accept_unproven: Restore also what the key does not authenticate.
        erasures: A list of erasures that are applied again (None: `home`'s).

    Raises:
        FileError: The backup is damaged, too large, or not proven; nothing is restored.
        ServiceError: The database already holds a log, or the directory files.
    """
    database.migrate()
    listed = read_list(erasures or home / LIST_FILE)
    held = {path.name for path in home.iterdir()} - {LIST_FILE, LOCK_FILE, "lost+found"}
    if LogBatch.objects.exists() or {n for n in held if not n.startswith(database.FILE)}:
        raise ServiceError(
            "the database already holds a log, or the directory other files",
            fix="restore into an empty directory",
        )
    made: list[str] = []
    try:
        with zipfile.ZipFile(file) as archive, transaction.atomic():
            manifest = _read_manifest(archive, file, secret, accept_unproven=accept_unproven)
            _check_sizes(archive, manifest, home)
            for name in manifest.sums:
                if _REMOVED.fullmatch(name):
                    continue
                if name.startswith("tables/"):
                    _fill(archive, name, manifest)
                else:
                    _copy(archive, name, manifest, home, made)
            _adopt(manifest)
            # Continue the database's own sequences after the restored rows.
            with connection.cursor() as cursor:
                for statement in connection.ops.sequence_reset_sql(no_style(), _tables()):
                    cursor.execute(statement)
            restored = Restored(dict(manifest.about["rows"]), manifest.unproven)
    except WavebreakError:
        _remove(home, made)
        raise
    except _UNREADABLE as error:
        _remove(home, made)
        what = f"{file} cannot be read as a backup ({type(error).__name__})"
        raise FileError(what, fix=_DAMAGED) from None
    restored.listed = len(listed)
    restored.erasures = apply_again(home, listed, now_ms)
    database.truncate_wal()
    return restored


def _adopt(manifest: _Manifest) -> None:
    """Bring the rows of an earlier version to the form of this one."""
    for table in manifest.unproven_tables:
        rows = table.objects.unverified()
        if table is User:
            adopt_users(rows)
        else:
            adopt_rows(table, rows)
    if manifest.has_second_looks:
        cases = ReviewCase.objects.values("id")
        Review.objects.exclude(case_id__in=cases).delete()
        CaseSkip.objects.exclude(case_id__in=cases).delete()


def _remove(home: Path, made: list[str]) -> None:
    """Remove the files that a failed restore has made, and their directories."""
    for name in made:
        (home / name).unlink(missing_ok=True)
        for parent in Path(name).parents[:-1]:
            with suppress(OSError):
                (home / parent).rmdir()


def _read_manifest(
    archive: zipfile.ZipFile, file: Path, secret: bytes | None, *, accept_unproven: bool
) -> _Manifest:
    """Read and authenticate the manifest, and compare the names of parts with it."""
    content = _read_small(archive, _MANIFEST)
    about = json.loads(content)
    if about["version"] not in (VERSION, UNSEALED_VERSION):
        raise FileError(
            f"{file} has an unknown backup format",
            fix=f"restore it with Wavebreak {about['wavebreak']}",
        )
    why = _unproven(archive, content, about, secret)
    if why and not accept_unproven:
        raise FileError(
            f"{file} is not proven: {why}",
            fix="give --key with the key of the deployment that wrote it, or --accept-unproven "
            "if you know where the file has been",
        )
    if about["version"] == UNSEALED_VERSION:
        sums = dict(about["sums"])
        sizes = {name: archive.getinfo(name).file_size for name in sums}
    else:
        sums = {name: part["sha256"] for name, part in about["parts"].items()}
        sizes = {name: part["bytes"] for name, part in about["parts"].items()}
    names = [info.filename for info in archive.infolist()]
    wanted = {_MANIFEST, *sums, *([_MAC] if _MAC in names else [])}
    if len(set(names)) != len(names) or set(names) != wanted:
        raise FileError("the backup's parts are not those of its manifest", fix=_DAMAGED)
    for name in sums:
        _check_name(name)
    return _Manifest(about, sizes, sums, f"{why}: {UNPROVEN}" if why else "")


def _unproven(
    archive: zipfile.ZipFile, content: bytes, about: dict[str, Any], secret: bytes | None
) -> str:
    """Return why the key does not authenticate a backup; empty if it does."""
    if _MAC not in archive.namelist():
        return "it was written without the deployment's key"
    if secret is None:
        return "the deployment's key is not known here"
    expected = hmac.digest(mac_key(secret), content, hashlib.sha256).hex()
    if hmac.compare_digest(_read_small(archive, _MAC), expected.encode()):
        return ""
    if about.get("deployment") != deployment_id(secret):
        return "it was written by another deployment"
    return "it was changed after it was written"


def _read_small(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _MANIFEST_AT_MOST:
        raise FileError(f"the backup's part {name} is too large", fix=_DAMAGED)
    return archive.read(name)


_REMOVED = re.compile(rf"tables/console_second_opinion|calibrated(/{_SEGMENT}){{1,9}}")
"""Parts of 0.2 that nothing reads any more; a restore leaves them out."""
_REMOVED_COLUMNS = {
    "console_appeal": {"device_key"},
    "console_review_case": {"blind", "golden", "golden_reason", "copy_of_id"},
    "console_review": {"kind"},
    "console_model_version": {"beside_ms", "beside_by_id"},
}
"""Columns of 0.2 that no longer exist, by table.

A case with `blind` was a second look or a copy of a golden case and acted on nobody. A restore
leaves out those cases with their reviews, as the upgrade does.
"""


def _check_name(name: str) -> None:
    """Refuse a part that no backup has."""
    if _REMOVED.fullmatch(name):
        return
    if name.startswith("tables/"):
        if name.removeprefix("tables/") in {table._meta.db_table for table in _tables()}:
            return
        raise FileError(
            f"the backup has a table that is unknown here: {name[:100]!r}",
            fix="install a newer version, or use another backup",
        )
    if not _FILE.fullmatch(name):
        raise FileError(f"no backup has a part {name[:100]!r}", fix=_DAMAGED)


def _check_sizes(archive: zipfile.ZipFile, manifest: _Manifest, home: Path) -> None:
    """Refuse parts that would unpack to more than they declare, or than there is room for."""
    for name, size in manifest.sizes.items():
        info = archive.getinfo(name)
        if info.file_size != size:
            raise FileError(f"the backup's part {name} is damaged", fix=_DAMAGED)
        if manifest.unproven and size > _RATIO_AT_MOST * info.compress_size + _SPARE:
            raise FileError(
                f"the backup's part {name} would unpack to {size >> 20} MiB",
                fix="restore a backup that the deployment's key proves",
            )
    total, free = sum(manifest.sizes.values()), shutil.disk_usage(home).free
    if total > free:
        raise FileError(
            f"the backup unpacks to {total >> 20} MiB, and {free >> 20} MiB are free",
            fix=f"make room at {home}",
        )


def _fill(archive: zipfile.ZipFile, name: str, manifest: _Manifest) -> None:
    tables = {table._meta.db_table: table for table in _tables()}
    table = tables[name.removeprefix("tables/")]
    digest, columns = hashlib.sha256(), list[str]()
    with connection.cursor() as cursor:
        # Rows that migrations made; references are checked when the transaction ends.
        cursor.execute(f"DELETE FROM {connection.ops.quote_name(table._meta.db_table)}")  # noqa: S608
    with archive.open(name) as part:
        for rows in _chunks(part, digest):
            if not columns:
                columns, rows = rows[0], rows[1:]
            if table is ReviewCase and "blind" in columns:
                blind = columns.index("blind")
                manifest.has_second_looks |= any(row[blind] for row in rows)
                rows = [row for row in rows if not row[blind]]
            _insert(table, columns, rows)
    if digest.hexdigest() != manifest.sums[name]:
        raise FileError(f"the backup's part {name} is damaged", fix=_DAMAGED)
    # A backup of before there were MACs is taken as it is: what proves it is the backup's own.
    if issubclass(table, VerifiedModel) and "mac" not in columns:
        manifest.unproven_tables.append(table)


def _chunks(part: IO[bytes], digest: Any) -> Iterator[list[Any]]:
    while head := part.read(8):
        size = int.from_bytes(head, "big")
        content = part.read(size) if size <= _CHUNK_AT_MOST else b""
        digest.update(head)
        digest.update(content)
        if len(content) != size:
            raise ValueError
        yield [[_scalar(cell) for cell in row] for row in _decode_rows(content)]


def _scalar(cell: msgspec.Raw) -> Any:
    """Decode a cell; an array or a map is none."""
    first = bytes(memoryview(cell)[:1])[0]
    if 0x80 <= first <= 0x9F or 0xDC <= first <= 0xDF:
        raise ValueError
    return msgspec.msgpack.decode(cell)


def _insert(table: Any, names: list[str], rows: list[Any]) -> None:
    fields = {each.column: each for each in table._meta.concrete_fields}
    removed = _REMOVED_COLUMNS.get(table._meta.db_table, ())
    columns = [None if name in removed else fields[name] for name in names]
    table._base_manager.bulk_create(
        table(**{c.attname: _value(c, v) for c, v in zip(columns, row, strict=True) if c})
        for row in rows
    )


def _value(of: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(of, models.JSONField):
        return json.loads(value)
    if isinstance(of, models.DateTimeField):
        return datetime.fromisoformat(value)
    return value


def _copy(
    archive: zipfile.ZipFile, name: str, manifest: _Manifest, home: Path, made: list[str]
) -> None:
    """Copy a part to a new file of `home`; `made` gets the names of files that were created."""
    digest, left = hashlib.sha256(), manifest.sizes[name]
    with archive.open(name) as part, created(home, name) as file:
        made.append(name)
        while block := part.read(min(1 << 20, left)):
            left -= len(block)
            digest.update(block)
            file.write(block)
    if left or digest.hexdigest() != manifest.sums[name]:
        raise FileError(f"the backup's part {name} is damaged", fix=_DAMAGED)
