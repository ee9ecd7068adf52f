"""Erasure of an account in a case: what the case holds on it, and what can then not be opened.

Entries of the ledger commit to an account and do not name it; only their openings show whose they
are. Erasing those is what a case can do: its steps, and the events in its exhibits, are under the
pseudonym of this case alone and are evidence, so that they stay as they are. Whoever holds the
deployment's key and the account's id can make the pseudonym again.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UnsetType

from wavebreak.errors import CaseError
from wavebreak.ledger import OpeningFile
from wavebreak_cases.bundles.chronology import relied_decisions
from wavebreak_cases.bundles.pseudonyms import case_key, make_renamer
from wavebreak_cases.bundles.reproduction import LOG_FILE, SEALED
from wavebreak_cases.bundles.workspace import CaseWorkspace
from wavebreak_cases.cases.case import AccountErased, Case, Erasure

OPENINGS = Path("private") / "openings.sqlite3"


class ErasureResult(NamedTuple):
    """What was found on an account, the entries erased, and whether a step records that.

    `entries` are the numbers of the case's sealed entries that can no longer be opened.
    """

    found: Erasure
    entries: tuple[int, ...]
    recorded: bool


def erase_account(
    workspace: CaseWorkspace,
    secret: bytes,
    account: str,
    *,
    by: str,
    role: str,
    why: str,
    ledger: Path | None = None,
) -> ErasureResult:
    """Erase what opens the sealed entries on an account, and record that as a step.

    Args:
        workspace: The case.
        secret: The deployment's key.
        account: The account's own id, or its pseudonym in the case.
        by: Who erases.
        role: In which role.
        why: Why, for instance the request.
        ledger: The ledger of a run, whose openings on the account are erased too; needs its own id.

    Returns:
        What was found. Where nothing could be opened any more, nothing is recorded.

    Raises:
        CaseError: The case holds nothing on the account, no reason is given, or the run's ledger
            cannot be searched.
    """
    if not why.strip():
        raise CaseError(
            "why it is erased is not stated", fix="give the reason", code="reason-missing"
        )
    hidden = find_pseudonym(workspace, secret, account)
    run = _open_run_ledger(ledger, account, hidden)
    try:
        entries = tuple(workspace.openings.positions("account", hidden))
        elsewhere = len(run.positions("account", account)) if run else 0
        found = msgspec.structs.replace(
            find_traces(workspace.path, workspace.case, hidden),
            openings=len(entries),
            elsewhere=elsewhere,
        )
        if not entries and not elsewhere:
            return ErasureResult(found, (), False)
        # Sealed first: a crash leaves openings that the same command erases.
        workspace.take(AccountErased(found), by=by, role=role, why=why)
        workspace.openings.erase("account", hidden)
        if run:
            run.erase("account", account)
    finally:
        if run:
            run.close()
    return ErasureResult(found, entries, True)


def find_pseudonym(workspace: CaseWorkspace, secret: bytes, account: str) -> str:
    """Return the pseudonym of an account, given by its own id or by the pseudonym itself.

    Raises:
        CaseError: The case holds nothing on it.
    """
    known = known_accounts(workspace.path, workspace.case)
    if account in known:
        return account
    hidden = make_renamer(case_key(secret, workspace.case.id))("a", account)
    if hidden in known:
        return hidden
    raise CaseError(
        "the case holds nothing on that account",
        fix="give its id as in the events, or its pseudonym as the case shows it; with "
        "another deployment's key the pseudonym is another",
        code="account-unknown",
    )


def known_accounts(directory: Path, case: Case) -> set[str]:
    """Return every account that the case's links, evidence and exhibits name, by pseudonym."""
    known = {link.account for link in case.links} | {*case.reversals, *case.erasures}
    for exhibit in case.exhibits.values():
        if exhibit.kind == "platform_run":
            for batch in _log_batches(directory / exhibit.path):
                for name in ("account", "peer"):
                    known.update(filter(None, batch.column(name).unique().to_pylist()))
    return known


def find_traces(directory: Path, case: Case, account: str) -> Erasure:
    """Return what a case holds on an account, by its pseudonym; openings are not looked for."""
    exhibits, events, proofs = [], 0, 0
    for exhibit in case.exhibits.values():
        if exhibit.kind != "platform_run":
            continue
        place = directory / exhibit.path
        here = sum(_count_events(batch, account) for batch in _log_batches(place))
        if here:
            exhibits.append(exhibit.id)
            events += here
            proofs += _count_proofs(place, account)
    evidence = [
        item.id
        for item in case.evidence.values()
        if not isinstance(item.accounts, UnsetType) and account in item.accounts
    ]
    links = sum(link.account == account for link in case.links)
    return Erasure(account, 0, 0, links, tuple(exhibits), events, tuple(evidence), proofs)


def _log_batches(place: Path) -> list[pa.RecordBatch]:
    with pa.OSFile(str(place / LOG_FILE)) as source:
        log = pa.ipc.open_file(source)
        return [log.get_batch(n).select(["account", "peer"]) for n in range(log.num_record_batches)]


def _count_events(batch: pa.RecordBatch, account: str) -> int:
    own = [
        pc.fill_null(pc.equal(batch.column(name), account), False) for name in batch.schema.names
    ]
    return int(pc.sum(pc.or_(*own)).as_py() or 0)


def _count_proofs(place: Path, account: str) -> int:
    """Sealed decisions of an exhibit that are about an account."""
    if not (place / SEALED).exists():
        return 0
    return sum(decision.account == account for decision in relied_decisions(place))


def _open_run_ledger(place: Path | None, account: str, hidden: str) -> OpeningFile | None:
    if place is None:
        return None
    if account == hidden:
        raise CaseError(
            "a run's ledger does not know the case's pseudonym", fix="give the account's own id"
        )
    if not (place / OPENINGS).is_file():
        raise CaseError(
            f"{place} holds no openings",
            fix="give the ledger that the run wrote",
            code="no-openings",
        )
    return OpeningFile(place / OPENINGS)


def describe_erasure(found: Erasure) -> list[tuple[str, str]]:
    """Return what was found on an account as names and values, for a terminal and for forms."""
    exhibits = f" ({', '.join(found.exhibits)}: {found.events:,} events)" if found.exhibits else ""
    evidence = f" ({', '.join(found.evidence)})" if found.evidence else ""
    return [
        ("account", f"{found.account}, its pseudonym in this case"),
        ("links", f"{found.links:,}"),
        ("exhibits", f"{len(found.exhibits):,}{exhibits}"),
        ("conduct", f"{len(found.evidence):,} items of evidence{evidence}"),
        ("proofs", f"{found.proofs:,} sealed decisions in those exhibits, without openings"),
    ]
