"""Fuzz targets: functions that read untrusted bytes, and may raise only Wavebreak's own errors.

A target returns after any input. What else it raises, a crash, a hang or unbounded memory is a
finding; its input goes into `corpus/`, where the tests try it again.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from support.service_harness import SECRET, abuser
from wavebreak import rules
from wavebreak.bundles.archive_reader import Bounds, unpack
from wavebreak.engine import Engine, snapshot
from wavebreak.errors import WavebreakError
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.service import decide
from wavebreak.service.request_decoder import Body, DecodeResult, RequestDecoder
from wavebreak.service.settings import Limits

FORMS = ("json", "lines", "cloudevents", "cloudevents-batch", "arrow")
ENCODINGS = ("", "gzip", "zstd")
LIMITS = Limits(body=1 << 20, unpacked=1 << 20, events=1_000)


class Target(NamedTuple):
    """What is fuzzed: a function, and inputs to begin with."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]


@cache
def _decoder() -> RequestDecoder:
    return RequestDecoder(Pseudonymizer(SECRET), LIMITS)


def _body(form: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        """Decode a body of this form; its first byte chooses an encoding."""
        encoding = ENCODINGS[data[0] % len(ENCODINGS)] if data else ""
        decoded = _decoder().decode([Body(data[1:], form, encoding)])
        (read,) = decoded.reads
        taken = read.taken if isinstance(read, DecodeResult) else 0
        assert decoded.log.num_rows == taken, "taken and logged events differ"

    return run


def _body_seeds(form: str) -> Callable[[], Iterator[bytes]]:
    def seeds() -> Iterator[bytes]:
        events = abuser(3)
        lines = [msgspec.json.encode(event) for event in events]
        envelope = {"specversion": "1.0", "source": "/a", "type": "message.sent", "id": "1"}
        cloud = [envelope | {"data": event} for event in events]
        texts = {
            "json": [b"[" + b",".join(lines) + b"]", lines[0], b"[]", b"[{}]"],
            "lines": [b"\n".join(lines), lines[1] + b"\r\n\n"],
            "cloudevents": [msgspec.json.encode(cloud[0])],
            "cloudevents-batch": [msgspec.json.encode(cloud)],
            "arrow": [_arrow(events)],
        }
        for text in texts[form]:
            yield b"\0" + text

    return seeds


def _arrow(events: list[dict[str, Any]]) -> bytes:
    table = pa.Table.from_pylist(events)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@cache
def _policy() -> rules.Policy:
    return rules.load_policy()


@cache
def _dump() -> dict[str, Any]:
    """The state of an engine that has seen a few accounts."""
    engine = Engine(_policy(), accounts=64)
    engine.take(_decoder().decode([Body(b"\n".join(_lines()), "lines")]).log)
    return engine.dump()


def _lines() -> list[bytes]:
    return [msgspec.json.encode(event) for n in range(3) for event in abuser(5, f"a{n}")]


def _run_snapshot(data: bytes) -> None:
    """Change bytes of a snapshot's arrays under right sums; a state that loads must go on."""
    arrays = {name: array.copy() for name, array in _dump().items()}
    names = sorted(arrays)
    changes = [data[at : at + 7] for at in range(0, min(len(data), 70), 7)]
    for change in changes:
        if len(change) == 7 and (array := arrays[names[change[0] % len(names)]]).nbytes:
            content = array.reshape(-1).view("u1")
            at = int.from_bytes(change[1:4], "little") % content.size
            content[at : at + 3] = bytearray(change[4:7])[: content.size - at]
    engine = Engine(_policy(), accounts=64)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "state"
        snapshot.write(snapshot.EngineState(snapshot.manifest_of(engine), arrays), path)
        snapshot.restore(engine, path)
    engine.take(_decoder().decode([Body(b"\n".join(_lines()), "lines")]).log)


def _snapshot_seeds() -> Iterator[bytes]:
    yield bytes(7)
    for number in range(len(_dump())):
        yield bytes([number, 0, 0, 0, 255, 255, 127])


def _run_bundle(data: bytes) -> None:
    """Unpack an archive as a bundle, within bounds."""
    with tempfile.TemporaryDirectory() as place:
        source, target = Path(place) / "bundle.zip", Path(place) / "out"
        source.write_bytes(data)
        target.mkdir()
        unpack(source, target, Bounds(files=50, octets=1 << 20))


def _bundle_seeds() -> Iterator[bytes]:
    for name in ("bag/bagit.txt", "bag/data/case.json", "../x", "bag/a/b/c/d"):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, b"BagIt-Version: 1.0\n" * 20)
        yield file.getvalue()


def _run_policy(data: bytes) -> None:
    """Load a rule file of a local policy."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / "rules"
        directory.mkdir()
        (directory / "fuzzed.toml").write_bytes(data)
        rules.load_policy(Path(place), compiled=False)


def _policy_seeds() -> Iterator[bytes]:
    yield (
        b'[[rule]]\nid = "a_rule"\nabuse = "bulk_messaging"\nabout = "x"\nstage = "messaging"\n'
        b'on = ["sent"]\nwhen = ["first_contacts_1h > 30"]\noutcome = "limit"\nhold = "1d"\n'
    )


def _run_identifiers(data: bytes) -> None:
    """Pseudonymize an event whose phone, address and device are anything."""
    parts = [part.decode("utf-8", "replace") for part in (data.split(b"\0") + [b""] * 3)[:3]]
    fields = dict(zip(("phone", "ip", "device"), parts, strict=True))
    event = decide.parse_event(msgspec.json.encode(abuser(0)[0] | fields))
    (row,) = decide.pseudonymize_event(event, _decoder().pseudonymizer).to_pylist()
    held = [value for value in row.values() if isinstance(value, str)]
    raw = [part for part in parts if len(part) > 6 and part in held]
    assert not raw, f"the log holds {raw}"


def _identifier_seeds() -> Iterator[bytes]:
    yield b"+972541234567\x00203.0.113.77\x00device-of-ann"
    yield b"0541234567\x002001:db8::1\x00x"


TARGETS: dict[str, Target] = {
    **{f"body-{form}": Target(_body(form), _body_seeds(form)) for form in FORMS},
    "snapshot": Target(_run_snapshot, _snapshot_seeds),
    "bundle": Target(_run_bundle, _bundle_seeds),
    "policy": Target(_run_policy, _policy_seeds),
    "identifiers": Target(_run_identifiers, _identifier_seeds),
}


def run(name: str, data: bytes) -> None:
    """Run a target; Wavebreak's own errors are its answers."""
    with suppress(WavebreakError):
        TARGETS[name].run(data)
