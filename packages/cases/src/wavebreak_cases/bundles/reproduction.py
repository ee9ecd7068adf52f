"""Reproduction of a run's decisions: the extract that an exhibit holds, and its re-run and checks.

Every decision reads what accounts share (the reputation of a network, the credibility of a
reporter), so the whole log up to the last decision relied on belongs to the evidence: no part of it
is certain to give the same decisions. It is kept under the case's pseudonyms, with policy, model
and profile, so that

    wavebreak run log.arrow --policy policy/NAME --model model --profile profile.json -o again

writes the same `decisions.jsonl`, to the byte. The last epoch is closed at the cut: decisions past
`as_run` result from that, and are not of the original run.

An exhibit may also hold the ledger entries of its decisions, as proof that they were sealed before,
and has each account's conduct in numbers, recounted from its log.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Meta

from wavebreak import __version__, model, rules
from wavebreak.engine import Engine
from wavebreak.engine.batch_run import stream_profile
from wavebreak.engine.decision import Decision
from wavebreak.errors import CaseError, EvidenceError, WavebreakError
from wavebreak.explain import Timeline, collect
from wavebreak.explain.narrative import busiest_minute
from wavebreak.features.catalog import NAMES
from wavebreak.io import read
from wavebreak.ledger import DirectoryStorage, Ledger, OpeningFile, Signer, proof_bundle, verifier
from wavebreak.ledger.verifier import LOG, Key, VerifierError, canonical
from wavebreak.privacy.pseudonymizer import Pseudonymizer, with_all_columns
from wavebreak.rules.loader import SHIPPED
from wavebreak.schema import coverage
from wavebreak.schema.coverage import Profile
from wavebreak.schema.events import LATER_COLUMNS, LOG_SCHEMA, TYPES
from wavebreak_cases.bundles.bundle_checks import matching_keys as matching_keys
from wavebreak_cases.bundles.bundle_checks import own_key, read_proofs
from wavebreak_cases.bundles.pseudonyms import Renamer, rename_decision, rename_log
from wavebreak_cases.bundles.rerun_manifest import ABOUT as ABOUT
from wavebreak_cases.bundles.rerun_manifest import DECISIONS as DECISIONS
from wavebreak_cases.bundles.rerun_manifest import MAX_EVENTS
from wavebreak_cases.bundles.rerun_manifest import RerunManifest as RerunManifest

SEALED = "sealed"
_NAMES = {"account", "id", "trigger"}
_LATER = {"basis", "new_chats_1d"}
_ZSTD = pa.ipc.IpcWriteOptions(compression="zstd")
_EARLIER_LOG = pa.schema(
    [field for field in LOG_SCHEMA if field.name not in LATER_COLUMNS], LOG_SCHEMA.metadata
)
"""The log without the columns that earlier versions do not know."""


def write_sealed_decisions(
    place: Path, signer: Signer, relied: Sequence[Decision], out: Path
) -> int:
    """Write the entries of decisions with their proofs, unopened, into the new directory `out`.

    Gives how many there are. Raises `CaseError` where the ledger never sealed one of them.
    """
    files = DirectoryStorage(place)
    openings = OpeningFile(place / "private" / "openings.sqlite3")
    try:
        ledger = Ledger(files, signer)
        at: dict[str, int] = {}
        for account in {decision.account for decision in relied}:
            for position in openings.positions("account", account):
                at.setdefault(str(openings.of(position).get("id", (b"", ""))[1]), position)
        if missing := [decision.id for decision in relied if decision.id not in at]:
            raise CaseError(
                f"{place} never sealed {len(missing)} of the decisions",
                fix="give the ledger that this run was sealed in",
                code="sealed-elsewhere",
            )
        out.mkdir()
        for name, content in proof_bundle(ledger, [at[decision.id] for decision in relied]).items():
            (out / name).write_bytes(content)
    finally:
        openings.close()
        files.close()
    return len(relied)


def unverified_origin(place: Path, keys: Sequence[Key]) -> str:
    """The origin of sealed entries for which the reader has given no key ("": none)."""
    if not place.exists():
        return ""
    own = own_key(place)
    return "" if matching_keys(own, keys) else own.name


def check_sealed_decisions(place: Path, relied: Sequence[Decision], keys: Sequence[Key]) -> str:
    """Check sealed entries by keys, or their own; all that they say openly is what is relied on.

    Raises `VerifierError`; named `sealed_other` where they are not.
    """
    own = own_key(place)
    mine = [key for key in matching_keys(own, keys) if key.kind == LOG]
    last = verifier.verify(place, mine or [own], [])[-1]
    bodies = [proof["entry"]["body"] for proof in read_proofs(place)]
    expected = [_open_fields(decision) for decision in relied]
    if canonical(bodies) != canonical(expected):
        raise VerifierError("sealed_other", "what was sealed is not what is relied on")
    return f"{len(expected)} of them sealed before, among {last.size:,} entries of {last.origin}"


def _open_fields(decision: Decision) -> dict[str, Any]:
    """The fields of a decision that its sealed entry says openly; later fields only where given."""
    fields = {k: v for k, v in msgspec.to_builtins(decision).items() if k not in _NAMES}
    return {k: v for k, v in fields.items() if k not in _LATER or v not in ("", None)}


STEP = 1_000
LOG_FILE, VALUES = "log.arrow", "features.json"
PROFILE, POLICY, MODEL = "profile.json", "policy", "model"
REFUSED = "refused.json"
"""The accounts' own events that enforcement refused, by id."""


class RunInputs(msgspec.Struct, frozen=True):
    """What a run was made with, beside its log; and its ledger, with the key that sealed it."""

    policy: Path | None
    model: model.Model | None
    pseudonymizer: Pseudonymizer
    lateness_s: int = 60
    ledger: tuple[Path, Signer] | None = None
    whole: bool = True


def extract_run(
    run: Path, accounts: Sequence[str], inputs: RunInputs, rename: Renamer, out: Path
) -> RerunManifest:
    """Take from a run what decides again on `accounts`; writes it into the new directory `out`.

    Raises `CaseError` where the run cannot be read, saw nothing of the accounts, or is not what
    its log, policy and model give; nothing is then left in `out`.
    """
    out.mkdir(parents=True)
    try:
        return _extract(run, accounts, inputs, rename, out)
    except BaseException:
        shutil.rmtree(out)
        raise


def _extract(
    run: Path, accounts: Sequence[str], inputs: RunInputs, rename: Renamer, out: Path
) -> RerunManifest:
    summary, decisions = _summary(run), list(read_decisions(run))
    wanted = [n for n, decision in enumerate(decisions) if decision.account in set(accounts)]
    source = _source(run, summary)
    origin = str(summary.get("profile") or "")
    profile = Path(origin) if origin and Path(origin).is_file() else None
    stream, _ = stream_profile(source, profile, inputs.pseudonymizer)
    _write_inputs(out, stream, inputs)
    enforce = summary.get("mode") == "enforce"
    engine = Engine(
        rules.load_policy(inputs.policy),
        stream,
        enforce=enforce,
        model=inputs.model,
        lateness_s=inputs.lateness_s,
    )
    _require_same_versions(summary, engine)
    log = _compared_log(read(source, inputs.pseudonymizer, batch=STEP), engine, decisions, wanted)
    events, names = write_log(out / LOG_FILE, (rename_log(batch, rename) for batch in log))
    hidden = tuple(rename("a", account) for account in accounts)
    if absent := [a for a, name in zip(accounts, hidden, strict=True) if name not in names]:
        raise CaseError(f"the run saw nothing of {len(absent)} accounts", fix="check their names")
    about = RerunManifest(
        1,
        hidden,
        (),
        events,
        0,
        len(decisions[: wanted[-1] + 1]) if wanted else 0,
        enforce,
        inputs.lateness_s,
        engine.policy.name,
        engine.policy.version,
        engine.model.version if engine.model else None,
        engine.version,
        __version__,
    )
    if inputs.ledger and wanted:
        write_sealed_decisions(*inputs.ledger, [decisions[n] for n in wanted], out / SEALED)
    return _write_reproduction(out, about, decisions, inputs.whole, rename)


def _write_reproduction(
    out: Path, about: RerunManifest, decisions: Sequence[Decision], whole: bool, rename: Renamer
) -> RerunManifest:
    """Decide again under the new names, compare with the run, and write what came of it."""
    again, values = reproduce(out, about)
    refused = find_refused(out, about, again)
    for n, (one, other) in enumerate(zip(decisions[: about.as_run], again, strict=False)):
        if rename_decision(one, rename, other.id) != other:
            raise CaseError(f"decision {n + 1} depends on names", fix="report this as a fault")
    relied = tuple(d.id for d in again[: about.as_run] if d.account in about.accounts)
    about = msgspec.structs.replace(about, relied=relied, decisions=len(again))
    (out / VALUES).write_bytes(_json(values))
    (out / REFUSED).write_bytes(_json(refused))
    if not whole:
        again = [decision for decision in again if decision.id in set(relied)]
        about = _keep_own_events(out, about, len(again))
    (out / DECISIONS).write_bytes(b"".join(map(_line, again)))
    (out / ABOUT).write_bytes(_json(about))
    return about


def _keep_own_events(out: Path, about: RerunManifest, decisions: int) -> RerunManifest:
    """Leave out what is not the accounts' own: others' events, and what is drawn from them."""
    names = pa.array(about.accounts)
    kept = []
    for batch in read(out / LOG_FILE, Pseudonymizer(bytes(32), None)):
        own = [pc.is_in(batch.log.column(name), names) for name in ("account", "peer")]
        kept.append(batch.log.filter(pc.or_(*own)))
    events, _ = write_log(out / LOG_FILE, kept)
    (out / VALUES).unlink()
    return msgspec.structs.replace(
        about, whole=False, events=events, decisions=decisions, as_run=decisions
    )


def _compared_log(
    batches: Iterable[Any], engine: Engine, decisions: Sequence[Decision], wanted: Sequence[int]
) -> Iterator[pa.RecordBatch]:
    """The log up to the last decision wanted (all of it, without one), each decision compared."""
    last, done, events = wanted[-1] if wanted else len(decisions), 0, 0
    for batch in batches:
        events += batch.log.num_rows
        if events > MAX_EVENTS:
            raise CaseError(
                f"the log up to the last decision is over {MAX_EVENTS:,} events",
                fix="rely on earlier decisions, or run on a shorter stretch of the log",
            )
        done = _compare_decisions(engine.take(batch.log), decisions, done)
        yield batch.log
        if done > last:
            return
    _compare_decisions(engine.finish(), decisions, done)


def _compare_decisions(
    reproduced: Iterable[Decision], decisions: Sequence[Decision], done: int
) -> int:
    for decision in reproduced:
        if done >= len(decisions) or decision != decisions[done]:
            raise CaseError(
                f"decision {done + 1} of the run is not what its log, policy and model give",
                fix="give policy, model, key and lateness as the run had them",
                code="decided-otherwise",
            )
        done += 1
    return done


def load_engine(directory: Path, about: RerunManifest) -> Engine:
    """Make the engine of an exhibit: with its policy, model and profile.

    Raises `EvidenceError` where one of them cannot be read, or is not the one that `about` names.
    """
    try:
        policy = rules.load_policy(
            directory / POLICY / about.policy_name, shipped=directory / POLICY / "shipped"
        )
        asked = model.load(directory / MODEL) if about.model else None
        stream = coverage.load(directory / PROFILE)
    except WavebreakError as error:
        raise EvidenceError(error.what, name="rerun_inputs", fix=error.fix) from None
    engine = Engine(policy, stream, enforce=about.enforce, model=asked, lateness_s=about.lateness_s)
    for name, own, said in (
        ("policy", policy.version, about.policy),
        ("model", asked.version if asked else None, about.model),
        ("features", engine.version, about.features),
    ):
        if own != said:
            raise EvidenceError(
                f"the {name} here is {own}, the exhibit says {said}",
                name=f"rerun_{name}",
                fix=f"run Wavebreak {about.wavebreak}, if that is what differs",
            )
    return engine


def find_refused(
    directory: Path, about: RerunManifest, decisions: Sequence[Decision]
) -> dict[str, list[str]]:
    """Find the accounts' own events that enforcement refused, by running the log once more.

    Args:
        directory: The exhibit, with the whole log.
        about: What is run.
        decisions: Its decisions: before the first one on an account nothing of it is refused.

    Returns:
        By account, the ids of its refused events in the order of the log; none in shadow mode.
    """
    refused: dict[str, list[str]] = {account: [] for account in about.accounts}
    since: dict[str, int] = {}
    for decision in decisions:
        if decision.account in refused:
            since.setdefault(decision.account, decision.ts - 1000 * about.lateness_s)
    if not about.enforce or not since:
        return refused
    engine = load_engine(directory, about)
    for batch in read(directory / LOG_FILE, Pseudonymizer(bytes(32), None), batch=50_000):
        done = 0
        for at in _rows_of(batch.log, since):
            account, event = (batch.log.column(name)[at].as_py() for name in ("account", "id"))
            engine.take(batch.log.slice(done, at - done))
            before = _refused_count(engine, account)
            engine.take(batch.log.slice(at, 1))
            done = at + 1
            if _refused_count(engine, account) > before:
                refused[account].append(event)
        engine.take(batch.log.slice(done))
    return refused


def _rows_of(log: pa.RecordBatch, since: dict[str, int]) -> list[int]:
    """Rows of a log of the accounts' own events, from a time of each on."""
    own = pc.is_in(log.column("account"), pa.array(list(since)))
    rows = np.flatnonzero(own.to_numpy(zero_copy_only=False)).tolist()
    names, times = log.column("account"), log.column("ts")
    return [at for at in rows if times[at].as_py() >= since[names[at].as_py()]]


def _refused_count(engine: Engine, account: str) -> int:
    slot = int(engine.fanout.accounts.find(pa.array([account]))[0])
    return engine.core.refused_of(slot) if slot >= 0 else 0


def read_refused(directory: Path) -> dict[str, list[str]] | None:
    """Return the refused events of an exhibit; None where its maker's version did not say."""
    path = directory / REFUSED
    if not path.exists():
        return None
    return msgspec.json.decode(path.read_bytes(), type=dict[str, list[str]])


def reproduce(directory: Path, about: RerunManifest) -> tuple[list[Decision], dict[str, Any]]:
    """Decide again from an exhibit's files: all decisions, and the accounts' features at the end.

    Raises `EvidenceError` where policy, model, features or counts are other than `about` says.
    """
    engine = load_engine(directory, about)
    decisions: list[Decision] = []
    events = 0
    for batch in read(directory / LOG_FILE, Pseudonymizer(bytes(32), None), batch=50_000):
        events += batch.log.num_rows
        if events > about.events:
            break
        decisions += engine.take(batch.log)
    if events != about.events:
        raise EvidenceError(f"{events} events, not {about.events}", name="rerun_events", fix="")
    decisions += engine.finish()
    return decisions, {name: _values(engine, name) for name in about.accounts}


def _values(engine: Engine, account: str) -> dict[str, float | None] | None:
    names = engine.fanout.accounts.texts(list(range(engine.core.accounts))).to_pylist()
    if account not in names:
        return None
    values = engine.core.values_of(names.index(account)).tolist()
    return {n: None if v != v else v for n, v in zip(NAMES, values, strict=True)}


def _write_inputs(out: Path, stream: Profile, inputs: RunInputs) -> None:
    """Write policy, model and profile as they are read again."""
    own = rules.load_policy(inputs.policy).name
    for name, place in (("shipped", SHIPPED), (own, inputs.policy or SHIPPED)):
        target = out / POLICY / name
        (target / "rules").mkdir(parents=True, exist_ok=True)
        for path in [*sorted((place / "rules").glob("*.toml")), place / "actions.toml"]:
            if path.is_file():
                (target / path.relative_to(place)).write_bytes(path.read_bytes())
    if inputs.model:
        model.save(inputs.model, out / MODEL)
    coverage.save(stream, out / PROFILE)


def write_log(path: Path, batches: Iterable[pa.RecordBatch]) -> tuple[int, set[str]]:
    """Write a log; return its number of events and the names of its accounts.

    Columns that earlier versions do not know are left out where they are empty, so that those
    versions can verify the bundle too.
    """
    events, names = 0, set[str]()
    schema = _EARLIER_LOG
    writer = pa.ipc.new_file(path, schema, options=_ZSTD)
    for batch in batches:
        wider = _with_columns_of(schema, batch)
        if len(wider) > len(schema):
            writer.close()
            schema, writer = wider, _continue_with_columns(path, wider)
        writer.write_batch(batch.select(schema.names))
        events += batch.num_rows
        for column in ("account", "peer"):
            names.update(batch.column(column).unique().to_pylist())
    writer.close()
    return events, names


def _with_columns_of(schema: pa.Schema, log: pa.RecordBatch) -> pa.Schema:
    """Return the schema with the later columns that a batch has values in."""
    given = {name for name in LATER_COLUMNS if log.column(name).null_count < log.num_rows}
    if given <= set(schema.names):
        return schema
    named = given.union(schema.names)
    return pa.schema([field for field in LOG_SCHEMA if field.name in named], LOG_SCHEMA.metadata)


def _continue_with_columns(path: Path, schema: pa.Schema) -> Any:
    """Write a log with fewer columns anew with those of a schema; return the open writer."""
    earlier = path.replace(path.with_name(f"{path.name}.earlier"))
    writer = pa.ipc.new_file(path, schema, options=_ZSTD)
    with pa.OSFile(str(earlier)) as source:
        written = pa.ipc.open_file(source)
        for number in range(written.num_record_batches):
            writer.write_batch(with_all_columns(written.get_batch(number)).select(schema.names))
    earlier.unlink()
    return writer


def _summary(run: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((run / "summary.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        raise CaseError(
            f"{run} is no run", fix="give the directory that a run wrote", code="no-run"
        ) from None


def run_source(run: Path) -> Path:
    """Return the log that a run was made from; raises CaseError where it is not there."""
    return _source(run, _summary(run))


def _source(run: Path, summary: dict[str, Any]) -> Path:
    named: Any = summary.get("source") or {}
    for path in (Path(str(named.get("path"))), run / str(named.get("path"))):
        if path.is_file():
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == named.get("sha256"):
                    return path
            raise CaseError(f"{path} is not the log that was run", fix="bring back the log")
    raise CaseError("the run's log is not there", fix="bring back the log, or run from a file")


def read_decisions(run: Path) -> Iterator[Decision]:
    """Decisions as a run wrote them, in order."""
    with (run / DECISIONS).open("rb") as lines:
        for line in islice(lines, MAX_EVENTS):
            yield msgspec.json.decode(line, type=Decision)


def _require_same_versions(summary: dict[str, Any], engine: Engine) -> None:
    said = summary.get("versions") or {}
    own = {
        "policy": engine.policy.version,
        "features": engine.version,
        "model": engine.model.version if engine.model else None,
    }
    for name, version in own.items():
        if said.get(name) != version:
            raise CaseError(
                f"the run had {name} {said.get(name)}, here is {version}",
                fix=f"give --{name} as the run had it, or run again",
            )


def _line(decision: Decision) -> bytes:
    return msgspec.json.encode(decision) + b"\n"


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=1) + b"\n"


NUMBERS = "conduct.json"
OWN = ("sends", "group_sends", "lookups", "groups_created", "members_added", "sessions")
"""Kinds of event that an account does itself, by which its conduct is dated."""


class Conduct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an account did, counted: events by kind, numbers looked up, the most sent in a minute.

    `first` and `last` are its first and last own act (ms; None: none in the log).
    """

    counts: dict[str, Annotated[int, Meta(ge=0)]]
    looked_up: int
    busiest_minute: int
    first: int | None
    last: int | None


def count_conduct(timeline: Timeline) -> Conduct:
    """Count a timeline."""
    ends = [int(timeline[kind][at]) for kind in OWN if len(timeline[kind]) for at in (0, -1)]
    return Conduct(
        {kind: len(timeline[kind]) for kind in collect.KINDS},
        timeline.looked_up,
        busiest_minute(timeline["sends"]),
        min(ends, default=None),
        max(ends, default=None),
    )


def exhibit_timelines(directory: Path, accounts: tuple[str, ...]) -> dict[str, Timeline]:
    """Read each account's timeline from the log of an exhibit."""
    return {account: collect.read_timeline(directory / LOG_FILE, account) for account in accounts}


class SendCounts(NamedTuple):
    """What became of an account's messages or other acts: the numbers that every document states.

    Attributes:
        platform: Refused by the platform itself before they happened, as the log says.
        enforcement: Refused by enforcement, as it is run again (None: not recorded).
        carried: Refused by neither (None: not known).
    """

    attempted: int
    platform: int
    enforcement: int | None
    carried: int | None


class AccountConduct(NamedTuple):
    """An account's timelines: of all that it attempted, and of what became of it.

    Attributes:
        let_through: What the platform itself did not refuse.
        carried: What enforcement did not refuse either. None where that is not known: enforcement
            was on, and the version that made the exhibit did not record what it refused.
        receipts: How many receipts of delivery of its messages the log has.
    """

    attempted: Timeline
    let_through: Timeline
    carried: Timeline | None
    receipts: int

    def counts(self, kind: str) -> SendCounts:
        """Return what became of a kind of acts."""
        tried, let_through = len(self.attempted[kind]), len(self.let_through[kind])
        if self.carried is None:
            return SendCounts(tried, tried - let_through, None, None)
        carried = len(self.carried[kind])
        return SendCounts(tried, tried - let_through, let_through - carried, carried)


_DELIVERED = TYPES.index("message.delivered")


def conduct_of_accounts(directory: Path, about: RerunManifest) -> dict[str, AccountConduct]:
    """Read what each account of an exhibit attempted, and what of it was carried."""
    refused = read_refused(directory)
    known = refused is not None or not about.enforce
    found = {}
    for account in about.accounts:
        by_id: dict[str, dict[str, Any]] = {}
        for event in collect.read_events(directory / LOG_FILE, account):
            by_id.setdefault(event["id"], event)  # a later event of the same id counts as none
        events = by_id.values()
        attempted = collect.timeline_of_events(events, account)
        let_through = collect.timeline_of_events(filter(collect.was_carried, events), account)
        receipts = sum(event["type"] == _DELIVERED and event["peer"] == account for event in events)
        again = set((refused or {}).get(account, ()))
        carried = collect.timeline_of_events(
            (e for e in events if collect.was_carried(e, again)), account
        )
        found[account] = AccountConduct(
            attempted, let_through, carried if known else None, receipts
        )
    return found
