"""A bundle is stamped where an authority is configured, and says what else rests on its maker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate
from typer.testing import CliRunner, Result

from support.ledger_fixtures import SIGNER, some
from support.rfc3161_authority import Authority, answering_authority
from support.witness import FakeWitness, listening_witness
from wavebreak.cli.app import app
from wavebreak.errors import UsageError
from wavebreak.ledger import Ledger, MemoryStorage
from wavebreak.ledger.checkpoints import (
    check_time_stamp,
    encode_verifier_key,
    load_certificates,
    load_or_create_signer,
)
from wavebreak.ledger.storage import LEDGER, DirectoryStorage
from wavebreak.ledger.verifier import read_checkpoint, read_key
from wavebreak_cases.bundles.bundle_checks import (
    FAILS,
    KEY_UNKNOWN,
    UNCHECKED,
    Finding,
    exit_code,
)
from wavebreak_cases.bundles.report_sections import seal_sentences
from wavebreak_cases.bundles.report_settings import load_sealing, load_settings
from wavebreak_cases.bundles.report_text import ReportText
from wavebreak_cases.bundles.time_stamps import stamp_beside
from wavebreak_cases.bundles.verify import Stamp, verify_bundle


@pytest.fixture
def opened(tmp_path: Path) -> Path:
    """A case that says nothing yet."""
    run(tmp_path, "case", "open", str(tmp_path / "C-7"), "--title", "Bulk Co", "--by", "Noa")
    return tmp_path


@pytest.fixture
def authority() -> Iterator[tuple[str, Authority]]:
    """An authority that answers on this machine."""
    with answering_authority() as made:
        yield made


def run(place: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--seal-key", str(place / "key")])


def policy(place: Path, url: str, roots: bytes) -> Path:
    """A policy that names an authority."""
    directory = place / "policy"
    (directory / "cases").mkdir(parents=True)
    (directory / "cases" / "roots.pem").write_bytes(roots)
    (directory / "cases" / "sealing.toml").write_text(
        f'time_stamp_url = "{url}"\ntime_stamp_authority = "roots.pem"\n', "utf-8"
    )
    return directory


def packed(place: Path, *more: str) -> Result:
    return run(place, "bundle", str(place / "C-7"), "-o", str(place / "C-7.zip"), *more)


def test_bundle_is_stamped_where_an_authority_is_configured(
    opened: Path, authority: tuple[str, Authority]
) -> None:
    url, made = authority
    roots = made.certificate.public_bytes(Encoding.PEM)
    done = packed(opened, "--policy", str(policy(opened, url, roots)))
    assert "is a time stamp of the checkpoint in it" in " ".join(done.output.split())
    note = DirectoryStorage(opened / "C-7" / LEDGER).latest()
    assert note is not None
    stamp = (opened / "C-7.zip.tsr").read_bytes()
    assert check_time_stamp(note, stamp, load_certificates(roots)).year == 2026


@pytest.fixture
def witness(opened: Path) -> Iterator[FakeWitness]:
    """A witness that the policy beside the case names."""
    witness = FakeWitness(load_or_create_signer(opened / "key").key, 1_800_000_000)
    (opened / "policy/cases").mkdir(parents=True)
    with listening_witness(witness) as url:
        (opened / "policy/cases/sealing.toml").write_text(
            f'witness_url = "{url}/{{case}}"\n'
            f'witness_key = "{encode_verifier_key(witness.signer.key)}"\n',
            "utf-8",
        )
        yield witness


def test_bundle_is_signed_by_the_witness_that_is_configured(
    opened: Path, witness: FakeWitness
) -> None:
    asked = ["--policy", str(opened / "policy")]
    for _ in range(2):
        done = packed(opened, *asked)
        assert done.exit_code == 0
        assert "witnessed by witness.example" in " ".join(done.output.split())
        run(opened, "case", "task", str(opened / "C-7"), "Call", "--by", "Noa")
    key = load_sealing(opened / "policy").witness_key
    own = encode_verifier_key(load_or_create_signer(opened / "key").key)
    for keys, said in (
        ([own, key], "and seen by witness.example at 2027-01-15T08:00:00Z"),
        ([own], "witness.example signed it too, says the bundle: give that key"),
    ):
        findings = verify_bundle(opened / "C-7.zip", [read_key(each) for each in keys])
        assert exit_code(findings) == 0
        assert said in next(each.said for each in findings if each.what == "sealed entries")


def test_report_names_stamp_and_witness_or_says_what_rests_on_the_maker(
    opened: Path, witness: FakeWitness
) -> None:
    words = ReportText("en")
    named = load_settings("en", policy=opened / "policy")
    for settings, asked in ((named, True), (load_settings("en"), False)):
        said = " ".join(seal_sentences(words, settings))
        assert ("witness.example" in said) == asked
        assert ("No witness signs the ledger." in said) != asked
        assert "No authority stamps the ledger." in said
        assert "rests on the operator alone" in said


def test_witness_that_does_not_sign_leaves_the_bundle_and_is_said(
    opened: Path, witness: FakeWitness
) -> None:
    other = Ledger(MemoryStorage(), SIGNER)
    other.seal(some(0, 9))
    witness.last = read_checkpoint(other.note)
    done = packed(opened, "--policy", str(opened / "policy"))
    assert done.exit_code == 1
    assert "not witnessed" in " ".join(done.output.split())
    assert (opened / "C-7.zip").exists()


def test_name_of_somebody_signed_in_cannot_be_typed(opened: Path) -> None:
    for place, words in (("C-8", ["--title", "x"]), ("C-7", [])):
        verb = "open" if words else "task"
        more = words or ["Call"]
        done = run(opened, "case", verb, str(opened / place), *more, "--by", "user:noa")
        assert "signed in to the console" in str(done.exception)


def test_bundle_without_a_stamp_says_what_rests_on_its_maker(opened: Path) -> None:
    done = packed(opened)
    assert done.exit_code == 0
    said = " ".join(done.output.split())
    assert "rests on the maker's clock and key alone, unless a witness signed it" in said
    assert not (opened / "C-7.zip.tsr").exists()


def test_authority_that_does_not_answer_leaves_the_bundle_and_is_said(opened: Path) -> None:
    made = Authority(datetime(2026, 5, 1, tzinfo=UTC))
    roots = made.certificate.public_bytes(Encoding.PEM)
    done = packed(opened, "--policy", str(policy(opened, "http://127.0.0.1:1/", roots)))
    assert done.exit_code == 1
    assert "not stamped: the authority did not answer" in " ".join(done.output.split())
    assert (opened / "C-7.zip").exists()


@pytest.fixture(scope="module")
def stamped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with its stamp beside it, and the authority's certificate, in one directory."""
    place = tmp_path_factory.mktemp("stamped")
    run(place, "case", "open", str(place / "C-7"), "--title", "Bulk Co", "--by", "Noa")
    with answering_authority() as (url, made):
        roots = made.certificate.public_bytes(Encoding.PEM)
        packed(place, "--policy", str(policy(place, url, roots)))
    other = Authority(datetime(2026, 5, 1, tzinfo=UTC)).certificate.public_bytes(Encoding.PEM)
    (place / "other.pem").write_bytes(other)
    (place / "policy/cases/roots.pem").replace(place / "roots.pem")
    return place


@pytest.fixture
def roots(stamped: Path) -> list[Certificate]:
    return load_certificates((stamped / "roots.pem").read_bytes())


def test_stamp_beside_a_bundle_is_checked(stamped: Path, roots: list[Certificate]) -> None:
    beside = stamp_beside(stamped / "C-7.zip")
    assert beside == stamped / "C-7.zip.tsr"
    finding = stamp_finding(stamped / "C-7.zip", Stamp(beside, roots))
    assert finding.holds
    assert "rests on the authority whose certificate you gave" in finding.said


def test_stamp_of_an_unknown_authority_is_not_vouched_for(stamped: Path) -> None:
    finding = stamp_finding(stamped / "C-7.zip", Stamp(stamped / "C-7.zip.tsr"))
    assert (finding.holds, finding.name) == (None, "key_unknown")
    assert exit_code([finding]) == KEY_UNKNOWN


def test_stamp_of_another_authority_fails(stamped: Path) -> None:
    others = load_certificates((stamped / "other.pem").read_bytes())
    finding = stamp_finding(stamped / "C-7.zip", Stamp(stamped / "C-7.zip.tsr", others))
    assert (finding.holds, finding.name) == (False, "stamp_untrusted")
    assert exit_code([finding]) == FAILS


@pytest.mark.parametrize("stamp", [b"", b"0", bytes(1 << 17), b"C-7.zip.tsr"])
def test_stamp_that_is_none_fails(
    stamped: Path, roots: list[Certificate], tmp_path: Path, stamp: bytes
) -> None:
    (tmp_path / "a.tsr").write_bytes(stamp)
    finding = stamp_finding(stamped / "C-7.zip", Stamp(tmp_path / "a.tsr", roots))
    assert (finding.holds, finding.name) == (False, "stamp_malformed")


def test_stamp_of_another_bundle_fails(stamped: Path, opened: Path) -> None:
    packed(opened)
    finding = stamp_finding(opened / "C-7.zip", Stamp(stamped / "C-7.zip.tsr"))
    assert (finding.holds, finding.name) == (False, "stamp_other_digest")


def test_stamp_that_cannot_be_read_is_said(stamped: Path) -> None:
    finding = stamp_finding(stamped / "C-7.zip", Stamp(stamped / "absent.tsr"))
    assert exit_code([finding]) == UNCHECKED


def test_verify_takes_the_stamp_beside_a_bundle(stamped: Path) -> None:
    asked = ["verify", str(stamped / "C-7.zip"), "--json"]
    for more, holds in (([], None), (["--stamp-authority", str(stamped / "roots.pem")], True)):
        said = json.loads(CliRunner().invoke(app, [*asked, *more]).stdout)
        assert [each["holds"] for each in said if each["what"] == "time stamp"] == [holds]


def stamp_finding(bundle: Path, stamp: Stamp) -> Finding:
    """What the verification says of the stamp."""
    (finding,) = [each for each in verify_bundle(bundle, [], stamp=stamp) if
                  each.what == "time stamp"]  # fmt: skip
    return finding


@pytest.mark.parametrize("half", ["time_stamp_url", "witness_url", "witness_key"])
def test_who_is_named_by_half_is_refused(tmp_path: Path, half: str) -> None:
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "sealing.toml").write_text(f'{half} = "http://a/"\n', "utf-8")
    with pytest.raises(UsageError, match="by half"):
        load_sealing(tmp_path)
