"""URL of the topic of Kafka that holds the bodies of the log."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from wavebreak.errors import UsageError

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
