"""Pseudonymization of personal fields: keyed pseudonyms, number blocks, networks, countries.

A phone number becomes `number` (pseudonym), `block` and `number_country`; an IP address becomes
`address`, `network`, and with a local database `asn` and `network_country`; a device fingerprint
and a remote server's domain become pseudonyms. No column and no message of this module contains a
raw value.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import maxminddb
import numpy as np
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wavebreak.errors import EventError, FileError, UsageError
from wavebreak.ip_addresses import network_of
from wavebreak.privacy.secret_key import KEY_BYTES, derived_key
from wavebreak.privacy.traps import MARKED, canonical
from wavebreak.schema import events
from wavebreak.schema.distinct_values import encode_distinct

SERVER = "server:"
"""Begins what stands in a log's `account` where an event is of a whole server."""
_PSEUDONYM_DIGITS = 32
_CACHED = 1 << 16
_TO_STRANGERS = pa.array([events.TYPES.index(kind) for kind in MARKED], pa.uint8())
_BLOCK_TAIL = 5
_KINDS = {field.name: field.type for field in events.LOG_SCHEMA}
_FORMATS = {
    "phone": "the phone number cannot be parsed — fix: send E.164 with a country code, or leave it",
    "ip": "the IP address cannot be parsed — fix: send IPv4 or IPv6 without zone or port",
}

Country = tuple[str | None, str | None]


class Pseudonymizer:
    """Converts wire batches to log batches with one secret key.

    Args:
        key: At least 16 bytes; equal keys give equal pseudonyms.
        ip_database: A local file in MaxMind's format with AS numbers, countries or both.
        traps: Pseudonyms of the operator's traps (`privacy.traps`), by which events to them are
            marked.

    Attributes:
        secret: The key.
    """

    def __init__(
        self, key: bytes, ip_database: Path | None = None, traps: frozenset[str] = frozenset()
    ) -> None:
        self.secret, self._database, self._traps = key, ip_database, traps
        self._places = _open_places(ip_database) if ip_database else None
        self._number = lru_cache(_CACHED)(pseudonyms(key, "number"))
        self._address = lru_cache(_CACHED)(pseudonyms(key, "address"))
        self._device = lru_cache(_CACHED)(pseudonyms(key, "device"))
        self._origin = lru_cache(_CACHED)(pseudonyms(key, "origin"))
        # Each recipient is looked up: this is a quarter of the time of an HMAC.
        self._trap = hashlib.blake2b(key=derived_key(key, "trap pseudonyms"), digest_size=16)
        self._describe: dict[str, Callable[[str], dict[str, Any] | None]] = {
            "phone": self._describe_phone,
            "ip": lru_cache(_CACHED)(self._describe_ip),
            "device": lambda device: {"device": self._device(device)},
            "origin": lambda origin: {"origin": self._origin(origin)},
        }
        self._place = lru_cache(_CACHED)(self._locate)

    def __reduce__(
        self,
    ) -> tuple[type[Pseudonymizer], tuple[bytes, Path | None, frozenset[str]]]:
        """Pickle the arguments: the secret key goes to worker processes and nowhere else."""
        return Pseudonymizer, (self.secret, self._database, self._traps)

    def apply(self, wire: pa.RecordBatch) -> pa.RecordBatch:
        """Convert a valid wire batch to a log batch of the same rows.

        Raises EventError for a phone number or an IP address that cannot be parsed.
        """
        log, refused = self.split(wire)
        if refused:
            raise EventError(refused[0].message)
        return log

    def split(
        self, wire: pa.RecordBatch, lines: NDArray[np.int64] | None = None, *,
        narrow: bool = False,
    ) -> tuple[pa.RecordBatch, list[events.Refusal]]:  # fmt: skip
        """Convert the rows that can be parsed to a log batch, and refuse the others.

        Args:
            wire: Valid events.
            lines: Line number of each row, for refusals; by default the row number from 1.
            narrow: Omit columns without a value.
        """
        present = {
            n: c for n, c in zip(wire.schema.names, wire.columns, strict=True) if _has_values(c)
        }
        known = {
            n: _described(present[n], self._describe[n]) for n in events.PERSONAL if n in present
        }
        if any(one.lost is not None and one.lost.any() for one in known.values()):
            lines = np.arange(1, wire.num_rows + 1) if lines is None else lines
            bad, refused = _unparsed(known, lines)
            return self.split(wire.filter(pa.array(~bad)), narrow=narrow)[0], refused
        columns = self._log_columns(present, known, wire)
        if narrow:
            return pa.RecordBatch.from_arrays(
                [*columns.values()], schema=_narrow(tuple(columns))
            ), []
        return _wide(columns, wire.num_rows), []

    def _log_columns(
        self, present: dict[str, pa.Array], known: dict[str, _Described], wire: pa.RecordBatch
    ) -> dict[str, pa.Array]:
        columns: dict[str, pa.Array] = {}
        for one in known.values():
            columns |= one.columns()
        none = events.null_column(wire.num_rows, pa.string())
        columns["type"] = enum_codes(present.get("type", none), events.TYPES)
        for name in events.CODES.keys() & present:
            columns[name] = enum_codes(present[name], events.CODES[name])
        if "reason" in present:
            columns["reason"] = _reason_codes(present["reason"], columns["type"])
        columns["id"] = _ids(present.get("id", none), present, columns)
        account = present.get("account", none)
        if account.null_count:
            columns["account"] = _with_servers(account, columns["origin"])
        if self._traps and "peer" in present:
            columns |= self._trap_column(present["peer"], columns["type"])
        columns = {n: c for n, c in present.items() if n not in events.PERSONAL} | columns
        return {n: _plain(columns[n], kind) for n, kind in _KINDS.items() if n in columns}

    def trap_pseudonym(self, account: str) -> str:
        """Return the pseudonym by which an account or a number is known as a trap."""
        digest = self._trap.copy()
        digest.update(canonical(account).encode())
        return digest.hexdigest()

    def _trap_column(self, peer: pa.Array, kinds: pa.Array) -> dict[str, pa.Array]:
        """Return the column that marks messages to traps; none where there is no such event."""
        rows = np.flatnonzero(pc.is_in(kinds, value_set=_TO_STRANGERS).fill_null(False))
        peer = peer.take(pa.array(rows))
        if not pa.types.is_dictionary(peer.type):
            peer = encode_distinct(peer)
        names = peer.dictionary.to_pylist()
        of_name = [name is not None and self.trap_pseudonym(name) in self._traps for name in names]
        if not any(of_name):
            return {}
        marked = rows[pa.array(of_name).take(peer.indices).fill_null(False).to_numpy(False)]
        is_trap = np.zeros(len(kinds), bool)
        is_trap[marked] = True
        return {"trap": pa.array(is_trap, mask=~is_trap)}

    def _describe_phone(self, phone: str) -> dict[str, Any] | None:
        known = number_block(phone)
        if known is None:
            return None
        return {"number": self._number(phone), "block": known[0], "number_country": known[1]}

    def _describe_ip(self, ip: str) -> dict[str, Any] | None:
        known = network_prefix(ip)
        if known is None:
            return None
        address, network = known
        asn, country = self._place(address) if self._places else (None, None)
        return {
            "address": self._address(address),
            "network": network,
            "asn": asn,
            "network_country": country,
        }

    def _locate(self, address: str) -> tuple[int | None, str | None]:
        try:
            record: Any = self._places.get(address) if self._places else None
        except ValueError:  # IPv6 asked of a database of IPv4 alone
            return None, None
        if not isinstance(record, dict):
            return None, None
        asn = record.get("autonomous_system_number", record.get("asn"))
        if isinstance(asn, str):
            asn = int(asn[2:]) if asn[:2].upper() == "AS" and asn[2:].isdecimal() else None
        country = record.get("country", record.get("registered_country"))
        country = country.get("iso_code") if isinstance(country, dict) else country
        return (
            asn if isinstance(asn, int) and 0 <= asn < 2**32 else None,
            country if isinstance(country, str) and len(country) == 2 else None,
        )


def pseudonyms(secret: bytes, kind: str) -> Callable[[str], str]:
    """Return what gives the pseudonym of a value; a phone number's kind is `number`.

    Args:
        secret: The deployment's secret key.
        kind: What the values are: equal texts of two kinds never look alike.

    >>> of_number, of_device = (pseudonyms(b"0123456789abcdef", k) for k in ("number", "device"))
    >>> len(of_number("+972541234567")), of_number("x") == of_device("x")
    (32, False)
    """
    if len(secret) < KEY_BYTES:
        raise UsageError(
            f"the key is too short: {len(secret)} of {KEY_BYTES} bytes",
            fix=f"give at least {KEY_BYTES} bytes",
        )
    # A key of its own for each kind.
    key = hmac.digest(secret, f"wavebreak/{kind}".encode(), "sha256")

    def pseudonym(value: str) -> str:
        return hmac.digest(key, value.encode(), "sha256").hex()[:_PSEUDONYM_DIGITS]

    return pseudonym


def with_all_columns(log: pa.RecordBatch) -> pa.RecordBatch:
    """Return a log batch with all columns of LOG_SCHEMA."""
    if log.num_columns == len(_KINDS):
        return log
    return _wide(dict(zip(log.schema.names, log.columns, strict=True)), log.num_rows)


def _wide(columns: dict[str, pa.Array], rows: int) -> pa.RecordBatch:
    every = events.null_columns(log=True, rows=rows) | columns
    return pa.RecordBatch.from_arrays([every[name] for name in _KINDS], schema=events.LOG_SCHEMA)


def number_block(phone: str) -> tuple[str, str | None] | None:
    """Return an E.164 number's block and country, or None where it cannot be parsed.

    A block is the country code and the national digits without the last five (at least two): a
    range of a hundred thousand numbers.

    >>> number_block("+972541234567"), number_block("+999123456")
    (('+972-5412', 'IL'), None)
    """
    # Country and length do not hang on the last three digits: one parse (60 µs) serves a thousand.
    return _parsed_prefix(phone[:-3], len(phone)) if len(phone) > 6 else None


@lru_cache(_CACHED)
def _parsed_prefix(prefix: str, length: int) -> tuple[str, str | None] | None:
    try:
        number = phonenumbers.parse(prefix.ljust(length, "0"), None)
    except phonenumbers.NumberParseException:
        return None
    code = int(number.country_code or 0)
    digits = prefix[1 + len(str(code)) :]
    national = length - 1 - len(str(code))
    region = phonenumbers.region_code_for_number(number)
    region = region or phonenumbers.region_code_for_country_code(code)
    known = region if region not in ("ZZ", "001") else None
    return f"+{code}-{digits[: max(national - _BLOCK_TAIL, 2)]}", known


def network_prefix(ip: str) -> tuple[str, str] | None:
    """Return an address in canonical form and its network (/24 or /48); None if not parsable.

    An IPv4 address inside IPv6 counts as IPv4.

    >>> network_prefix("203.0.113.9"), network_prefix("::ffff:203.0.113.9")[1]
    (('203.0.113.9', '203.0.113.0/24'), '203.0.113.0/24')
    >>> network_prefix("2001:DB8:1::7"), network_prefix("1.2.3")
    (('2001:db8:1::7', '2001:db8:1::/48'), None)
    """
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        # Other embedded addresses stay as they are: pseudonyms that are stored were made so.
        address = address.ipv4_mapped or address
    return str(address), str(network_of(address, 24, 48))


def _open_places(path: Path) -> maxminddb.Reader:
    try:
        return maxminddb.open_database(path)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError):
        fix = "give a local file in MaxMind's format (.mmdb)"
        raise FileError(f"the IP database {path} cannot be read", fix=fix) from None


def _has_values(column: pa.Array) -> bool:
    return bool(column.null_count < len(column))


class _Described(NamedTuple):
    """A personal column as dictionary indices, with the pseudonymized fields of each value."""

    indices: pa.Array
    rows: list[dict[str, Any] | None]
    lost: NDArray[np.bool_] | None

    def columns(self) -> dict[str, pa.Array]:
        """Return the pseudonymized columns by name."""
        columns = {}
        for name in next(filter(None, self.rows), {}):
            known = [row and row[name] for row in self.rows]
            if known.count(None) < len(known):
                columns[name] = pa.array(known, _KINDS[name]).take(self.indices)
        return columns


def _described(
    column: pa.Array, describe: Callable[[str], dict[str, Any] | None]
) -> _Described:  # fmt: skip
    if not pa.types.is_dictionary(column.type):
        column = encode_distinct(column)
    words = column.dictionary.to_pylist()
    rows = [None if word is None else describe(word) for word in words]
    unknown = [row is None and word is not None for word, row in zip(words, rows, strict=True)]
    lost = None
    if any(unknown):
        lost = pa.array(unknown).take(column.indices).fill_null(False).to_numpy(False)
    return _Described(column.indices, rows, lost)


def _unparsed(
    described: dict[str, _Described], lines: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], list[events.Refusal]]:
    """Return a mask of rows that cannot be parsed, and their refusals."""
    bad, refused = np.zeros(len(lines), np.bool_), dict[int, events.Refusal]()
    for field, known in described.items():
        if known.lost is not None:
            bad |= known.lost
            for row in np.flatnonzero(known.lost).tolist():
                line = int(lines[row])
                what = f"line {line}: field `{field}`: {_FORMATS[field]}"
                refused.setdefault(row, events.Refusal(line, "bad_value", field, what))
    return bad, [refused[row] for row in sorted(refused)]


@lru_cache(256)
def _narrow(names: tuple[str, ...]) -> pa.Schema:
    return pa.schema([events.LOG_SCHEMA.field(name) for name in names], events.LOG_SCHEMA.metadata)


@cache
def _words(values: tuple[str, ...]) -> pa.Array:
    return pa.array(values, pa.string())


def encode_words(column: pa.Array, values: tuple[str, ...]) -> pa.DictionaryArray:
    """Encode a column as a dictionary over `values`, whose `enum_codes` are free."""
    return pa.DictionaryArray.from_arrays(enum_codes(column, values), _words(values))


def enum_codes(column: pa.Array, values: tuple[str, ...]) -> pa.Array:
    """Return each text's index in `values` as uint8; null for null and unknown texts."""
    if not _has_values(column):
        return events.null_column(len(column), pa.uint8())
    if pa.types.is_dictionary(column.type):
        if column.dictionary.equals(_words(values)) and column.indices.type == pa.uint8():
            return column.indices
        return enum_codes(column.dictionary.cast(pa.string()), values).take(column.indices)
    return pc.index_in(column, value_set=_words(values)).cast(pa.uint8())


def _reason_codes(reason: pa.Array, types: pa.Array) -> pa.Array:
    codes = events.null_column(len(reason), pa.uint8())
    if reason.null_count < len(reason):
        for kind, values in events.REASONS.items():
            of_kind = pc.equal(types, pa.scalar(events.TYPES.index(kind), pa.uint8()))
            codes = pc.if_else(of_kind, enum_codes(reason, values), codes)
    return codes


def _plain(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column if column.type.equals(kind) else column.cast(kind)


def _with_servers(account: pa.Array, origin: pa.Array) -> pa.Array:
    """Fill absent accounts with the pseudonym of the server that their event is of."""
    servers = pc.binary_join_element_wise(SERVER, _plain(origin, pa.string()), "")
    return pc.coalesce(_plain(account, pa.string()), servers)


def _ids(ids: pa.Array, present: dict[str, pa.Array], columns: dict[str, pa.Array]) -> pa.Array:
    """Fill absent ids with the SHA-256 of the event as it is after pseudonymisation."""
    ids = _plain(ids, pa.string())
    if ids.null_count == 0:
        return ids
    missing = ids.is_null()
    pseudonyms = {"phone": "number", "ip": "address", "device": "device", "origin": "origin"}
    canonical = {
        name: columns[pseudonyms[name]] if name in pseudonyms else present[name]
        for name in sorted(present)
        if name != "id"
    }
    rows = events.json_rows(pa.RecordBatch.from_pydict(canonical).filter(missing))
    digests = (hashlib.sha256(row.encode()).hexdigest()[:32] for row in rows.to_pylist())
    return pc.replace_with_mask(ids, missing, pa.array([f"sha256:{d}" for d in digests]))
