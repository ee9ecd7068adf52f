"""A bundle: a BagIt 1.0 bag (RFC 8493) of a case, in one zip file; equal inputs give equal bytes.

    CASE-ID/bagit.txt, bag-info.txt, manifest-sha{256,512}.txt, tagmanifest-sha{256,512}.txt
    CASE-ID/data/report.pdf        what the case says, to be read
    CASE-ID/data/certificate.pdf   forms for a person to sign, or not
    CASE-ID/data/report.json       language, operator and forms of the two
    CASE-ID/data/case.json         the steps of the case
    CASE-ID/data/grounds/          the policy of its determinations
    CASE-ID/data/exhibits/         the exhibits, with custody, WARCs and runs
    CASE-ID/data/ledger/           sealed entries of the steps, proofs, checkpoint, key
    CASE-ID/data/verifier.py       checks the bundle with Python alone
    CASE-ID/data/made.json         with which versions this was made
    CASE-ID/data/README.txt        what to do with all that

The manifests are written here and not by `bagit`, which changes the process's directory.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import bagit
import msgspec

from wavebreak import __version__
from wavebreak.durable_files import replacing
from wavebreak.errors import CaseError, EvidenceError
from wavebreak.ledger import Ledger, make_entry, proof_bundle
from wavebreak.ledger.entries import PackEntry
from wavebreak.ledger.storage import LEDGER
from wavebreak_cases.bundles import archive_reader, report
from wavebreak_cases.bundles.bundle_checks import payload_digest, tag_files
from wavebreak_cases.bundles.exhibit_redaction import kept_marks, names_in_payload, shown_case
from wavebreak_cases.bundles.report_settings import FILE as SETTINGS
from wavebreak_cases.bundles.report_settings import ReportSettings, encode_settings, load_settings
from wavebreak_cases.bundles.verifier_program import verifier_program
from wavebreak_cases.bundles.workspace import (
    CASE,
    EXHIBITS,
    GROUNDS,
    CaseWorkspace,
    check_exhibit_files,
    encode_case,
    load_case,
    salted_digest,
)

_README = """\
This is a bundle of case {case}, made by Wavebreak {version}.

To read: report.pdf. The forms in certificate.pdf are for a person to sign, or not.

To check all of it, numbers and decisions included, with Wavebreak:
    wavebreak verify {case}.zip --key KEY

To check with Python 3.11 alone, nothing installed:
    python -I verifier.py {case}.zip --key KEY       or the folder instead of the zip file
It checks every file against the sealed steps and the sealed end of the case, the ledger whole, key
and witnesses, custody and signatures, and prints what it does not check. Whoever changed the bundle
could have changed its verifier.py too: take that file, or its SHA-256, from who made the bundle by
another way, or from a release of Wavebreak {version}.

The manifests alone (sha256sum -c manifest-sha256.txt) show damage, and no change that was made on
purpose: whoever changes a file can write its manifest again.

Exit codes of both: 0 holds; 1 does not hold; 3 not all can be checked here; 4 holds, but rests on
a key that nobody vouched for; 5 holds, with redactions.

KEY is the verifier key of who made the bundle. Take it from them by another way than this bundle:
the copy in ledger/key.pub shows only that the bundle agrees with itself.

case.json has the steps; entry `step` number n of the ledger has, as `sha256`, the SHA-256 of the
case's `salt` followed by step n in canonical JSON (RFC 8785).
"""


def write_bundle(
    workspace: CaseWorkspace,
    out: Path,
    settings: ReportSettings | None = None,
    *,
    with_names: bool = False,
    cosign: Callable[[Ledger], None] | None = None,
) -> dict[str, int]:
    """Pack an open case into the file `out`; the file appears whole or not at all.

    Args:
        workspace: The case.
        out: The file to write.
        settings: What report and forms say beside the case (None: English, of nobody).
        with_names: A person saw that it still names what was removed from an exhibit.
        cosign: Has a witness sign the ledger once it is sealed.

    Returns:
        Counts of files, bytes and sealed entries.

    Raises:
        CaseError: An exhibit is not as it was taken in, nothing can be packed, or something in it
            names what was removed from an exhibit.
    """
    case = workspace.case
    for exhibit in case.exhibits.values():
        if wrong := check_exhibit_files(workspace.path, exhibit):
            raise CaseError(wrong[0], fix="bring back the exhibit as it was")
    with tempfile.TemporaryDirectory(prefix="wavebreak-bundle-") as place:
        bag = Path(place) / case.id
        (bag / "data").mkdir(parents=True)
        _write_payload(workspace, bag / "data", settings or load_settings(), with_names=with_names)
        if cosign is not None:
            cosign(workspace.ledger)
        _write_ledger(workspace, bag / "data")
        for name, content in tag_files(bag, case.id, case.steps[-1].at, __version__).items():
            (bag / name).write_bytes(content)
        try:
            bagit.Bag(str(bag)).validate()
        except bagit.BagError as error:  # pragma: no cover
            raise CaseError(f"the bag does not hold: {error}", fix="report this") from None
        files = _write_zip(bag, out)
    return {"files": files, "bytes": out.stat().st_size, "entries": workspace.ledger.size}


def _write_payload(
    workspace: CaseWorkspace, data: Path, settings: ReportSettings, *, with_names: bool
) -> None:
    (data / CASE).write_bytes(encode_case(shown_case(workspace.written)))
    case = load_case(data / CASE)[1]
    for name in (EXHIBITS, GROUNDS):
        if (workspace.path / name).exists():
            shutil.copytree(workspace.path / name, data / name)
    known = {exhibit.path for exhibit in workspace.case.exhibits.values()}
    for left in (data / EXHIBITS).glob("*"):
        # What a crash left behind is no exhibit.
        if left.relative_to(data).as_posix() not in known:
            shutil.rmtree(left)
    (data / archive_reader.VERIFIER).write_bytes(verifier_program())
    (data / archive_reader.MADE).write_bytes(msgspec.json.encode(report.versions(), order="sorted"))
    words = _README.format(case=workspace.case.id, version=__version__)
    (data / archive_reader.README).write_text(words, encoding="utf-8")
    (data / SETTINGS).write_bytes(encode_settings(settings))
    (data / archive_reader.REPORT).write_bytes(report.render_report(data, case, settings))
    (data / archive_reader.CERTIFICATE).write_bytes(
        report.render_certificate_forms(workspace.case, settings)
    )
    marks = kept_marks(workspace.path)
    if marks.texts and not with_names and (named := names_in_payload(data, marks)):
        raise CaseError(
            f"what was removed from an exhibit still stands in {', '.join(map(str, named[:8]))}",
            fix="redact these exhibits too; words of sealed steps cannot be taken back",
            code="names-left",
        )
    _seal_payload(workspace, data)


def _write_ledger(workspace: CaseWorkspace, data: Path) -> None:
    (data / LEDGER).mkdir()
    for name, content in proof_bundle(workspace.ledger, range(workspace.ledger.size)).items():
        (data / LEDGER / name).write_bytes(content)


def _seal_payload(workspace: CaseWorkspace, data: Path) -> None:
    """Seal a payload as the case's last entry, unless the last one is of the same payload.

    The entry, of kind `pack`, has the number of steps of the case, the last one's digest, and the
    digest of every file beside the ledger. Nothing can then be cut from the end of the case, nor
    changed in report, forms, instructions or verifier, without the maker's key. It says what was so
    at its time, and nothing of what the maker did later. `bundle_checks` checks it.
    """
    written = workspace.written
    last = salted_digest(written.salt, written.steps[-1])
    body = PackEntry(written.id, len(written.steps), last, payload_digest(data))
    ledger = workspace.ledger
    if ledger.size and ledger.entry(ledger.size - 1).body == body:
        return
    entry, openings = make_entry("pack", body, {}, at=workspace.clock(), salts=workspace.salts)
    workspace.openings.keep(ledger.size, [openings])
    ledger.seal([entry])


def _write_zip(bag: Path, out: Path) -> int:
    """Zip a directory with fixed times and modes, in order of names."""
    files = sorted(path for path in bag.rglob("*") if path.is_file())
    try:
        with (
            replacing(out) as fresh,
            zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
        ):
            for path in files:
                name = path.relative_to(bag.parent).as_posix()
                about = zipfile.ZipInfo(name, archive_reader.FIXED_TIME)
                about.external_attr = archive_reader.FIXED_MODE << 16
                about.create_system, about.compress_type = 3, zipfile.ZIP_DEFLATED
                about.file_size = path.stat().st_size
                with path.open("rb") as file, archive.open(about, "w") as sink:
                    shutil.copyfileobj(file, sink, 1 << 20)
    except OSError as error:
        what = f"{out} cannot be written: {error.strerror}"
        raise EvidenceError(what, fix="check the directory", name="bundle_write") from None
    return len(files)
