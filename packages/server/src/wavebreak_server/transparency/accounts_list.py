"""The accounts list: which counted decisions are about the same account, and not about which.

A report that counts accounts rests on openings, which only the operator holds. The list makes these
counts checkable without them: a row for each decision that the accounts section counts, with its
position in the ledger and a number for its account. Accounts are numbered in the order in which
they first occur in the report, so the numbers say nothing beyond "the same" and "another", and
another report numbers anew.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from wavebreak.csv_files import encode_csv
from wavebreak.errors import FileError
from wavebreak_server.transparency.history import CHALLENGE_RANK, DecisionRow, History
from wavebreak_server.transparency.periods import Period

NAME = "accounts.csv"
_COLUMNS = ["position", "account"]


class AccountsList(NamedTuple):
    """The number of each counted decision's account, by position; empty: erased."""

    numbers: Mapping[int, str]

    def encode(self) -> bytes:
        """Return the list as CSV."""
        return encode_csv([_COLUMNS, *self.numbers.items()]).encode()

    def digest(self) -> str:
        """Return the SHA-256 of the list as CSV, in hexadecimal."""
        return sha256(self.encode()).hexdigest()


def number_accounts(accounts: Iterable[tuple[int, str | None]]) -> AccountsList:
    """Number accounts in the order in which they first occur.

    Args:
        accounts: Position and account (None: erased), in order of position.

    >>> number_accounts([(3, "b"), (5, "a"), (6, None), (9, "b")]).numbers
    {3: '1', 5: '2', 6: '', 9: '1'}
    """
    known: dict[str, str] = {}
    numbers = {
        position: "" if account is None else known.setdefault(account, str(len(known) + 1))
        for position, account in accounts
    }
    return AccountsList(numbers)


def list_accounts(history: History, period: Period) -> AccountsList:
    """Return the accounts list of a period, from a history whose accounts are known."""
    return number_accounts(
        (row.position, row.account) for row in history.decisions.values() if _counts(row, period)
    )


def counted_positions(history: History, period: Period) -> list[int]:
    """Return the positions of the decisions that the list of a period has."""
    return [row.position for row in history.decisions.values() if _counts(row, period)]


def _counts(row: DecisionRow, period: Period) -> bool:
    return row.severity >= CHALLENGE_RANK and period.contains(row.ts)


def read_accounts_list(path: Path) -> AccountsList:
    """Read an accounts list.

    Args:
        path: The file.

    Raises:
        FileError: The file cannot be read, or is not an accounts list.
    """
    fix = f"get {NAME} again from who published the report"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            columns, *rows = csv.reader(file, strict=True)
            numbers = {int(position): number for position, number in rows}
    except OSError as e:
        raise FileError(f"{path} cannot be read: {e.strerror}", fix=fix) from None
    except (ValueError, csv.Error):
        raise FileError(f"{path} is not an accounts list", fix=fix) from None
    if columns != _COLUMNS or len(numbers) != len(rows):
        raise FileError(f"{path} is not an accounts list", fix=fix)
    return AccountsList(numbers)


def list_faults(
    listed: AccountsList, positions: Iterable[int], opened: Mapping[int, str | None]
) -> list[str]:
    """Return what is wrong with an accounts list.

    Args:
        listed: The list.
        positions: The decisions that it must have, in order.
        opened: Accounts by position, where the reader holds openings. What is not known (None) is
            not compared.

    Returns:
        A sentence for each fault; empty where the list holds.

    >>> listed = number_accounts([(3, "b"), (5, "a")])
    >>> list_faults(listed, [3, 5], {3: "+1", 5: "+1"})
    ['entry 5 is about the account of entry 3, and the list says another']
    """
    wanted = list(positions)
    found = []
    if list(listed.numbers) != wanted:
        odd = set(listed.numbers) ^ set(wanted)
        which = f"{len(odd)} differ, the first at {min(odd)}" if odd else "their order differs"
        found.append(f"the list is not about the decisions that count: {which}")
    named = number_accounts((at, number or None) for at, number in listed.numbers.items())
    if named != listed:
        found.append("accounts are not numbered in the order in which they occur")
    return found + [*_contradictions(listed, opened)][:1]


def _contradictions(listed: AccountsList, opened: Mapping[int, str | None]) -> Iterator[str]:
    """Compare the list with accounts that were opened."""
    first: dict[str, int] = {}
    numbered: dict[str, int] = {}
    for position, number in listed.numbers.items():
        account = opened.get(position)
        if account is None:
            continue
        if not number:
            yield f"entry {position} can be opened, and the list says that it is erased"
            continue
        earlier = first.setdefault(account, position)
        other = numbered.setdefault(number, position)
        if listed.numbers[earlier] != number:
            yield (
                f"entry {position} is about the account of entry {earlier}, and the list says "
                "another"
            )
        elif opened[other] != account:
            yield (
                f"entry {position} is about another account than entry {other}, and the list says "
                "the same"
            )
