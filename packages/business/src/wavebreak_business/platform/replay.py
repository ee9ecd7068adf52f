"""A log of mixed traffic: the platform's rules decide its businesses' sends, the engine all people.

One log has messages of people, of businesses, and what changes the registry. The platform's rules
read it first. What they refuse did not happen for the engine: it is an attempt. Who sends for no
registered portfolio is a person there, whatever a registration says of its channel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from wavebreak.errors import EventError, FileError
from wavebreak.io.jsonl import decode_lines
from wavebreak.io.line_splitter import LineBlock
from wavebreak.io.readers import check_log
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import LOG_SCHEMA, TYPES
from wavebreak_business.platform.events import PortfolioUpdated, event_id, read_events
from wavebreak_business.platform.platform import Platform, Result

CHUNK = 50_000
"""Events that are decided together; the answers do not depend on it."""
LOG = "log.arrow"
"""The log for the engine, in the directory of a replay."""
_PLATFORM = "business_platform"
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")
_WORDS = ("consent.granted", "consent.revoked")
"""Types of both contracts that make no account event: the platform's rules alone read them."""


class Part(NamedTuple):
    """A part of a log, decided.

    Attributes:
        result: What the platform's rules made of it.
        lines: Its events as the engine takes them, one JSON object a line.
        faults: Lines of the platform's own types that are none, by number, and why.
    """

    result: Result
    lines: list[bytes]
    faults: list[tuple[int, EventError]]


class Replay:
    """Reads a log once, in its order.

    Args:
        platform: Its registry and state; it goes on from there.
    """

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._acted: set[str] = set()
        """Accounts that had an event of the engine's: too late to come to the platform."""

    def parts(self, lines: Iterable[bytes]) -> Iterator[Part]:
        """Decide a log, part by part: one ends where the registry of portfolios changes."""
        events: list[Any] = []
        raw: list[tuple[dict[str, Any], str]] = []
        faults: list[tuple[int, EventError]] = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            event, fields, fault = _read(line)
            if fault is not None:
                faults.append((number, fault))
                continue
            if isinstance(event, PortfolioUpdated):
                yield self._decided(events, raw, faults)
                result = self.platform.apply([event])
                yield Part(result, self._registered(event, result), [])
                events, raw, faults = [], [], []
                continue
            if event is not None:
                events.append(event)
            if fields.get("type") in TYPES and fields.get("type") not in _WORDS:
                raw.append((fields, event_id(event) if event is not None else ""))
            elif event is None:
                raw.append(({"line": line}, ""))
            if len(events) + len(raw) >= 2 * CHUNK:
                yield self._decided(events, raw, faults)
                events, raw, faults = [], [], []
        yield self._decided(events, raw, faults)

    def _decided(
        self, events: list[Any], raw: list[tuple[dict[str, Any], str]],
        faults: list[tuple[int, EventError]],
    ) -> Part:  # fmt: skip
        result = self.platform.apply(events)
        refused = {answer.id for answer in result.answers if not answer.accepted}
        return Part(result, [self._line(fields, name, refused) for fields, name in raw], faults)

    def _line(self, fields: dict[str, Any], name: str, refused: set[str]) -> bytes:
        """Return an event as the engine takes it."""
        if "line" in fields:
            return bytes(fields["line"])
        account = fields.get("account")
        if isinstance(account, str):
            self._acted.add(account)
        if fields["type"] == "account.registered" and fields.get("channel") == _PLATFORM:
            portfolio = self.platform.registry.portfolio_of(str(account))
            fields = {k: v for k, v in fields.items() if k not in ("channel", "business")}
            if portfolio is not None:
                fields |= {"channel": _PLATFORM, "business": portfolio.name}
        if fields["type"] == "message.sent":
            # By its own name it is known again where the same comes a second time.
            fields = fields | {"id": name or fields.get("id")}
            if name in refused:
                fields["attempted"] = True
        return msgspec.json.encode(fields)

    def _registered(self, event: PortfolioUpdated, result: Result) -> list[bytes]:
        """Return the registrations by which the engine knows of a portfolio's change.

        A number that has acted before stays what it was there: a sender who is known must not
        become immune by one more event. One that leaves is a person's from now on.
        """
        if result.refused or result.repeated:
            return []
        new = [n.number for n in event.numbers if n.number not in self._acted]
        self._acted.update(new)
        of_platform = {"channel": _PLATFORM, "business": event.business}
        return [
            msgspec.json.encode(
                {"type": "account.registered", "ts": event.ts, "account": number} | more
            )
            for numbers, more in ((new, of_platform), (event.removed, {"channel": "personal"}))
            for number in numbers
        ]


class Written(NamedTuple):
    """What a replay wrote.

    Attributes:
        log: The log that the engine takes, pseudonymized.
        outcomes: Sends of businesses by outcome.
        changes: What changed by itself, by kind.
        refused: Events that were refused, by cause.
    """

    log: Path
    outcomes: Counter[str]
    changes: Counter[str]
    refused: Counter[str]

    def as_json(self) -> dict[str, Any]:
        """Return the counts for JSON."""
        counts = {"sends": self.outcomes, "changes": self.changes, "refused_events": self.refused}
        return {name: dict(sorted(count.items())) for name, count in counts.items()}


def write_replay(
    replay: Replay, lines: Iterable[bytes], directory: Path, edge: Pseudonymizer
) -> Written:
    """Decide a log by the platform's rules; write the answers, and the log for the engine.

    Args:
        replay: Reads the log.
        lines: The log.
        directory: For business.jsonl (an answer a send), business_changes.jsonl and log.arrow.
        edge: Pseudonymizes the engine's events: what is raw reaches no file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / LOG
    outcomes, changes, refused = Counter[str](), Counter[str](), Counter[str]()
    with (
        (directory / "business.jsonl").open("wb") as answers,
        (directory / "business_changes.jsonl").open("wb") as changed,
        pa.ipc.new_file(str(log), LOG_SCHEMA, options=_COMPRESSED) as writer,
    ):
        for part in replay.parts(lines):
            outcomes.update(answer.outcome for answer in part.result.answers)
            changes.update(change.what for change in part.result.changes)
            refused.update(error.what for _, error in part.result.refused)
            refused.update("no event of the platform" for _ in part.faults)
            answers.writelines(_json(each._asdict()) for each in part.result.answers)
            changed.writelines(_json(each._asdict()) for each in part.result.changes)
            if part.lines:
                taken, _ = decode_lines(LineBlock.of(b"\n".join(part.lines) + b"\n"))
                batch, unparsed = edge.split(taken.wire, taken.lines)
                refused.update(each.cause for each in (*taken.refused, *unparsed))
                if batch.num_rows:
                    writer.write_batch(check_log(batch))
    return Written(log, outcomes, changes, refused)


class _Listed(msgspec.Struct):
    account: str


def listed_accounts(path: Path) -> list[str]:
    """Return the accounts of a service's list of erasures; a last line that is torn is left out.

    Raises:
        FileError: The file cannot be read, or is no such list.
    """
    fix = "give HOME/erasures.jsonl of the service"
    try:
        whole, _, _ = path.read_bytes().rpartition(b"\n")
        rows = msgspec.json.Decoder(_Listed).decode_lines(whole)
    except OSError:
        raise FileError(f"{path} cannot be read", fix=fix) from None
    except msgspec.MsgspecError:
        raise FileError(f"{path} is no list of erasures", fix=fix) from None
    return [row.account for row in rows]


def _json(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def _read(line: bytes) -> tuple[Any, dict[str, Any], EventError | None]:
    """Return an event of the platform's (None: of no type of its), its fields, and its fault.

    What is no event of the platform's own types goes to the engine as it is, which says what is
    wrong with it.
    """
    try:
        fields = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError):
        return None, {"type": None}, None
    try:
        found = read_events([line]).events
    except EventError as error:
        of_engine = fields.get("type") in TYPES and fields.get("type") not in _WORDS
        return (None, fields, None) if of_engine else (None, fields, error)
    return (found[0] if found else None), fields, None
