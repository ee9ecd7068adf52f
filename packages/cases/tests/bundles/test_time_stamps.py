"""A bundle is stamped where an authority is configured, and says what else rests on its maker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner, Result

from support.rfc3161_authority import Authority, answering_authority
from wavebreak.cli.app import app
from wavebreak.errors import UsageError
from wavebreak.ledger.checkpoints import check_time_stamp, load_certificates
from wavebreak.ledger.storage import LEDGER, DirectoryStorage
from wavebreak_cases.bundles.report_settings import load_sealing


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


def test_authority_that_is_named_by_half_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "sealing.toml").write_text('time_stamp_url = "http://a/"\n', "utf-8")
    with pytest.raises(UsageError, match="by half"):
        load_sealing(tmp_path)
