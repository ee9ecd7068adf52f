"""Keys of a log: which statements make another key trusted, and what a revoked one is worth."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.witness import add_cosignature
from wavebreak.cli.app import app
from wavebreak.errors import EvidenceError
from wavebreak.ledger import DirectoryStorage, Ledger, MemoryStorage, Signer, new_signer
from wavebreak.ledger.audit import audit_directory
from wavebreak.ledger.checkpoints import (
    encode_key_change,
    encode_verifier_key,
    save_signer,
)
from wavebreak.ledger.key_changes import RETIRED, REVOKED, KeyChange, known_keys, revoked_doubt
from wavebreak.ledger.ledger import rotate_key
from wavebreak.ledger.storage import KEY_HISTORY, add_key_change, read_key_history
from wavebreak.ledger.verifier import WITNESS, Key, read_checkpoint

NAME = "example.org/log"
LABEL = b'{"at":0,"body":{"label":"abusive","source":"analyst"},"commits":{},"kind":"label","v":1}'
ENTRY = b'{"at":0,"body":{},"commits":{},"kind":"step","v":1}'
FIRST, SECOND, THIRD, THIEF = (new_signer(NAME, secret=bytes([n]) * 32) for n in (1, 2, 3, 9))


def change(before: Signer, after: Signer, why: str = RETIRED, at: int = 1_000) -> KeyChange:
    return KeyChange(before.key, after.key, why, at)


def trusted(*given: Signer, of: list[KeyChange]) -> set[Key]:
    """The keys that count: revoked ones do not vouch, but are known."""
    known = known_keys([signer.key for signer in given], of)
    return {each.key for each in known if each.revoked is None}


def test_one_key_leads_to_those_before_and_after_it() -> None:
    changes = [change(SECOND, THIRD, at=2_000), change(FIRST, SECOND)]
    keys = {FIRST.key, SECOND.key, THIRD.key}
    assert all(trusted(each, of=changes) == keys for each in (FIRST, SECOND, THIRD))
    retired = {each.key: each.retired for each in known_keys([THIRD.key], changes)}
    assert retired == {FIRST.key: 1_000, SECOND.key: 2_000, THIRD.key: None}


@pytest.mark.parametrize("order", [1, -1])
def test_a_revoked_key_vouches_for_nobody(order: int) -> None:
    """A thief of the first key names his own as the next; only who has no later key believes it."""
    changes = [change(FIRST, THIEF), change(FIRST, SECOND, REVOKED, 500)][::order]
    assert trusted(SECOND, of=changes) == {SECOND.key}
    assert trusted(FIRST, SECOND, of=changes) == {SECOND.key}
    assert trusted(THIEF, of=changes) == {THIEF.key, FIRST.key}
    assert trusted(THIRD, of=changes) == {THIRD.key}


def test_the_earliest_revocation_counts() -> None:
    changes = [change(FIRST, SECOND, REVOKED, at) for at in (900, 500, 700)]
    assert [each.revoked for each in known_keys([SECOND.key], changes)] == [None, 500]


def test_statement_is_read_as_it_was_signed(tmp_path: Path) -> None:
    retired, revoked = change(FIRST, SECOND), change(FIRST, SECOND, REVOKED, 500)
    for note in (
        encode_key_change(retired, [SECOND, FIRST]),
        encode_key_change(revoked, [SECOND]),
    ) * 2:
        add_key_change(tmp_path / KEY_HISTORY, note)
    assert read_key_history(tmp_path / KEY_HISTORY) == [retired, revoked]


@pytest.mark.parametrize(
    ("signers", "made"),
    [
        ([SECOND], change(FIRST, SECOND)),
        ([FIRST], change(FIRST, SECOND)),
        ([THIEF, FIRST], change(FIRST, SECOND)),
        ([FIRST], change(FIRST, SECOND, REVOKED)),
        ([FIRST], change(FIRST, FIRST)),
        ([SECOND, FIRST], change(FIRST, SECOND, "lost")),
        ([SECOND, FIRST], change(FIRST, SECOND, at=-1)),
    ],
)
def test_statement_without_its_signatures_is_refused(
    signers: list[Signer], made: KeyChange
) -> None:
    with pytest.raises(EvidenceError):
        encode_key_change(made, signers)


def test_keys_of_two_logs_do_not_follow_each_other() -> None:
    other = new_signer("example.org/other", secret=bytes(32))
    witness = new_signer(NAME, WITNESS, secret=bytes(32))
    for after in (other, witness):
        with pytest.raises(EvidenceError):
            encode_key_change(change(FIRST, after), [after, FIRST])


def test_every_changed_byte_of_a_statement_is_found(tmp_path: Path) -> None:
    add_key_change(
        tmp_path / KEY_HISTORY, encode_key_change(change(FIRST, SECOND), [SECOND, FIRST])
    )
    whole = (tmp_path / KEY_HISTORY).read_bytes()
    for at in range(len(whole) - 1):
        (tmp_path / KEY_HISTORY).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(EvidenceError):
            read_key_history(tmp_path / KEY_HISTORY)


def test_ledger_goes_on_under_the_next_key() -> None:
    storage = MemoryStorage()
    Ledger(storage, FIRST).seal([ENTRY])
    rotate_key(storage, FIRST, SECOND, why=RETIRED, at_ms=5)
    ledger = Ledger(storage, SECOND)
    ledger.seal([ENTRY])
    assert [ledger.entry(n).kind for n in range(1, 2)] == ["key"]
    assert ledger.sealed.size == 3
    with pytest.raises(EvidenceError, match="signature_missing"):
        Ledger(storage, FIRST)
    with pytest.raises(EvidenceError, match="signature_missing"):
        rotate_key(storage, FIRST, THIRD, why=RETIRED, at_ms=5)


def test_revoked_checkpoint_counts_where_a_witness_saw_it_before() -> None:
    storage, witness = MemoryStorage(), new_signer("witness.example", WITNESS)
    Ledger(storage, FIRST).seal([ENTRY])
    note = storage.latest()
    assert note is not None
    revoked = [change(FIRST, SECOND, REVOKED, 10_000)]
    known = known_keys([SECOND.key, witness.key], revoked)
    for at, doubts in ((9, 0), (10, 1), (11, 1)):
        seen = read_checkpoint(add_cosignature(note, witness, at))
        assert len(revoked_doubt(seen, known)) == doubts
    alone = revoked_doubt(read_checkpoint(note), known_keys([SECOND.key], revoked))
    assert "revoked from 1970-01-01 00:00:10 UTC" in alone[0]
    assert revoked_doubt(read_checkpoint(note), known_keys([FIRST.key])) == []


def said(*words: str | Path) -> str:
    """Run a command that succeeds; what it prints, in one line."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def doubt(*words: str | Path) -> str:
    """Run a command that finds a doubt; its name."""
    error = CliRunner().invoke(app, [str(word) for word in words]).exception
    assert isinstance(error, EvidenceError), error
    return error.name


def test_commands_rotate_verify_and_revoke(tmp_path: Path) -> None:
    log, history = tmp_path / "log", tmp_path / KEY_HISTORY
    first, second = tmp_path / "first.key", tmp_path / "second.key"
    save_signer(FIRST, first)
    save_signer(SECOND, second)
    log.mkdir()
    files = DirectoryStorage(log, write=True)
    Ledger(files, FIRST).seal([LABEL])
    files.close()
    before, after, thief = (encode_verifier_key(each.key) for each in (FIRST, SECOND, THIEF))
    rotation = ("--old", first, "--new", second, "--history", history)
    assert after in said("ledger", "rotate", log, *rotation)
    verify = ("ledger", "verify", log, "--key")
    for key in (before, after):
        assert "2 entries" in said(*verify, key)
    assert doubt(*verify, thief) == "signature_missing"
    (log / KEY_HISTORY).unlink()
    assert doubt(*verify, after) == "signature_missing"
    assert "2 entries" in said(*verify, after, "--key-history", history)
    revocation = ("--key", second, "--since", "2026-11-01", "--history", history)
    assert "revoked from 2026-11-01 00:00 UTC" in said("ledger", "revoke", before, *revocation)
    # What the later key has signed covers all that the revoked one had.
    assert "2 entries" in said(*verify, after, "--key-history", history)
    assert not audit_directory(log, [SECOND.key], [], (), read_key_history(history)).revoked
