"""Names of accounts, groups and businesses, replaced by keyed pseudonyms before anything is stored.

The names themselves stay in memory: whoever runs a command may ask whose a pseudonym is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from wavebreak.privacy.pseudonymizer import SERVER, pseudonyms

NAMED = {"account": "a-", "peer": "a-", "group": "g-", "business": "b-"}
"""Columns of the log that name somebody, and how their pseudonyms begin."""
DIGITS = 12
"""Hexadecimal digits of a pseudonym."""
PHONE = re.compile(r"\+?[\d\s().-]{9,20}")
MIN_DIGITS = 9
"""Last digits by which spellings of a phone number are alike."""


class Names:
    """Pseudonyms of accounts, groups and businesses, and whose they are: in memory alone."""

    def __init__(self, key: bytes) -> None:
        self._of = {name: pseudonyms(key, f"assess {name}") for name in ("a-", "g-", "b-")}
        self._known: dict[tuple[str, str], str] = {}

    def pseudonym(self, name: str, start: str = "a-") -> str:
        """Return the pseudonym of a name; one key gives the same one in every assessment."""
        if name.startswith(SERVER):
            return name
        known = self._known.get((start, name))
        if known is None:
            known = self._known[start, name] = start + self._of[start](name)[:DIGITS]
        return known

    def accounts(self) -> Iterator[tuple[str, str]]:
        """Yield each account's pseudonym and name."""
        return ((known, name) for (start, name), known in self._known.items() if start == "a-")

    def notes(self) -> list[str]:
        """Say how many accounts look like other spellings of a phone number."""
        numbers = Counter(
            digits[-MIN_DIGITS:]
            for start, name in self._known
            if start == "a-" and PHONE.fullmatch(name)
            and len(digits := "".join(filter(str.isdigit, name))) >= MIN_DIGITS
        )  # fmt: skip
        spelt = [count for count in numbers.values() if count > 1]
        if not spelt:
            return []
        return [
            f"{sum(spelt):,} accounts look like {len(spelt):,} phone numbers in several spellings; "
            "say --country, such as IL, and each number is one account"
        ]

    def replace(self, log: pa.RecordBatch) -> pa.RecordBatch:
        """Return a log batch with pseudonyms in place of names."""
        for column, start in NAMED.items():
            at = log.schema.get_field_index(column)
            encoded = pc.dictionary_encode(log.column(at))
            words = [w and self.pseudonym(w, start) for w in encoded.dictionary.to_pylist()]
            values = pa.array(words, pa.string()).take(encoded.indices)
            log = log.set_column(at, log.schema.field(at), values)
        return log
