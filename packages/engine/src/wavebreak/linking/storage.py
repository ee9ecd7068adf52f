"""The operators of a run, as its file holds them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from wavebreak.errors import FileError, UsageError
from wavebreak.linking.operators import Operator

FILE: Final = "operators.jsonl"
"""File of a run with the operators at its end, one a line."""


def save(operators: Iterable[Operator], directory: Path) -> None:
    """Write operators into a run's directory, one JSON object a line."""
    lines = (msgspec.json.encode(operator) + b"\n" for operator in operators)
    (directory / FILE).write_bytes(b"".join(lines))


def load(directory: Path) -> list[Operator]:
    """Read the operators of a run's directory.

    Raises:
        FileError: There are none, or the file is not well formed.
    """
    path = directory / FILE
    try:
        lines = path.read_bytes().splitlines()
        return [msgspec.json.decode(line, type=Operator) for line in lines]
    except OSError as e:
        raise FileError(
            f"{path} cannot be read: {e.strerror}", fix="give a directory that `run -o` wrote"
        ) from None
    except msgspec.MsgspecError:
        raise FileError(f"{path} is not well formed", fix="run the events again") from None


def find(operators: Iterable[Operator], name: str) -> list[Operator]:
    """Return the operator of an id, or those that an account belongs to.

    Raises:
        UsageError: There is none.
    """
    found = [o for o in operators if name == o.id or name in o.accounts]
    if not found:
        raise UsageError(
            f"no operator and no account of one is called {name[:64]!r}",
            fix="see `wavebreak operators list`",
        )
    return found
