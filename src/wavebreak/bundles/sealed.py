"""Decisions that an exhibit relies on, as the ledger of the run had sealed them before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from wavebreak.bundles.unpacking import doubt
from wavebreak.decision import Decision
from wavebreak.errors import CaseError
from wavebreak.evidence import Directory, Ledger, OpeningFile, Signer, parcel, verifier
from wavebreak.evidence.verifier import LOG, Key, canonical, read_json, read_key, read_lines

SEALED = "sealed"
_NAMES = {"account", "id", "trigger"}


def show(place: Path, signer: Signer, relied: Sequence[Decision], out: Path) -> int:
    """Write the entries of decisions with their proofs, unopened, into the new directory `out`.

    Gives how many there are. Raises `CaseError` where the ledger never sealed one of them.
    """
    files = Directory(place)
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
                fix="give the ledger that this run was sealed in: `run --ledger`",
            )
        out.mkdir()
        for name, told in parcel(ledger, [at[decision.id] for decision in relied]).items():
            (out / name).write_bytes(told)
    finally:
        openings.close()
        files.close()
    return len(relied)


def keys_of(own: Key, keys: Sequence[Key]) -> list[Key]:
    """Those of the reader's keys that a log of this origin has to be signed by; witnesses too."""
    mine = [key for key in keys if key.kind == LOG and key.name == own.name]
    return mine + [key for key in keys if key.kind != LOG] if mine else []


def whose(place: Path, keys: Sequence[Key]) -> str:
    """The origin of sealed entries for which the reader has given no key ("": none)."""
    if not place.exists():
        return ""
    own = read_key((place / "key.pub").read_text("utf-8").strip())
    return "" if keys_of(own, keys) else own.name


def check(place: Path, relied: Sequence[Decision], keys: Sequence[Key]) -> str:
    """Check sealed entries by keys, or their own; all that they say openly is what is relied on.

    Raises the verifier's `Doubt`, or `EvidenceError` named `sealed_other`.
    """
    own = read_key((place / "key.pub").read_text("utf-8").strip())
    mine = [key for key in keys_of(own, keys) if key.kind == LOG]
    last = verifier.verify(place, mine or [own], [])[-1]
    bodies = [
        read_json(line, "proof")["entry"]["body"] for line in read_lines(place / "proofs.jsonl")
    ]
    told = [
        {name: value for name, value in msgspec.to_builtins(made).items() if name not in _NAMES}
        for made in relied
    ]
    if canonical(bodies) != canonical(told):
        raise doubt("sealed_other", "what was sealed is not what is relied on")
    return f"{len(told)} of them sealed before, among {last.size:,} entries of {last.origin}"
