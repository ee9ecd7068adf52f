"""A backup in one file, taken while the service runs; restored into either kind of database.

A zip archive: each table as chunks of rows (MessagePack behind eight bytes of length), read in one
transaction and so of one moment; the newest snapshot that does not run ahead of it; a manifest with
the SHA-256 of each part. The key of the privacy edge is not in it.
"""

from __future__ import annotations

import hashlib
import json
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
from wavebreak.service.models import AppliedPosition, LogBatch
from wavebreak.service.recovery import list_snapshots

VERSION = 1
_MANIFEST = "manifest.json"
_ROWS = 500
_CHUNK_AT_MOST = 1 << 30
_DAMAGED = "take another backup: this one is cut off or was changed"


def _tables() -> list[Any]:
    return list(apps.get_app_config("service").get_models())


def save(home: Path, file: Path) -> dict[str, int]:
    """Write a backup of the bound database and of `home`; gives the rows of each table.

    The file appears whole or not at all. Raises ServiceError where the database cannot be read.
    """
    fresh = file.with_name(f"{file.name}.new")
    try:
        with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            counts = _save(home, archive)
    except Error as error:
        fresh.unlink(missing_ok=True)
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ServiceError(f"the database cannot be read: {told}", fix="check it") from None
    fresh.replace(file)
    return counts


def _save(home: Path, archive: zipfile.ZipFile) -> dict[str, int]:
    counts: dict[str, int] = {}
    sums: dict[str, str] = {}
    with transaction.atomic():
        database.read_one_moment()
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
            with path.open("rb") as held:
                sums[path.name] = hashlib.file_digest(held, "sha256").hexdigest()
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


def _write(part: IO[bytes], table: Any) -> tuple[int, str]:
    digest, count = hashlib.sha256(), 0
    names = [field.attname for field in table._meta.concrete_fields]
    rows: list[Any] = [names]
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
    """Fill the bound database, which must be empty, and `home` from a backup; gives the rows.

    Raises FileError where the backup is damaged (it names the part, and nothing is restored), and
    ServiceError where the database already holds a log.
    """
    home.mkdir(parents=True, exist_ok=True)
    database.migrate()
    if LogBatch.objects.exists() or list_snapshots(home):
        raise ServiceError("there is a log already", fix="restore into an empty directory")
    try:
        with zipfile.ZipFile(file) as archive, transaction.atomic():
            about = json.loads(archive.read(_MANIFEST))
            if about["version"] != VERSION:
                what = f"{file} is of another version"
                raise FileError(what, fix=f"it was made by Wavebreak {about['wavebreak']}")
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
        told = f"{file} cannot be read as a backup ({type(error).__name__})"
        raise FileError(told, fix=_DAMAGED) from None
    except WavebreakError:
        _remove_snapshots(home)
        raise


def _remove_snapshots(home: Path) -> None:
    for _, _, path in list_snapshots(home):
        path.unlink()


def _fill(archive: zipfile.ZipFile, name: str, expected: str) -> None:
    found = {table._meta.db_table: table for table in _tables()}
    table = found.get(name.removeprefix("tables/"))
    if table is None:
        raise FileError(f"the backup's part {name} is not known", fix="use a newer version")
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
    table.objects.bulk_create(table(**dict(zip(names, row, strict=True))) for row in rows)


def _copy(archive: zipfile.ZipFile, name: str, expected: str, home: Path) -> None:
    target = home / Path(name).name
    with archive.open(name) as part, target.open("wb") as held:
        while block := part.read(1 << 20):
            held.write(block)
    with target.open("rb") as held:
        if hashlib.file_digest(held, "sha256").hexdigest() != expected:
            target.unlink()
            raise FileError(f"the backup's part {name} is damaged", fix=_DAMAGED)


def _reset_sequences() -> None:
    """Numbers that the database gives itself go on behind those that were restored."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), _tables()):
            cursor.execute(statement)
