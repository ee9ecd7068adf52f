"""Inputs: events of any table or file, the deciding policy, and the example."""

from __future__ import annotations

import dataclasses
import secrets
import warnings
from collections.abc import Mapping as Fields
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

from wavebreak import example, io, rules
from wavebreak.engine.decision_record import Decision as Decision
from wavebreak.errors import FileError, WavebreakError
from wavebreak.io import readers, sources, table_readers
from wavebreak.io.mapping import Mapping as Mapping
from wavebreak.io.mapping import load_mapping
from wavebreak.privacy import secret_key
from wavebreak.privacy.names import Names
from wavebreak.privacy.phone_numbers import number_of
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import feature as feature
from wavebreak.rules import loader
from wavebreak.schema.events import TYPES

Error = WavebreakError

Key = bytes | str | Path | None
"""A secret key of at least 16 bytes, or the path of its file."""

PREVIEW_ROWS = 10
_EXAMPLE_KEY = b"example " * 4
"""The example has nothing to replace, so that its key is no secret."""


@cache
def _session_key() -> bytes:
    return secrets.token_bytes(32)


def resolve_key(key: Key, *, is_personal: bool) -> bytes:
    """Return a key of pseudonyms: the one given, the deployment's, or one of this session.

    Args:
        key: The key, or the path of a key file (None: the deployment's).
        is_personal: Whether values are replaced with the key: a session's key then gives a warning.

    Raises:
        FileError: There is no such file.
    """
    if isinstance(key, bytes):
        return key
    if key is not None:
        return secret_key.load_key(Path(key), create=False)
    try:
        return secret_key.load_key(None, create=False)
    except FileError:
        if is_personal:
            warnings.warn(
                "pseudonyms of phone numbers, addresses and devices are made with a key of this "
                "session, and cannot be joined with later ones; give `key`, or set WAVEBREAK_KEY",
                stacklevel=4,
            )
        return _session_key()


class Events:
    """Events to decide on: a table or a file, with a mapping.

    `events` and `read_events` return this type.

    The deciding functions read the events. Phone numbers, addresses and devices become pseudonyms
    in the same call; the values never reach the disk.

    Attributes:
        source: The file, `-` for standard input, or the table.
        ip_database: A local file with AS numbers and countries, or None.
    """

    def __init__(self, source: io.Source, key: Key = None, ip_database: Path | None = None) -> None:
        self.source = source
        self.ip_database = ip_database
        self._key = key

    @property
    def mapping(self) -> Mapping | None:
        """How the table's rows are read as events; None for a file of events."""
        return self.source.mapping if isinstance(self.source, io.Table) else None

    @property
    def key(self) -> bytes:
        """The secret key of pseudonyms; see `read_events`."""
        return resolve_key(self._key, is_personal=self._has_personal_fields())

    def pseudonym(self, account: str) -> str:
        """Return the id that decisions have for an account of the table.

        It is the account's own, except where accounts are phone numbers.
        """
        if self.mapping is None or not self.mapping.numbers:
            return account
        return Names(self.key).pseudonym(number_of(account, self.mapping.country) or account)

    def pseudonymizer(self) -> Pseudonymizer:
        """Return the pseudonymizer of phone numbers, addresses and devices, with the key."""
        return Pseudonymizer(self.key, self.ip_database)

    def preview(self, rows: int = PREVIEW_ROWS) -> pa.Table:
        """Return the first events as they are decided on, with pseudonyms, and times as dates."""
        batch = next(io.read(self.source, self.pseudonymizer(), batch=rows), None)
        if batch is None:
            return pa.table({})
        table = pa.Table.from_batches([batch.log]).slice(0, rows)
        kinds = pa.array(TYPES).take(table["type"].combine_chunks())
        table = table.set_column(table.schema.get_field_index("type"), "type", kinds)
        dates = table["ts"].cast(pa.timestamp("ms", "UTC"))
        table = table.set_column(table.schema.get_field_index("ts"), "ts", dates)
        return table.select([n for n in table.column_names if table[n].null_count < table.num_rows])

    def __repr__(self) -> str:
        if not isinstance(self.source, io.Table):
            return f"<Events: {self.source}>"
        columns = self.source.mapping.columns.items()
        fields = ", ".join(f"{field}={column}" for field, column in columns)
        return f"<Events: {self.source.path or self.source.name}; {fields}>"

    def _has_personal_fields(self) -> bool:
        if isinstance(self.source, io.Table):
            mapping = self.source.mapping
            return mapping.numbers or bool(sources.PERSONAL & mapping.columns.keys())
        if str(self.source) == "-":
            return True
        path = io.events_file(Path(self.source))
        kind = readers.file_format(path)
        if kind.format not in ("lines", "json") and sources.is_log_file(path, kind):
            return False
        names, values = table_readers.sample_rows(path)
        personal = [k for k, name in enumerate(names) if name in sources.PERSONAL]
        return any(row[k] is not None for row in values for k in personal)


def events(
    table: Any,
    *,
    columns: dict[str, str] | None = None,
    type: str = "",
    types: dict[str, str] | None = None,
    time: str = "",
    zone: str = "",
    country: str = "",
    mapping: Mapping | None = None,
    key: Key = None,
    ip_database: str | Path | None = None,
) -> Events:
    """Read a table as events.

    What is not declared is guessed from headings and values, as `wavebreak assess` does; a guess
    that is not certain is an error, which shows what to declare.

    Args:
        table: A table of pandas, polars, DuckDB or pyarrow (anything with Arrow's PyCapsule
            interface), a list of dicts, a dict of columns, or a file.
        columns: Column of the table by event field: `{"ts": "sent_at", "account": "from"}`.
        type: Event type of all rows, such as `message.sent`, where no column gives it.
        types: Event type by the word that the column of types has.
        time: What the times are: s, ms, us or ns since 1970, iso, mail (RFC 2822), or a form of
            strptime. Columns of dates and times need none.
        zone: Time zone of times without an offset, such as Asia/Jerusalem or +02:00.
        country: Country (ISO 3166, two letters) of phone numbers without a country code.
        mapping: All of these at once, in their place.
        key: Secret key of pseudonyms, as of `read_events`.
        ip_database: A local file in MaxMind's format with AS numbers and countries.

    Returns:
        The events.

    Raises:
        Error: The object is no table, or a guess is not certain.

    Example:
        >>> import wavebreak as wb
        >>> rows = [{"sent_at": 1767225600000, "from": "a", "to": "b"}]
        >>> wb.events(rows, columns={"ts": "sent_at", "account": "from", "peer": "to"}, time="ms")
        <Events: table; ts=sent_at, account=from, peer=to>
    """
    declarations = {"columns": columns, "type": type, "types": types, "time": time, "zone": zone,
                "country": country}  # fmt: skip
    source = table
    if not isinstance(table, str | Path):
        source = io.Table(table, mapping)
        if mapping is None:
            declarations_given = {name: value for name, value in declarations.items() if value}
            source = io.Table(
                table, sources.require_certain(source, source.guess(**declarations_given))
            )
    else:
        source = io.open_source(table, mapping, declarations)
    return Events(source, key, Path(ip_database) if ip_database else None)


def read_events(
    path: str | Path,
    *,
    mapping: Mapping | str | Path | None = None,
    key: Key = None,
    ip_database: str | Path | None = None,
    **declared: Any,
) -> Events:
    """Read a file of events, or any file with a table.

    Args:
        path: JSON Lines, JSON, Parquet, Arrow or CSV, also .gz or .zst; a directory with one
            `events.*`; the SQLite database of a chat server; `example`; `-` for JSON Lines on
            standard input.
        mapping: How a table is read, or the TOML file that says so. Default: `NAME.mapping.toml`
            beside the file, else guessed.
        key: Secret key of pseudonyms (bytes, or the path of a key file). Default: the environment
            variable WAVEBREAK_KEY, else ~/.config/wavebreak/key, else a key of this session, with a
            warning where the events have something to replace. The example has a key of its own.
        ip_database: A local file in MaxMind's format with AS numbers and countries.
        **declared: `columns`, `type`, `types`, `time`, `zone` and `country`, as of `events`.

    Returns:
        The events.

    Raises:
        Error: There is no such file, its format is unknown, or a guess is not certain.

    Example:
        >>> import wavebreak as wb
        >>> wb.read_events("example").preview(1).num_rows
        1
    """
    if isinstance(mapping, str | Path):
        mapping = load_mapping(Path(mapping))
    source = io.open_source(path, mapping, declared)
    if path == example.NAME and key is None:
        key = _EXAMPLE_KEY
    return Events(source, key, Path(ip_database) if ip_database else None)


def example_events() -> Events:
    """Return the example: a simulated week of a small messenger with three campaigns.

    Two thousand people, 107,000 events, without phone numbers and addresses. Detection on it is a
    demonstration, not a measurement. `example_labels` has the labels.
    """
    return Events(example.example_path(), _EXAMPLE_KEY)


def example_labels() -> pa.Table:
    """Return the labels of the example: account, label, family and operator, a row an account."""
    return csv.read_csv(example.example_labels_path())


class Policy(rules.Policy):
    """Rules and enforcement settings, checked and immutable. `load_policy` returns a policy.

    Attributes:
        rules: The rules.
        version: Name and digest of the deciding settings.
    """

    def with_rule(
        self,
        *,
        id: str,
        when: Sequence[str | Fields[str, Any]],
        outcome: str,
        duration: str | None = None,
        on: Sequence[str] = ("sent",),
        **fields: Any,
    ) -> Policy:
        """Return this policy with a rule more, which takes the place of one of its id.

        Args:
            id: The id: lower-case letters, digits and _.
            when: Conditions that must all hold, as in `["strangers_contacted_1h >= 30"]`.
            outcome: observe, challenge or limit; more only on a `basis` other than doubt.
            duration: How long a timed outcome holds, such as 1h.
            on: Kinds of account events after which the rule is evaluated.
            **fields: Other fields of a rule in a file: basis, new_chats_1d, mode, fires_on, ...

        Raises:
            Error: The rule is invalid; names the field and the fix.

        Example:
            >>> import wavebreak as wb
            >>> policy = wb.load_policy().with_rule(
            ...     id="thirty_strangers", when=["strangers_contacted_1h >= 30"], outcome="limit",
            ...     duration="1h")
            >>> policy.rules[-1].id
            'thirty_strangers'
        """
        timed = {"for": duration} if duration else {}
        row = {"abuse": "own", "about": f"A rule of one's own: {id}.", "stage": "messaging",
               "source": "Given in Python.", "mode": "enforce"} | fields  # fmt: skip
        row |= {"id": id, "when": list(when), "outcome": outcome, "on": list(on)} | timed
        return _as_policy(loader.add_rule(self, row))


def _as_policy(policy: rules.Policy) -> Policy:
    return Policy(
        **{field.name: getattr(policy, field.name) for field in dataclasses.fields(policy)}
    )


def as_events(source: Events | Any) -> Events:
    """Return events unchanged, or the events of a table or a file (`events`)."""
    return source if isinstance(source, Events) else events(source)


def load_policy(directory: str | Path | None = None) -> Policy:
    """Load and check a policy, and try the examples of the rules.

    Args:
        directory: A local policy, which overrides and extends the shipped one (None: the shipped
            one alone).

    Returns:
        The policy. `policy.with_rule(...)` returns one with a rule more.

    Raises:
        Error: The policy is invalid; names file, rule, field and fix.

    Example:
        >>> import wavebreak as wb
        >>> len(wb.load_policy().rules) > 10
        True
    """
    return _as_policy(loader.load_policy(Path(directory) if directory else None))
