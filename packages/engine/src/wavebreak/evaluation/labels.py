"""Labels: which accounts are abusive or benign, and their family or persona."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wavebreak.errors import FileError

LABELS = ("abusive", "benign")
WITHDRAWN = "undetermined"
"""In place of a label: withdraws what was said of the account before."""
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

    A line may be repeated. The column `operator` is optional. A line with the label `undetermined`
    withdraws the lines about its account above it.

    Raises:
        FileError: A column is missing, a label is neither abusive, benign nor undetermined, or two
            lines disagree about one account.
    """
    labels: dict[str, tuple[int, Label]] = {}
    for line, row in label_rows(path, ("account", "label", "family")):
        label = Label(
            row["account"], row["label"], row["family"] or UNNAMED, row.get("operator", "")
        )
        if label.label == WITHDRAWN:
            labels.pop(label.account, None)
            continue
        first_line, first = labels.setdefault(label.account, (line, label))
        for field in ("label", "family", "operator"):
            if getattr(first, field) != getattr(label, field):
                raise FileError(
                    f"{path}: line {line}, field {field} contradicts line {first_line} "
                    "about the same account",
                    fix="keep one line for each account",
                )
    return [label for _, label in labels.values()]


def label_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a labels file with their line, without spaces at the ends of values.

    Args:
        path: A CSV with the columns `account` and `label`, and others.
        columns: The columns that it must have.

    Raises:
        FileError: The file cannot be read, a column or a value is missing, an account is empty, or
            a label is neither abusive, benign nor undetermined.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, restkey="beyond", strict=True)
            for column in columns:
                if column not in (rows.fieldnames or ()):
                    raise FileError(
                        f"{path}: line 1 has no column {column}",
                        fix="start the file with the header account,label,family,operator",
                    )
            for row in rows:
                yield rows.line_num, _checked_row(f"{path}: line {rows.line_num}", row, columns)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(
            f"{path}: the labels cannot be read ({error})",
            fix="give a CSV file in UTF-8 with the header account,label,family,operator",
        ) from error


def _checked_row(line: str, row: dict[str, Any], columns: Sequence[str]) -> dict[str, str]:
    if "beyond" in row or None in (row[column] for column in columns):
        raise FileError(
            f"{line} has more or fewer values than the header has columns",
            fix="write one value for each column; quote a value that contains a comma",
        )
    values = {name: (value or "").strip() for name, value in row.items()}
    if not values["account"]:
        raise FileError(
            f"{line}, field account is empty", fix="write the account's id, or delete the line"
        )
    if values["label"] not in (*LABELS, WITHDRAWN):
        raise FileError(
            f"{line}, field label must be abusive or benign",
            fix="write abusive or benign in lower case; delete accounts of unknown kind",
        )
    return values
