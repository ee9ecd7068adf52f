"""Verification of a bundle: every check in turn, and what could not be checked, with the reason.

Nothing in a bundle is trusted: a key inside it shows only that it is consistent with itself. Checks
read an unpacked copy alone; recomputation runs the engine as `wavebreak run` does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import bagit
import msgspec
from msgspec import UnsetType

from wavebreak import __version__
from wavebreak.engine.decision import Decision
from wavebreak.errors import EvidenceError, WavebreakError
from wavebreak.ledger.checkpoints import MAX_RESPONSE, check_time_stamp, stamp_said
from wavebreak.ledger.key_changes import KeyChange, KnownKey, known_keys, revoked_doubt
from wavebreak.ledger.storage import LEDGER
from wavebreak.ledger.verifier import Key, VerifierError
from wavebreak_cases.bundles import bundle_checks, report, reproduction
from wavebreak_cases.bundles.archive_reader import CERTIFICATE, MADE, REPORT, VERIFIER, Bounds
from wavebreak_cases.bundles.bundle_checks import Finding as Finding
from wavebreak_cases.bundles.bundle_checks import (
    NotChecked,
    checkpoint_of,
    counted,
    note_of,
    open_bundle,
    run_check,
)
from wavebreak_cases.bundles.bundle_checks import exit_code as exit_code
from wavebreak_cases.bundles.exhibit_redaction import describe_removed
from wavebreak_cases.bundles.report_settings import FILE as SETTINGS
from wavebreak_cases.bundles.report_settings import ReportSettings
from wavebreak_cases.bundles.run_figures import figures_of_runs
from wavebreak_cases.bundles.verifier_program import verifier_program
from wavebreak_cases.bundles.workspace import CASE, GROUNDS, load_case
from wavebreak_cases.cases import determination
from wavebreak_cases.cases.case import (
    Case,
    CaseFile,
    DeterminationPrepared,
    context_for_party,
    evidence_for_party,
)
from wavebreak_cases.cases.eligibility import Grounds
from wavebreak_cases.cases.workflow import apply_step, stale_determinations
from wavebreak_cases.claims import exhibits as accepting
from wavebreak_cases.claims import exhibits as claims
from wavebreak_cases.claims.config import load_limits
from wavebreak_cases.claims.redaction import Region, check_copy

if TYPE_CHECKING:
    from wavebreak.ledger.checkpoints import Certificate


class Stamp(NamedTuple):
    """A time stamp (RFC 3161) that lies beside a bundle, and whose certificates are trusted."""

    path: Path
    roots: Sequence[Certificate] = ()


def check_bag(root: Path) -> str:
    """The manifests hold, and the library for such bags finds no fault either."""
    said = bundle_checks.check_bag(root)
    try:
        bagit.Bag(str(root)).validate()
    except (bagit.BagError, OSError, UnicodeDecodeError) as error:
        raise VerifierError("bag_invalid", f"it is no valid BagIt 1.0 bag: {error}") from None
    return f"{said}, valid BagIt 1.0"


def check_case(data: Path) -> tuple[CaseFile, Case]:
    """The case's file is canonical, and each of its steps may be taken after the ones before."""
    return load_case(data / CASE)


def check_steps(data: Path, written: CaseFile) -> str:
    """Every step of the case, and no other, was sealed in this order."""
    return bundle_checks.check_steps(data, msgspec.to_builtins(written))


def check_stamp(data: Path, stamp: Stamp) -> str:
    """The bundle's checkpoint existed when the stamp beside it says, by an authority of `roots`."""
    try:
        with stamp.path.open("rb") as file:
            answer = file.read(MAX_RESPONSE + 1)
    except OSError as error:
        raise NotChecked(f"{stamp.path.name} cannot be read: {error.strerror}") from None
    note = note_of(data / LEDGER)
    if not stamp.roots:
        raise NotChecked(
            f"a stamp of this checkpoint says {stamp_said(note, answer):%Y-%m-%d %H:%M:%S} UTC; "
            "whose it is, is not known, so that the time still rests on the maker: give "
            "--stamp-authority",
            "key_unknown",
        )
    at = check_time_stamp(note, answer, stamp.roots)
    return (
        f"every entry was made by {at:%Y-%m-%d %H:%M:%S} UTC: that rests on the authority whose "
        "certificate you gave, not on the maker's clock; how long before, on the maker"
    )


def check_redactions(data: Path, case: Case) -> str:
    """Each redacted copy holds what its step says and nothing beside; originals are not here."""
    found = []
    for name, (number, redaction) in case.redactions.items():
        if wrong := check_copy(
            data / redaction.path,
            redaction.words,
            [Region(r.page, r.box) for r in redaction.regions],
        ):
            raise VerifierError("redaction", f"{name}: {wrong[0]}")
        step = case.steps[number - 1]
        found.append(
            f"{name} is a redacted copy, made by {step.by} ({step.why}): "
            f"{describe_removed(redaction)}; the copy holds no more than step {number} says"
        )
    raise NotChecked(
        f"{'; '.join(found)}. Not checked: the originals, whose digests are sealed and not shown, "
        "and whether what is left still names what was removed; whoever is given an original can "
        "check both",
        "redacted",
    )


def check_custody(data: Path, case: Case) -> str:
    """Each exhibit from a claim is what its id names, and its custody is an unbroken chain."""
    count = 0
    for exhibit in case.exhibits.values():
        place = data / exhibit.path
        if (place / claims.EXHIBIT).exists():
            if wrong := claims.check_exhibit(place):
                raise VerifierError("custody", f"{exhibit.id}: {wrong[0]}")
            count += len(claims.read_custody(place))
        elif not (place / claims.CUSTODY).exists():
            raise VerifierError("custody", f"{exhibit.id} has no line of custody")
        else:
            count += len((place / claims.CUSTODY).read_bytes().splitlines())
    return f"{counted(count, 'line')} of custody"


def check_warcs(data: Path, case: Case) -> str:
    """Every WARC can be read through, and its digests hold."""
    count = 0
    for exhibit in case.exhibits.values():
        for name in exhibit.sha256:
            path = data / exhibit.path / name
            if name.endswith((".warc", ".warc.gz", ".wacz")):
                if path.stat().st_size > load_limits().upload.bytes:
                    raise NotChecked(f"{exhibit.id}: {name} is larger than is read here")
                accepting.validate_file(path.read_bytes())
                count += 1
    return f"{counted(count, 'WARC file')}, every digest"


def check_reruns(data: Path, case: Case, known: Sequence[KnownKey]) -> str:
    """The engine, over the events that are here, gives the same decisions, features and counts."""
    keys = [each.key for each in known]
    results, open_, unknown = [], list[str](), list[str]()
    for exhibit in case.exhibits.values():
        if exhibit.kind == "platform_run":
            place = data / exhibit.path
            about = _read_json(place / reproduction.ABOUT, reproduction.RerunManifest)
            unread = _unread_here(place, about)
            said = _check_rerun(place, about, keys, decide=about.whole and not unread)
            results.append(f"{exhibit.id}: {said}")
            if unread:
                open_.append(f"decisions of {exhibit.id}: {unread}")
            if not about.whole:
                open_.append(
                    f"decisions of {exhibit.id}: others' events, on which they rest, are not here"
                )
            if origin := reproduction.unverified_origin(place / reproduction.SEALED, keys):
                unknown.append(f"the key of {origin}: give --key")
            else:
                open_ += _revoked(place / reproduction.SEALED, known)
    said = "; ".join(results) or "no exhibit is a run"
    if open_ or unknown:
        name = "unchecked" if open_ else "key_unknown"
        raise NotChecked(f"{said}. Not checked: {'; '.join([*open_, *unknown])}", name)
    return said


def _revoked(place: Path, known: Sequence[KnownKey]) -> list[str]:
    """Say that sealed entries, whose signature was checked, rest on a revoked key."""
    if not place.exists():
        return []
    note = checkpoint_of(place)
    return revoked_doubt(note, [each for each in known if each.key.name == note.origin])


def _unread_here(place: Path, about: reproduction.RerunManifest) -> str:
    """Why this version cannot decide as the version that decided; "" where it can.

    That a policy is written as another version writes it speaks against no bundle; that a policy
    or a model is not the one that is named does, whichever version made it.
    """
    if not about.whole or about.wavebreak == __version__:
        return ""
    try:
        reproduction.load_engine(place, about)
    except EvidenceError as error:
        if error.name in ("rerun_inputs", "rerun_features"):
            return (
                f"made by Wavebreak {about.wavebreak[:40]}, which makes them again ({error.what})"
            )
    return ""


def _check_rerun(
    place: Path, about: reproduction.RerunManifest, keys: Sequence[Key], *, decide: bool
) -> str:
    lines = (place / reproduction.DECISIONS).read_bytes().splitlines(keepends=True)
    decisions = [msgspec.json.decode(line, type=Decision) for line in lines]
    if decide:
        again, values = reproduction.reproduce(place, about)
        if [msgspec.json.encode(decision) + b"\n" for decision in again] != lines:
            raise VerifierError("rerun_decisions", "the events give other decisions")
        if _read_json(place / reproduction.VALUES, dict[str, Any]) != values:
            raise VerifierError("rerun_features", "the events give other features")
        refused = reproduction.read_refused(place)
        if refused is not None and refused != reproduction.find_refused(place, about, again):
            raise VerifierError("rerun_refused", "the events give other refusals")
    if len(decisions) != about.decisions:
        raise VerifierError("rerun_decisions", "there are more or fewer decisions than it says")
    own = [d for d in decisions[: about.as_run] if d.account in about.accounts]
    if tuple(d.id for d in own) != about.relied:
        raise VerifierError("rerun_relied", "the decisions relied on are others")
    timelines = reproduction.exhibit_timelines(place, about.accounts)
    counts = {
        account: reproduction.count_conduct(timeline) for account, timeline in timelines.items()
    }
    if _read_json(place / reproduction.NUMBERS, dict[str, reproduction.Conduct]) != counts:
        raise VerifierError("rerun_counts", "the events give other counts of conduct")
    there = (place / reproduction.SEALED).exists()
    before = (
        f", {reproduction.check_sealed_decisions(place / reproduction.SEALED, own, keys)}"
        if there
        else ""
    )
    what = f"{len(decisions):,} decisions and features" if decide else "counts of conduct"
    return f"{about.events:,} events: {what} the same again{before}"


def check_determinations(data: Path, written: CaseFile) -> str:
    """Each determination follows from the evidence that the case had then, and its policy."""
    case, count, others = Case(written.id), 0, list[str]()
    for step in written.steps:
        if isinstance(step.did, DeterminationPrepared):
            said = step.did.determination
            if said.version not in determination.SAME_RULES:
                others.append(step.did.id)
            elif not _same(_determine_again(data, case, said), said):
                raise VerifierError(
                    "determination", f"{step.did.id} does not follow from its evidence"
                )
            else:
                count += 1
        case = apply_step(case, step)
    stale = "".join(
        f"{prepared.id} is not current: the evidence changed after it was prepared; "
        for prepared in stale_determinations(case)
    )
    if others:
        raise NotChecked(
            f"{stale}{', '.join(others)}: made by another version's rules, which are not applied "
            f"here; {count:,} others follow from their evidence. Determine again to have it checked"
        )
    then = " as it was then" if stale else ""
    follow = "follows" if count == 1 else "follow"
    return f"{stale}{counted(count, 'determination')} {follow} from the evidence{then}"


def _same(made: determination.Determination, said: determination.Determination) -> bool:
    """Whether a determination is that made again.

    Of `PROSE_METHOD` the Hebrew sentences are sealed too: translations of the English ones, whose
    words have been corrected since, so that their number alone is compared.
    """
    if said.version != determination.PROSE_METHOD:
        return made == said
    translations, english = [], []
    for each in (made, said):
        if isinstance(each.reasons, UnsetType):
            return made == said
        translations.append(() if isinstance(each.reasons.he, UnsetType) else each.reasons.he)
        english.append(
            msgspec.structs.replace(each, reasons=determination.Reasons(each.reasons.en))
        )
    return english[0] == english[1] and len(translations[0]) == len(translations[1])


def _determine_again(
    data: Path, case: Case, said: determination.Determination
) -> determination.Determination:
    grounds = _read_json(data / GROUNDS / f"{Path(said.policy).name}.json", Grounds)
    if grounds.version != said.policy:
        raise VerifierError("determination_policy", f"the policy {said.policy[:60]} is another")
    evidence = evidence_for_party(case, said.party, said.version)
    figures = figures_of_runs(data, case) if said.version > determination.CODED_METHOD else None
    context = context_for_party(case, said.party, figures)
    return determination.determine(
        said.party, evidence, grounds, said.as_of, said.enforcement, context, said.version
    )


def check_report_pages(data: Path, case: Case) -> str:
    """The report and the forms are those that the bundle's values give."""
    recorded = _read_json(data / MADE, dict[str, str])
    here = report.versions()
    if recorded != here:
        differ = ", ".join(
            f"{n} {recorded.get(n, 'of an earlier layout')}"
            for n in here
            if recorded.get(n) != here[n]
        )
        raise NotChecked(f"made with {differ or 'more'}: to compare them needs that")
    settings = _read_json(data / SETTINGS, ReportSettings)
    if (data / REPORT).read_bytes() != report.render_report(data, case, settings):
        raise VerifierError("report", f"{REPORT} is not what the case says")
    if (data / CERTIFICATE).read_bytes() != report.render_certificate_forms(case, settings):
        raise VerifierError("certificate", f"{CERTIFICATE} is not the form")
    return "report and forms are those of the case, to the byte"


def check_verifier(data: Path) -> str:
    """The verifier that lies in the bundle is ours, and nothing lies beside what belongs there."""
    bundle_checks.check_surplus(data)
    if (data / VERIFIER).read_bytes() != verifier_program():
        recorded = _read_json(data / MADE, dict[str, str])
        if recorded.get("wavebreak") == report.versions()["wavebreak"]:
            raise VerifierError("verifier_program", f"{VERIFIER} is not this version's")
        raise NotChecked(f"{VERIFIER} is of another version; do not run it unread")
    return f"{VERIFIER} is ours"


def _read_json(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        raise VerifierError("file", f"{path.name} cannot be read") from None


def verify_bundle(
    source: Path,
    keys: Sequence[Key],
    bounds: Bounds | None = None,
    history: Sequence[KeyChange] = (),
    stamp: Stamp | None = None,
) -> list[Finding]:
    """Check a bundle by the verifier keys of its maker and of witnesses; without, not whose it is.

    What does not hold is a finding, whatever a bundle may have in it.

    Args:
        source: The bundle.
        keys: Verifier keys.
        bounds: What is read at most (None: the shipped bounds).
        history: The maker's key history: keys to which it leads from `keys` are taken too.
        stamp: The time stamp beside the bundle.
    """
    known = known_keys(keys, history)
    with tempfile.TemporaryDirectory(prefix="wavebreak-verify-") as place:
        root: list[Path] = []

        def opened() -> str:
            folder, said = open_bundle(source, Path(place), bounds)
            root.append(folder)
            return said

        findings = [_run_check("zip file", opened)]
        return findings + _verify_folder(root[0], known, stamp) if root else findings


def _verify_folder(
    root: Path, known: Sequence[KnownKey], stamp: Stamp | None = None
) -> list[Finding]:
    data = root / "data"
    findings = [_run_check("bag", partial(check_bag, root))]
    read: list[tuple[CaseFile, Case]] = []

    def opened() -> str:
        read.append(check_case(data))
        written, case = read[0]
        return f"case {case.id}, {case.state}, {counted(len(written.steps), 'step')}"

    findings.append(_run_check("case", opened))
    if not read:
        return findings
    written, case = read[0]
    shown = msgspec.to_builtins(written)
    checks: dict[str, Callable[[], str]] = {
        "sealed entries": partial(bundle_checks.check_ledger, data, known),
        "steps": partial(check_steps, data, written),
        "end of the case": partial(bundle_checks.check_end, data, shown),
        "bag's own files": partial(bundle_checks.check_tags, root, shown),
        "exhibits": partial(bundle_checks.check_exhibits, data, shown),
        "custody": partial(check_custody, data, case),
        "WARC": partial(check_warcs, data, case),
        "recomputation": partial(check_reruns, data, case, known),
        "determinations": partial(check_determinations, data, written),
        "report": partial(check_report_pages, data, case),
        "verifier": partial(check_verifier, data),
    }
    if stamp:
        checks["time stamp"] = partial(check_stamp, data, stamp)
    if case.redactions:
        checks["redaction"] = partial(check_redactions, data, case)
    return findings + [_run_check(what, check) for what, check in checks.items()]


def _run_check(what: str, check: Callable[[], str]) -> Finding:
    def converted() -> str:
        try:
            return check()
        except WavebreakError as error:
            name = error.name if isinstance(error, EvidenceError) else ""
            said = error.what.removeprefix(f"{name}: ")
            raise VerifierError(name or what.lower(), said) from None

    return run_check(what, converted)
