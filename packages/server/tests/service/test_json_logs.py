from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from wavebreak_server.pipeline import observability

PHONE = "+972501234567"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    observability.configure_logging(stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False


def test_log_entry_is_one_json_line_of_allowed_fields(written: io.StringIO) -> None:
    fields = {"route": "/v1/events", "status": 202, "account": PHONE, "peer": "ann"}
    structlog.stdlib.get_logger("wavebreak.x").warning("a request was answered", **fields)
    (line,) = written.getvalue().splitlines()
    record = json.loads(line)
    assert record.pop("ts").endswith("Z")
    assert record == {
        "level": "warning",
        "logger": "wavebreak.x",
        "event": "a request was answered",
        "route": "/v1/events",
        "status": 202,
    }


def test_log_omits_arguments_and_error_texts(written: io.StringIO) -> None:
    logger = logging.getLogger("somebody.else")
    logger.error("could not read %s", PHONE)
    try:
        raise ValueError(f"bad value {PHONE}")
    except ValueError:
        logger.exception("failed")
    text = written.getvalue()
    assert PHONE not in text
    first, second = map(json.loads, text.splitlines())
    assert first["event"] == "could not read …"
    assert second["error"] == "ValueError"
    assert second["at"][-1].startswith("test_json_logs.py:")


def test_log_of_an_exception_by_structlog_omits_its_text(written: io.StringIO) -> None:
    try:
        raise ValueError(f"bad value {PHONE}")
    except ValueError:
        structlog.stdlib.get_logger("wavebreak.x").exception("failed", cause="test")
    assert PHONE not in written.getvalue()
    record = json.loads(written.getvalue())
    assert (record["error"], record["cause"], record["level"]) == ("ValueError", "test", "error")
    assert record["at"][-1].startswith("test_json_logs.py:")


def test_allowed_fields_exclude_personal_data() -> None:
    personal = {"account", "peer", "phone", "ip", "device", "address", "body", "url", "query"}
    assert observability.ALLOWED_FIELDS & personal == set()
