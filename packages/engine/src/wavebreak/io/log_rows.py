"""Rows of a service's log: encoding and place of a body, and the URL of a topic with bodies.

A body is an Arrow IPC stream compressed with zstd: the columns of LOG_SCHEMA that have values.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa

from wavebreak.errors import FileError, UsageError
from wavebreak.io.readers import check_log
from wavebreak.privacy.pseudonymizer import with_all_columns

_POINTER = b"kafka:"
_ZSTD = pa.Codec("zstd", 1)
# Passed to each stream: looking up the defaults in the environment takes 40 µs.
_OPTIONS = pa.ipc.IpcWriteOptions()
_MAX_ROW_BYTES = 1 << 30


def encode_row(events: pa.RecordBatch) -> memoryview:
    """Encode a batch (LOG_SCHEMA) as a row: an Arrow IPC stream compressed with zstd."""
    return compress_stream(encode_stream(events))


def encode_stream(events: pa.RecordBatch) -> pa.Buffer:
    """Encode a batch as an Arrow IPC stream.

    Columns without values are left out: most streams fill a dozen of 35, and compressing each
    column costs ten times as much as compressing the whole stream.
    """
    columns = zip(events.schema.names, events.columns, strict=True)
    narrow = events.select([name for name, column in columns if column.null_count < len(column)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, narrow.schema, options=_OPTIONS) as writer:
        writer.write_batch(narrow)
    return sink.getvalue()


def compress_stream(stream: pa.Buffer) -> memoryview:
    """Compress an encoded stream."""
    return memoryview(_ZSTD.compress(stream))


def decode_row(blob: bytes) -> pa.RecordBatch:
    """Decode a row; raises FileError for a damaged row."""
    return check_log(with_all_columns(unpack_row(blob)))


def unpack_row(blob: bytes) -> pa.RecordBatch:
    """Decode a row without validation; columns without values are absent.

    Raises:
        FileError: The row is damaged.
    """
    try:
        stream = pa.CompressedInputStream(pa.BufferReader(blob), "zstd")
        return decode_stream(stream.read(_MAX_ROW_BYTES))
    except (pa.ArrowException, OSError, StopIteration, TypeError):
        raise FileError("a row of the log is damaged", fix="restore a backup") from None


def decode_stream(stream: bytes) -> pa.RecordBatch:
    """Decode an encoded stream without copying or validating; absent columns stay absent."""
    return pa.ipc.open_stream(stream).read_next_batch()


def row_digest(blob: bytes | memoryview) -> bytes:
    """Return the SHA-256 of a row."""
    return hashlib.sha256(blob).digest()


def body_offset(cell: bytes) -> int | None:
    """Return the offset of a body's record in the log's topic; None if the row holds the body.

    Args:
        cell: The row's value in place of the body.

    Example:
        >>> body_offset(b"kafka:17"), body_offset(b"(")
        (17, None)
    """
    return int(cell.removeprefix(_POINTER)) if cell.startswith(_POINTER) else None


def body_cell(offset: int) -> bytes:
    """Return a row's value in place of a body with a record at an offset of the log's topic."""
    return _POINTER + b"%d" % offset


def body_key(first: int, sha256: bytes) -> bytes:
    """Return the key of a body's record: the position of the first event, and the SHA-256."""
    return b"%020d-%s" % (first, sha256.hex().encode())


_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_FLAGS = ("true", "false")
_FIX = "write kafka://HOST:PORT/TOPIC, as kafka://user:password@broker:9093/wavebreak-log?tls=true"


class TopicUrl(NamedTuple):
    """A URL of a topic, in parts."""

    brokers: str
    topic: str
    user: str
    password: str
    tls: bool

    def client_options(self) -> dict[str, Any]:
        """Return the options by which librdkafka's clients connect."""
        # Errors of connections come with what is asked, not as lines of their own.
        options: dict[str, Any] = {"bootstrap.servers": self.brokers, "log_level": 0}
        options["allow.auto.create.topics"] = False
        options["security.protocol"] = ("SASL_" if self.user else "") + (
            "SSL" if self.tls else "PLAINTEXT"
        )
        if self.user:
            options |= {
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": self.user,
                "sasl.password": self.password,
            }
        return options


def parse_topic_url(text: str) -> TopicUrl:
    """Return the parts of a topic's URL; raises UsageError.

    >>> parse_topic_url("kafka://a:9092,b:9092/wavebreak-log")[:2]
    ('a:9092,b:9092', 'wavebreak-log')
    >>> parse_topic_url("kafka://me:secret@a:9093/log?tls=true").tls
    True
    """
    parts = urlsplit(text)
    credentials, _, brokers = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    query = parse_qs(parts.query, keep_blank_values=True)
    topic, tls = parts.path.removeprefix("/"), query.pop("tls", ["false"])[-1]
    legal = _TOPIC.fullmatch(topic) is not None and topic not in (".", "..")
    if parts.scheme != "kafka" or not brokers or not legal or query or tls not in _FLAGS:
        raise UsageError("the URL of the log's topic is malformed", fix=_FIX)
    for broker in brokers.split(","):
        host, _, port = broker.rpartition(":")
        if not host or not port.isdigit():
            raise UsageError(f"the broker {broker[:64]!r} has no host and port", fix=_FIX)
    if password and tls != "true":
        raise UsageError("a password would go to the broker unencrypted", fix="add ?tls=true")
    return TopicUrl(brokers, topic, unquote(user), unquote(password), tls == "true")
