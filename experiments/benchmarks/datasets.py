"""Reading the benchmarks' tables and labels, with errors that say what to fix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from experiments.benchmarks.metrics import Floats, Labels
from wavebreak.errors import FileError

_WORDS = {
    "0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1,
    "human": 0, "bot": 1, "benign": 0, "abusive": 1,
}  # fmt: skip
_IDS, _LABELS = ("id", "account", "contributor"), ("label", "bot")


def present(directory: Path, *names: str) -> list[Path]:
    """Give the paths of files in a directory. Raises FileError where one is absent."""
    paths = [directory / name for name in names]
    for path in paths:
        if not path.is_file():
            raise FileError(
                f"{path} is absent", fix="give the directory of the benchmarks' data (README there)"
            )
    return paths


def table(path: Path, texts: Sequence[str] = ()) -> pa.Table:
    """Read a CSV file (also .gz), the columns `texts` as strings. Raises FileError."""
    options = pyarrow.csv.ConvertOptions(column_types={name: pa.string() for name in texts})
    try:
        return pyarrow.csv.read_csv(path, convert_options=options)
    except (pa.ArrowInvalid, OSError) as error:
        raise FileError(f"{path} cannot be read: {error}", fix="give a CSV file") from error


def texts(found: pa.Table, column: str) -> list[str]:
    """Give a column's values as strings without surrounding blanks."""
    return [str(value).strip() for value in found[column].to_pylist()]


def numbers(found: pa.Table, columns: Sequence[str]) -> Floats:
    """Give columns as float64 (rows, columns), NaN where empty. Raises FileError for others."""
    try:
        cast = [found[name].cast(pa.float64()).to_numpy() for name in columns]
    except (KeyError, pa.ArrowInvalid) as error:
        raise FileError(
            f"a column of the benchmark's table is absent or not numeric: {error}",
            fix="give the benchmarks' data as their README describes them",
        ) from error
    return np.column_stack(cast).astype(np.float64)


def codes(values: Sequence[Any]) -> Labels:
    """Labels as 0 (benign) and 1 (abusive), from 0/1, Human/Bot or benign/abusive."""
    return np.array([_WORDS[str(value).strip().lower()] for value in values], np.uint8)


def read_labels(path: Path) -> dict[str, int]:
    """Read a file of labels: CSV (also .gz) with the columns `id,label`; others are not read.

    `id` may be called `account` or `contributor`, `label` also `bot`, in any case; a label is 0 or
    1 (or 0.0, 1.0, false, true, benign, abusive, Human, Bot). Raises FileError for other headings,
    other labels, and an id given twice.
    """
    if not path.is_file():
        raise FileError(f"{path} is absent", fix="give a CSV file with the columns id,label")
    found = table(path, texts=(*_IDS, *_LABELS))
    headings = {name.strip().lower(): name for name in found.column_names}
    column, label = (
        next((headings[name] for name in names if name in headings), None)
        for names in (_IDS, _LABELS)
    )
    if column is None or label is None:
        raise FileError(
            f"{path} has no column {'id' if column is None else 'label'}; it has the columns "
            f"{', '.join(found.column_names)}",
            fix="write id,label as the first line; a label is 0 or 1",
        )
    ids, labels = texts(found, column), [word.lower() for word in texts(found, label)]
    strange = [i for i, word in enumerate(labels) if word not in _WORDS]
    if strange:
        raise FileError(
            f"{path} has {len(strange):,} values of {label} that are neither 0 nor 1, the first "
            f"in row {strange[0] + 1:,}",
            fix=f"write 0 or 1 in the column {label}",
        )
    again = np.setdiff1d(np.arange(len(ids)), np.unique(ids, return_index=True)[1])
    if again.size:
        raise FileError(
            f"{path} gives an {column} more than once, first again in row {again[0] + 1:,}",
            fix=f"give each {column} one row",
        )
    return {name: _WORDS[word] for name, word in zip(ids, labels, strict=True)}


def matched(labels: dict[str, int], ids: Sequence[str], path: Path) -> tuple[NDArray[Any], Labels]:
    """Give where labelled ids stand in `ids` (n,), and their labels (n,).

    Ids without a label are left out. Raises FileError where a labelled id is not in `ids`, none
    is, or all labels are the same.
    """
    places = {name: i for i, name in enumerate(ids)}
    unknown = [name for name in labels if name not in places]
    if unknown:
        raise FileError(
            f"{path} labels {len(unknown):,} of {len(labels):,} ids that are not in the file that "
            "is scored",
            fix="give the labels of the file that is scored, by its ids, and no others",
        )
    if len(set(labels.values())) < 2:
        raise FileError(f"{path} does not hold both labels", fix="give labels 0 and 1")
    at = np.array([places[name] for name in labels], np.int64)
    return at, np.array(list(labels.values()), np.uint8)
