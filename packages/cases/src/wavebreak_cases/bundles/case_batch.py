"""A batch of drafts from a file: a case a line in CSV, a `[[case]]` a case in TOML.

Columns and keys are named as the options of `wavebreak case draft`, and `case` is the new
directory's name. In CSV several values are separated by semicolons, but for addresses and files:
one a line, and further lines of the same case add to it.
"""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from wavebreak.errors import CaseError, FileError
from wavebreak_cases.bundles.case_draft import CaseDraft
from wavebreak_cases.cases.field_errors import describe_field_error

MAX_BATCH = 16 << 20
_CASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SEPARATED = ("alias", "domain", "number", "account", "violation")
_ONE_A_LINE = ("url", "file")


class BatchLine(NamedTuple):
    """One case of a batch: its place in the file, its id, and the draft, or what is wrong."""

    where: str
    case: str
    draft: CaseDraft | None
    error: CaseError | None


def read_batch(path: Path) -> list[BatchLine]:
    """Read a batch file; a case that is not well formed is returned with what is wrong.

    Args:
        path: A file that ends in .csv or .toml. Files and runs that it names are relative to it.

    Raises:
        FileError: The file cannot be read at all.

    """
    try:
        if path.stat().st_size > MAX_BATCH:
            raise FileError(f"{path} is over {MAX_BATCH:,} bytes", fix="split it")
        text = path.read_text("utf-8-sig")
    except OSError:
        raise FileError(f"{path} cannot be read", fix="give a file that exists") from None
    except UnicodeDecodeError:
        raise FileError(f"{path} is not UTF-8", fix="save it as CSV UTF-8") from None
    if path.suffix == ".toml":
        rows = _toml_rows(path, text)
    elif path.suffix == ".csv":
        rows = _csv_rows(path, text)
    else:
        raise FileError(f"{path} is no batch file", fix="give a .csv or .toml file")
    return [_parse(where, row, path.parent) for where, row in rows]


def _toml_rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        cases = tomllib.loads(text).get("case", [])
    except tomllib.TOMLDecodeError as error:
        raise FileError(f"{path} is no TOML: {error}", fix="correct that line") from None
    if not isinstance(cases, list) or not cases:
        raise FileError(f"{path} has no case", fix='begin each with [[case]], then case = "C-7"')
    for number, row in enumerate(cases, 1):
        yield f"case {number}", row if isinstance(row, dict) else {}


def _csv_rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    known = {*CaseDraft.__struct_fields__, "case"}
    lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    columns = [name.strip() for name in lines.fieldnames or ()]
    if wrong := [name for name in columns if name not in known]:
        raise FileError(
            f"{path} has a column that is not known: {wrong[0][:40]}",
            fix=f"columns are: {', '.join(('case', *CaseDraft.__struct_fields__))}",
        )
    if "case" not in columns or "party" not in columns:
        raise FileError(f"{path} lacks the column case or party", fix="name both in its first line")
    lines.fieldnames = columns
    try:
        for row in lines:
            where = f"line {lines.line_num}"
            if row.pop(None, None) is not None:
                yield where, {"case": row.get("case"), "": "more cells than columns"}
                continue
            yield where, {k: _cell(k, v.strip()) for k, v in row.items() if v and v.strip()}
    except csv.Error as error:
        yield f"line {lines.line_num}", {"": f"no CSV: {error}"}


def _cell(name: str, text: str) -> Any:
    if name in _SEPARATED:
        return [part.strip() for part in text.split(";") if part.strip()]
    return [text] if name in _ONE_A_LINE else text


def _parse(where: str, row: Mapping[str, Any], base: Path) -> BatchLine:
    rest = dict(row)
    case = str(rest.pop("case", "") or "")
    try:
        if wrong := rest.pop("", ""):
            raise CaseError(str(wrong), fix="put cells that hold a comma in quotation marks")
        if not _CASE_ID.fullmatch(case):
            raise CaseError(
                f"case: {case[:40] or 'nothing'} is no number of a case",
                fix="letters, digits, dots and dashes, as in C-7",
            )
        draft = msgspec.convert(rest, CaseDraft)
    except msgspec.ValidationError as error:
        fix = "correct it; `wavebreak case draft --help` lists the values"
        problem = CaseError(describe_field_error(error), fix=fix)
        return BatchLine(where, case, None, problem)
    except CaseError as error:
        return BatchLine(where, case, None, error)
    files = tuple(str(base / name) for name in draft.file)
    run = str(base / draft.run) if draft.run else ""
    return BatchLine(where, case, msgspec.structs.replace(draft, file=files, run=run), None)
