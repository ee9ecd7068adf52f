"""Backup and restore: one file, written while the service runs, for SQLite and PostgreSQL.

The file is a zip archive: each table as chunks of rows (MessagePack after eight bytes of length),
read in one transaction and so consistent; the newest snapshot that is not ahead of them; the
versions of the policy; a manifest with the SHA-256 of each part. The pseudonymization key is not in
it.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
from django.apps import apps
from django.core.management.color import no_style
from django.db import Error, connection, transaction
from django.db.migrations.recorder import MigrationRecorder

from wavebreak import __version__
from wavebreak.errors import FileError, ServiceError, WavebreakError
from wavebreak.service import database
from wavebreak.service.live_policy import policies_directory
from wavebreak.service.models import AppliedPosition, LogBatch, Owner
from wavebreak.service.recovery import list_snapshots

VERSION = 1
_MANIFEST = "manifest.json"
_ROWS = 500
_CHUNK_AT_MOST = 1 << 30
_POLICY = re.compile(r"policies/(live|v\d+/([a-z0-9_]+/)?[a-z0-9_]+\.toml)")
_DAMAGED = "use another backup: this one is truncated or was changed"


def _tables() -> list[Any]:
    """Return the models whose rows a backup has; who owns the log is no part of it."""
    return [m for m in apps.get_app_config("service").get_models() if m is not Owner]


def save(home: Path, file: Path) -> dict[str, int]:
    """Write a backup of the bound database and of `home`; return the row count of each table.

    The file appears complete or not at all. Raises ServiceError if the database cannot be read.
    """
    partial = file.with_name(f"{file.name}.new")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            counts = _save(home, archive)
    except Error as error:
        partial.unlink(missing_ok=True)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ServiceError(
            f"the database cannot be read: {reason}",
            fix="check that the database is reachable and of this version",
        ) from None
    partial.replace(file)
    return counts


def _save(home: Path, archive: zipfile.ZipFile) -> dict[str, int]:
    counts: dict[str, int] = {}
    # Before the log: a version that goes live meanwhile is not in the backup, its decisions are.
    sums = _save_policies(home, archive)
    with transaction.atomic():
        database.use_consistent_snapshot()
        migrations = sorted(
            name
            for app, name in MigrationRecorder(connection).applied_migrations()
            if app == "service"
        )
        position = AppliedPosition.objects.values_list("position", flat=True).first() or 0
        for table in _tables():
            name = table._meta.db_table
            with archive.open(f"tables/{name}", "w", force_zip64=True) as part:
                counts[name], sums[f"tables/{name}"] = _write(part, table)
    for at, _, path in list_snapshots(home):
        if at <= position:
            archive.write(path, path.name, zipfile.ZIP_STORED)
            with path.open("rb") as file:
                sums[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
            break
    about = {
        "version": VERSION,
        "wavebreak": __version__,
        "migrations": migrations,
        "rows": counts,
        "position": position,
        "sums": sums,
    }
    archive.writestr(_MANIFEST, json.dumps(about, indent=1, sort_keys=True))
    return counts


def _save_policies(home: Path, archive: zipfile.ZipFile) -> dict[str, str]:
    """Write the versions of the policy, and which of them decides; return their digests."""
    sums: dict[str, str] = {}
    directory = policies_directory(home)
    for path in sorted(directory.rglob("*")) if directory.is_dir() else ():
        name = path.relative_to(home).as_posix()
        if _POLICY.fullmatch(name) and path.is_file():
            content = path.read_bytes()
            archive.writestr(name, content)
            sums[name] = hashlib.sha256(content).hexdigest()
    return sums


def _write(part: IO[bytes], table: Any) -> tuple[int, str]:
    digest, count = hashlib.sha256(), 0
    fields = {field.column: field.attname for field in table._meta.concrete_fields}
    names = list(fields.values())
    # Column names: those of models may change between versions.
    rows: list[Any] = [list(fields)]
    for row in table.objects.order_by("pk").values_list(*names).iterator(chunk_size=_ROWS):
        rows.append([bytes(v) if isinstance(v, memoryview) else v for v in row])
        count += 1
        if len(rows) >= _ROWS:
            _chunk(part, digest, rows)
            rows = []
    _chunk(part, digest, rows)
    return count, digest.hexdigest()


def _chunk(part: IO[bytes], digest: Any, rows: list[Any]) -> None:
    content = msgspec.msgpack.encode(rows)
    for written in (len(content).to_bytes(8, "big"), content):
        digest.update(written)
        part.write(written)


def restore(file: Path, home: Path) -> dict[str, int]:
    """Restore a backup into the bound, empty database and `home`; return the row counts.

    Raises:
        FileError: The backup is damaged; the error names the part, and nothing is restored.
        ServiceError: The database already holds a log.
    """
    database.migrate()
    if LogBatch.objects.exists() or list_snapshots(home):
        raise ServiceError(
            "the database already holds a log", fix="restore into an empty directory"
        )
    try:
        with zipfile.ZipFile(file) as archive, transaction.atomic():
            about = json.loads(archive.read(_MANIFEST))
            if about["version"] != VERSION:
                what = f"{file} has an unknown backup format"
                raise FileError(what, fix=f"restore it with Wavebreak {about['wavebreak']}")
            for name, expected in about["sums"].items():
                if name.startswith("tables/"):
                    _fill(archive, name, expected)
                else:
                    _copy(archive, name, expected, home)
            _reset_sequences()
            return dict(about["rows"])
    except (
        OSError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
    ) as error:
        _remove_snapshots(home)
        what = f"{file} cannot be read as a backup ({type(error).__name__})"
        raise FileError(what, fix=_DAMAGED) from None
    except WavebreakError:
        _remove_snapshots(home)
        raise


def _remove_snapshots(home: Path) -> None:
    for _, _, path in list_snapshots(home):
        path.unlink()


def _fill(archive: zipfile.ZipFile, name: str, expected: str) -> None:
    tables = {table._meta.db_table: table for table in _tables()}
    table = tables.get(name.removeprefix("tables/"))
    if table is None:
        raise FileError(f"unknown part {name} in the backup", fix="use a newer version")
    digest, columns = hashlib.sha256(), list[str]()
    table.objects.all().delete()
    with archive.open(name) as part:
        for rows in _chunks(part, digest):
            if not columns:
                columns, rows = rows[0], rows[1:]
            _insert(table, columns, rows)
    if digest.hexdigest() != expected:
        raise FileError(f"the backup's part {name} is damaged", fix=_DAMAGED)


def _chunks(part: IO[bytes], digest: Any) -> Iterator[list[Any]]:
    while head := part.read(8):
        size = int.from_bytes(head, "big")
        content = part.read(size) if size <= _CHUNK_AT_MOST else b""
        digest.update(head)
        digest.update(content)
        if len(content) != size:
            raise ValueError
        yield msgspec.msgpack.decode(content)


def _insert(table: Any, names: list[str], rows: list[Any]) -> None:
    attributes = {field.column: field.attname for field in table._meta.concrete_fields}
    columns = [attributes[name] for name in names]
    table.objects.bulk_create(table(**dict(zip(columns, row, strict=True))) for row in rows)


def _copy(archive: zipfile.ZipFile, name: str, expected: str, home: Path) -> None:
    # No other name leads out of the directory.
    target = home / (name if _POLICY.fullmatch(name) else Path(name).name)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with archive.open(name) as part, target.open("wb") as file:
        while block := part.read(1 << 20):
            file.write(block)
    with target.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != expected:
            target.unlink()
            raise FileError(f"the backup's part {name} is damaged", fix=_DAMAGED)


def _reset_sequences() -> None:
    """Continue the database's own sequences after the restored rows."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), _tables()):
            cursor.execute(statement)
