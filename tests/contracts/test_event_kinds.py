"""Every consumer of events has an answer for each type; an empty cell names the file to edit."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from docs.generate_reference import events_page
from support.notice_decisions import decision
from support.parity_streams import MINUTE, START, Row, log
from wavebreak.engine.enforcement import refuses
from wavebreak.explain.collect import KINDS as COUNTS
from wavebreak.explain.collect import timeline_of_events
from wavebreak.features.catalog import FEATURES
from wavebreak.features.facts import Fanout
from wavebreak.features.layout import SHARDS
from wavebreak.features.shards import ShardedKernel, policy_without_rules
from wavebreak.io.field_limits import EITHER, LIMITS
from wavebreak.notices import build_statement, get_language, load_platform
from wavebreak.outcomes import BAN, CHALLENGE
from wavebreak.schema.coverage import declared, known_names
from wavebreak.schema.event_kinds import EVENT_KINDS, FACTS, KINDS, EventKind, Update, table_faults
from wavebreak.schema.events import LOG_SCHEMA, TYPES, UNDETERMINED
from wavebreak_lab.simulation.log import NOT_PLAYED
from wavebreak_server.slices.accounts.service import TIMELINE_TEXTS, AccountEvents, timeline

ROOT = Path(__file__).resolve().parents[2]
TABLE = "packages/engine/src/wavebreak/schema/event_kinds.py"
SIMULATION = "packages/lab/src/wavebreak_lab/simulation"
SYNAPSE = "integrations/synapse/src/wavebreak_synapse/mapping.py"
PROSODY = "integrations/prosody/mod_wavebreak/mapping.lib.lua"
EJABBERD = "integrations/ejabberd/mod_wavebreak/src/mod_wavebreak_mapping.erl"
UNSENT = "integrations/unsent_event_types.toml"
GENERATED = "python clients/generate_events.py"


@cache
def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _row(kind: str) -> EventKind:
    return {row.type: row for row in EVENT_KINDS}[kind]


def _facts(kind: str) -> list[str]:
    return [name for name in (_row(kind).actor, _row(kind).counterpart) if name]


# The kernel: what an event changes of an account's record

BEFORE: tuple[tuple[str, str, str | None, Row], ...] = (
    *(("account.registered", name, None, {}) for name in "abcde"),
    ("message.sent", "a", "b", {"size": 90}),
    ("contact.requested", "a", "c", {}),
    ("contact.requested", "a", "f", {}),
    ("group.created", "a", None, {"group": "g"}),
    ("group.member_added", "a", "d", {"group": "g"}),
    ("user.blocked", "b", "a", {}),
)
"""What has to have happened so that an event of each type can mean something."""
ASKED = {"label": UNDETERMINED, "source": 0, "outcome": CHALLENGE, "hold_s": 3_600}
CHALLENGED = ("label.assigned", "a", None, ASKED)
"""And so that a passed challenge can."""
BETWEEN = {
    "contact.accepted": ("c", "a"),
    "contact.refused": ("f", "a"),
    "group.joined": ("b", "e"),
    "challenge.failed": ("e", "e"),
    "group.left": ("d", "a"),
    "user.unblocked": ("b", "a"),
    "call.ended": ("a", "b"),
}
"""Who acts, and towards whom; otherwise a towards e."""
CLOCKS = ("clock", "touched", "newest")


def _item(kind: str, account: str, peer: str | None, fields: Row, at: int) -> Row:
    given: Row = {"id": f"e{at}", "ts": START + at * MINUTE, "type": TYPES.index(kind)}
    return given | {"account": account, "peer": peer} | fields


def _event(kind: str) -> Row:
    account, peer = BETWEEN.get(kind, ("a", "e"))
    limits = LIMITS[kind]
    fields: Row = {name: 0 for name in ("kind", "label", "source") if name in limits}
    fields |= {"lane": 1} if "lane" in limits else {}
    fields |= {"seconds": 60} if "seconds" in limits else {}
    fields |= {name: "x" for name in ("device", "business") if name in limits}
    if "group" in limits and kind not in EITHER:
        fields["group"] = "g"
    return _item(kind, account, peer if "peer" in limits else None, fields, 30)


def _records(events: Iterable[Row], account: str) -> list[Any]:
    """The record of an account, its pairs, what is kept of few and what others read, no clocks."""
    fanout = Fanout(secret=b"s" * 32)
    core = ShardedKernel(
        policy_without_rules(), np.zeros(len(FEATURES)), enforce=False, accounts=64,
        secret=b"s" * 32,
    )  # fmt: skip
    for segment in fanout.segments(log(events)):
        if core.epoch < 0:
            core.start(segment.epoch)
        elif segment.epoch != core.epoch:
            core.open(segment.epoch, [core.close()])
        core.advance(segment)
    core.open(core.epoch + 1, [core.close()])
    names = fanout.accounts.texts(range(len(fanout.accounts))).to_pylist()
    shard, state = names.index(account) % SHARDS, core.dump()
    kept = [state["people"][names.index(account)].tobytes()]
    for table in ("rows", "rares", "pairs"):
        records = state[f"{table}{shard}"].copy()
        for name in set(CLOCKS) & set(records.dtype.names):
            records[name] = 0
        kept.append(records.tobytes())
    return kept


def _is_counted(kind: str, account: str) -> bool:
    happened = (*BEFORE, CHALLENGED) if kind == "challenge.passed" else BEFORE
    before = [_item(*each, at) for at, each in enumerate(happened)]
    return _records(before, account) != _records([*before, _event(kind)], account)


def _kernel(kind: str) -> bool:
    """An event changes the record of an account where its kind of account event says so."""
    row, (account, peer) = _row(kind), BETWEEN.get(kind, ("a", "e"))
    return all(
        (FACTS[KINDS.index(name)].update is Update.NOTHING) != _is_counted(kind, who)
        for name, who in ((row.actor, account), (row.counterpart, peer))
        if name
    )


def _refusals(kind: str) -> bool:
    """A ban refuses what some outcome refuses, and nothing else."""
    return all(
        bool(refuses(BAN, KINDS.index(name), 0, 0, 0, 0)) == bool(FACTS[KINDS.index(name)].bars)
        for name in _facts(kind)
    )


@cache
def _acts_of_statements() -> frozenset[str]:
    made = decision("suspend")
    statement = build_statement(
        made, platform=load_platform(), language=get_language("en"), now_ms=made["ts"] + 1
    )
    assert statement.restriction is not None
    return frozenset((*statement.restriction.refused, *statement.restriction.works))


def _statement(kind: str) -> bool:
    """What can be refused is among the acts that a statement speaks of."""
    row = _row(kind)
    can_be = row.actor != "" and bool(FACTS[KINDS.index(row.actor)].bars)
    return can_be == bool(row.acts) and _acts_of_statements() >= set(row.acts)


def _explanation(kind: str) -> bool:
    """An explanation counts an event where the row says so, and only there."""
    row, event = _row(kind), _event(kind) | {"peer": "e", "account": "a"}
    columns: Row = dict.fromkeys(LOG_SCHEMA.names) | event
    asked = {"type": TYPES.index("contact.requested"), "id": "0", "account": "e", "peer": "a"}
    own = timeline_of_events([columns], "a")
    theirs = timeline_of_events([columns | asked, columns], "e")
    return {name for name in (row.counts, row.counted_at) if name} <= set(COUNTS) and all(
        bool(name) == any(len(seen[each]) for each in counts) and (not name or len(seen[name]) == 1)
        for name, seen, counts in (
            (row.counts, own, COUNTS),
            (row.counted_at, theirs, ("received", "replies", "reports", "blocks")),
        )
    )


def _coverage(kind: str) -> bool:
    return kind in known_names() and declared([kind]).covers(kind) and bool(_row(kind).carried)


@cache
def _played() -> frozenset[str]:
    named: set[str] = set()
    for path in (ROOT / SIMULATION).rglob("*.py"):
        if path.name != "log.py":
            tree = ast.walk(ast.parse(path.read_text("utf-8")))
            named |= {str(node.value) for node in tree if isinstance(node, ast.Constant)}
    return frozenset(named & set(TYPES))


def _simulator(kind: str) -> bool:
    return (kind in _played()) != bool(NOT_PLAYED.get(kind))


def _is_mapped(server: str, kind: str, fields: dict[str, set[str]]) -> bool:
    """A chat server sends a type, with fields that it has, or says why it does not."""
    unsent = tomllib.loads(_text(UNSENT))[server]
    return (kind in fields) != bool(unsent.get(kind)) and fields.get(kind, set()) <= set(
        LIMITS[kind]
    )


@cache
def _sent_by_synapse() -> dict[str, set[str]]:
    for node in ast.parse(_text(SYNAPSE)).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "FIELDS":
            assert node.value is not None
            return {kind: set(names) for kind, names in ast.literal_eval(node.value).items()}
    raise LookupError(f"{SYNAPSE} has no FIELDS")


@cache
def _sent_by(path: str, table: str, line: str, names: str) -> dict[str, set[str]]:
    found = re.search(table, _text(path), re.DOTALL)
    assert found is not None, f"{path} has no table of fields"
    return {kind: set(re.findall(names, inside)) for kind, inside in re.findall(line, found[0])}


def _synapse(kind: str) -> bool:
    return _is_mapped("synapse", kind, _sent_by_synapse())


def _prosody(kind: str) -> bool:
    table, line = r"local FIELDS = \{.*?\n\};", r'\["([a-z_.]+)"\] = \{([^}]*)\}'
    return _is_mapped("prosody", kind, _sent_by(PROSODY, table, line, r'"(\w+)"'))


def _ejabberd(kind: str) -> bool:
    table, line = r"-define\(FIELDS,.*?\}\)\.", r'<<"([a-z_.]+)">> => \[([^]]*)\]'
    return _is_mapped("ejabberd", kind, _sent_by(EJABBERD, table, line, r"\w+"))


def _json_schema(kind: str) -> bool:
    text = _text("packages/engine/src/wavebreak/policy/event.schema.json")
    return kind in json.loads(text)["discriminator"]["mapping"]


def _python_client(kind: str) -> bool:
    return f'TYPE: ClassVar[str] = "{kind}"' in _text(
        "clients/python/src/wavebreak_client/events.py"
    )


def _typescript_client(kind: str) -> bool:
    return f'type: "{kind}";' in _text("clients/typescript/src/events.ts")


_events_page = cache(events_page)


def _documentation(kind: str) -> bool:
    page = _events_page()
    return f"\n## {kind}\n" in page and all(f"`{name}`" in page for name in _facts(kind))


CONSUMERS: dict[str, tuple[Callable[[str], bool], str]] = {
    "kernel": (_kernel, TABLE),
    "refusals": (_refusals, TABLE),
    "statement of reasons": (
        _statement,
        f"{TABLE}, and acts in packages/engine/src/wavebreak/notices/statement.py",
    ),
    "explanation": (
        _explanation,
        f"{TABLE}, and counts in packages/engine/src/wavebreak/explain/collect.py",
    ),
    "coverage": (_coverage, TABLE),
    "simulator": (_simulator, f"a persona, or NOT_PLAYED in {SIMULATION}/log.py"),
    "Synapse": (_synapse, f"{SYNAPSE}, or {UNSENT}"),
    "Prosody": (_prosody, f"{PROSODY}, or {UNSENT}"),
    "ejabberd": (_ejabberd, f"{EJABBERD}, or {UNSENT}"),
    "JSON Schema": (_json_schema, f"run {GENERATED}"),
    "Python client": (_python_client, f"run {GENERATED}"),
    "TypeScript client": (_typescript_client, f"run {GENERATED}"),
    "documentation": (_documentation, "a docstring of wavebreak/schema/events.py"),
}
"""Each consumer's answer to a type, and where it is given."""


def empty_cells(consumer: str, kinds: Iterable[str]) -> list[str]:
    """The types for which a consumer has no answer, or another than the row, with the fix."""
    answers, where = CONSUMERS[consumer]
    empty = []
    for kind in kinds:
        try:
            answered = answers(kind)
        except LookupError:
            answered = False
        if not answered:
            empty.append(f"{kind} × {consumer}: {where}")
    return empty


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_a_consumer_has_an_answer_for_each_event_type(consumer: str) -> None:
    empty = empty_cells(consumer, TYPES)
    assert empty == [], "\n".join(["empty cells:", *empty])


def test_an_event_type_that_no_consumer_knows_is_named_with_each() -> None:
    named = {consumer: empty_cells(consumer, ["nudge.sent"]) for consumer in CONSUMERS}
    assert [consumer for consumer, cells in named.items() if not cells] == []
    assert named["kernel"] == [f"nudge.sent × kernel: {TABLE}"]
    assert table_faults(types=(*TYPES, "nudge.sent")) == [
        "nudge.sent has no row in schema/event_kinds.EVENT_KINDS"
    ]


def test_the_table_of_event_types_is_that_of_the_schema() -> None:
    assert table_faults() == []


def test_codes_of_event_types_and_account_events_are_only_appended() -> None:
    stored = ("contact.requested", "contact.accepted", "contact.refused")
    assert (TYPES.index("account.registered"), TYPES.index("label.assigned")) == (0, 22)
    assert TYPES[23:26] == stored
    assert (KINDS.index("registered"), KINDS.index("epoch")) == (0, 27)
    assert TYPES[26:28] == ("call.started", "call.ended")
    assert KINDS[37:40] == ("called", "called_by", "call_ended")
    assert (TYPES[30:], KINDS[40:]) == (("account.declared",), ("declared",))
    assert KINDS[32:37] == ("requested", "requested_by", "accepted", "accepted_by", "declined_by")
    assert len(KINDS) <= 62, "rules keep the kinds of account event as bits"


# The console: the timeline of an account


@pytest.mark.parametrize("kind", [row.type for row in EVENT_KINDS])
def test_timeline_has_a_lane_for_each_type(kind: str) -> None:
    path = "packages/server/src/wavebreak_server/slices/accounts/service.py"
    row, (own, aimed) = _row(kind), TIMELINE_TEXTS.get(kind, ("", ""))
    assert own, f"{kind} has no lane: edit TIMELINE_TEXTS in {path}"
    assert aimed or not row.counterpart, f"{kind} has no lane for its peer: edit {path}"
    code = TYPES.index(kind)
    events = [
        {"type": code, "ts": 1_000, "account": "ann", "peer": "bob"},
        {"type": code, "ts": 2_000, "account": "bob", "peer": "ann"},
    ]
    lanes = timeline("ann", AccountEvents(events, complete=True))["lanes"]
    times = {lane["label"]: lane["times"] for lane in lanes}
    assert times == {own: [1_000]} | ({aimed: [2_000]} if aimed else {})


def test_timeline_lanes_have_names_of_their_own() -> None:
    names = [name for texts in TIMELINE_TEXTS.values() for name in texts if name]
    assert len(names) == len(set(names))
    assert set(TIMELINE_TEXTS) == {row.type for row in EVENT_KINDS}
