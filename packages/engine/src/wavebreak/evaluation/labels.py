"""Labels: which accounts are abusive or benign, and their family or persona."""

from __future__ import annotations

import csv
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
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, restkey="beyond", strict=True)
            header = rows.fieldnames or []
            for column in ("account", "label", "family"):
                if column not in header:
                    raise FileError(
                        f"{path}: line 1 has no column {column}",
                        fix="start the file with the header account,label,family,operator",
                    )
            labels: dict[str, tuple[int, Label]] = {}
            for row in rows:
                _add_row(path, rows.line_num, row, labels)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(
            f"{path}: the labels cannot be read ({error})",
            fix="give a CSV file in UTF-8 with the header account,label,family,operator",
        ) from error
    return [label for _, label in labels.values()]


def _add_row(
    path: Path, line: int, row: dict[str, Any], labels: dict[str, tuple[int, Label]]
) -> None:
    """Check one row of a labels file and add it to `labels` (account → line, label)."""
    if "beyond" in row or None in (row["account"], row["label"], row["family"]):
        raise FileError(
            f"{path}: line {line} has more or fewer values than the header has columns",
            fix="write one value for each column; quote a value that contains a comma",
        )
    label = Label(
        row["account"].strip(),
        row["label"].strip(),
        row["family"].strip() or UNNAMED,
        (row.get("operator") or "").strip(),
    )
    if not label.account:
        raise FileError(
            f"{path}: line {line}, field account is empty",
            fix="write the account's id, or delete the line",
        )
    if label.label == WITHDRAWN:
        labels.pop(label.account, None)
        return
    if label.label not in LABELS:
        raise FileError(
            f"{path}: line {line}, field label must be abusive or benign",
            fix="write abusive or benign in lower case; delete accounts of unknown kind",
        )
    earlier, first = labels.setdefault(label.account, (line, label))
    for field in ("label", "family", "operator"):
        if getattr(first, field) != getattr(label, field):
            raise FileError(
                f"{path}: line {line}, field {field} contradicts line {earlier} "
                "about the same account",
                fix="keep one line for each account",
            )
