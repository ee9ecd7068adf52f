"""Labels: which accounts are known to be abusive or benign, and of which family or persona."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wavebreak.errors import FileError

LABELS = ("abusive", "benign")
UNNAMED = "unnamed"


@dataclass(frozen=True)
class Label:
    """One line of a labels file."""

    account: str
    label: str
    family: str
    operator: str


def read_labels(path: Path) -> list[Label]:
    """Read a labels file: a CSV with the header `account,label,family,operator`.

    A line may stand twice; two lines that disagree on one account are an error, as are a
    missing column (only `operator` may be left out) and a label other than abusive or benign.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, restkey="beyond", strict=True)
            header = rows.fieldnames or []
            for column in ("account", "label", "family"):
                if column not in header:
                    raise FileError(
                        f"{path}: line 1 lacks the column {column}",
                        fix="start the file with the header account,label,family,operator",
                    )
            found: dict[str, tuple[int, Label]] = {}
            for row in rows:
                _take(path, rows.line_num, row, found)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(
            f"{path}: the labels cannot be read ({error})",
            fix="give a CSV file in UTF-8 with the header account,label,family,operator",
        ) from error
    return [label for _, label in found.values()]


def _take(path: Path, line: int, row: dict[str, Any], found: dict[str, tuple[int, Label]]) -> None:
    """Check one row of a labels file and add it to what was found (account → line, label)."""
    if "beyond" in row or None in (row["account"], row["label"], row["family"]):
        raise FileError(
            f"{path}: line {line} has not as many values as the header has columns",
            fix="write one value a column; quote a value that holds a comma",
        )
    label = Label(
        row["account"].strip(),
        row["label"].strip(),
        row["family"].strip() or UNNAMED,
        (row.get("operator") or "").strip(),
    )
    if not label.account:
        raise FileError(
            f"{path}: line {line}, field account is empty", fix="name the account, or drop the line"
        )
    if label.label not in LABELS:
        raise FileError(
            f"{path}: line {line}, field label is neither abusive nor benign",
            fix="write abusive or benign in small letters; leave accounts of unknown kind out",
        )
    earlier, first = found.setdefault(label.account, (line, label))
    for field in ("label", "family", "operator"):
        if getattr(first, field) != getattr(label, field):
            raise FileError(
                f"{path}: line {line}, field {field} contradicts line {earlier} "
                "about the same account",
                fix="keep one line an account",
            )
