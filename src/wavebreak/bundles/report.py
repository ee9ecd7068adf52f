"""The report on a case and its certificate forms, typeset to PDF from the case's directory.

The same directory gives the same bytes with the same versions of Typst and fonts: `verify` renders
the report again and compares.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import typst

from wavebreak import __version__, config
from wavebreak.bundles import report_sections, reproduction
from wavebreak.bundles.report_sections import (
    Block,
    bullets,
    code,
    format_time,
    heading,
    note,
    section,
    table,
    text,
)
from wavebreak.cases.case import Case, Exhibit
from wavebreak.claims.exhibits import CUSTODY, CustodyRecord
from wavebreak.engine.decision import Decision
from wavebreak.reports import charts

TEMPLATE = Path(__file__).with_name("report.typ")
DECISIONS_SHOWN = 40
MADE_WITH = ("wavebreak", "typst", "matplotlib")
_CUSTODY_HEAD = [
    "when (UTC)",
    "what",
    "who, where",
    "purpose, authority",
    "unavoidable changes",
]


def versions() -> dict[str, str]:
    """Versions of what the bytes of a report depend on."""
    return {"wavebreak": __version__} | {name: version(name) for name in MADE_WITH[1:]}


def render_report(directory: Path, case: Case) -> bytes:
    """Typeset the report on a case from its directory."""
    figures: dict[str, bytes] = {}
    last = case.steps[-1].at
    about = {
        "kind": "Case report",
        "title": case.title,
        "subtitle": f"Case {case.id}, {case.state}. As of its step {len(case.steps)} on "
        f"{format_time(last)} UTC.",
        "header": f"Case {case.id}: {case.title}",
        "stamp": f"step {len(case.steps)}",
        "footer": f"Wavebreak {__version__}. Advice from rules and dates; not a legal opinion.",
        "lead": [text(case.about)] if case.about else [],
        "sections": list(_sections(directory, case, figures)),
    }
    return _typeset(about, figures, last)


def _sections(directory: Path, case: Case, figures: dict[str, bytes]) -> Iterator[Block]:
    yield report_sections.parties(case)
    yield report_sections.determinations(case)
    yield report_sections.evidence(case)
    yield report_sections.pages(directory, case, figures)
    runs = [e for e in case.exhibits.values() if e.kind == "platform_run"]
    blocks: list[Block] = []
    for exhibit in runs:
        blocks += _run_blocks(directory / exhibit.path, exhibit, figures)
    none = note("No exhibit comes from the platform.")
    yield section("Conduct on the platform, in numbers", blocks or [none])
    yield report_sections.notices(case)
    yield report_sections.chronology(case)
    yield section("Exhibits", _exhibit_tables(case))
    yield section("Custody", _custody_tables(directory, case))
    yield section("Limits", [bullets(_load_texts()["limits"])])


def _run_blocks(place: Path, exhibit: Exhibit, figures: dict[str, bytes]) -> Iterator[Block]:
    about = msgspec.json.decode(
        (place / reproduction.ABOUT).read_bytes(), type=reproduction.RerunManifest
    )
    lines = (place / reproduction.DECISIONS).read_bytes().splitlines()
    decisions = [msgspec.json.decode(line, type=Decision) for line in lines[: about.as_run]]
    yield heading(f"{exhibit.id}: {exhibit.title}")
    yield text(
        f"{about.events:,} events{'' if about.whole else ' of the accounts'} up to the last "
        f"decision relied on; {about.as_run:,} decisions of the run, {len(about.relied):,} of them "
        f"on the accounts below. Policy {about.policy}, "
        f"model {about.model or 'none'}, features {about.features}; Wavebreak {about.wavebreak}; "
        f"{'enforced' if about.enforce else 'shadow: nothing was refused'}."
    )
    yield note("Every number below is recounted from the log of this exhibit by")
    yield code("wavebreak verify BUNDLE")
    if about.whole:
        yield note("and its decisions are reproduced by")
        yield code(_rerun_command(exhibit, about))
    else:
        yield note(
            "Only the accounts' own events are in this exhibit: what is counted below can "
            "be counted again, what was decided rests on others' events too and cannot be "
            "decided again from here."
        )
    for n, (account, timeline) in enumerate(
        reproduction.exhibit_timelines(place, about.accounts).items()
    ):
        own = [decision for decision in decisions if decision.account == account]
        name = f"{exhibit.id}-{n + 1}.svg"
        yield heading(f"Account {account}")
        drawn = reproduction.draw_timeline(name.removesuffix(".svg"), account, timeline, own)
        if drawn is not None:
            figures[name] = drawn.encode()
            alt = f"Timeline of {account}"
            yield {"kind": "figure", "file": name, "alt": alt}
        yield from _conduct_tables(reproduction.count_conduct(timeline), own)


def _rerun_command(exhibit: Exhibit, about: reproduction.RerunManifest) -> str:
    place = f"data/{exhibit.path}"
    asked = f"{place}/{reproduction.MODEL}" if about.model else "none"
    return (
        f"wavebreak run {place}/{reproduction.LOG_FILE} --policy "
        f"{place}/{reproduction.POLICY}/{about.policy_name} --model {asked} "
        f"--profile {place}/{reproduction.PROFILE} --lateness {about.lateness_s} "
        f"--{'enforce' if about.enforce else 'shadow'} -o again"
    )


def _conduct_tables(counts: reproduction.Conduct, own: list[Decision]) -> Iterator[Block]:
    rows: list[tuple[str, Any]] = [
        (reproduction.LABELS[kind], f"{n:,}") for kind, n in counts.counts.items() if n
    ]
    rows += [("numbers looked up", f"{counts.looked_up:,}")] if counts.looked_up else []
    rows += [("most messages within any 60 s", f"{counts.busiest_minute:,}")]
    rows += [
        ("first own act (UTC)", format_time(counts.first)),
        ("last own act", format_time(counts.last)),
    ]
    yield table(["counted from the log", "number"], rows, [3, 1], right=[False, True])
    listed = [
        (format_time(d.ts), d.outcome, ", ".join(d.rules) or "the score", _reasons(d), d.id)
        for d in own[:DECISIONS_SHOWN]
    ]
    yield table(
        ["when (UTC)", "outcome", "rules", "what they read", "decision"],
        listed,
        [0, 0, 1.7, 2.2, 0],
        none="No decision on this account.",
    )
    if len(own) > DECISIONS_SHOWN:
        yield note(f"{len(own) - DECISIONS_SHOWN:,} later ones stand in {reproduction.DECISIONS}.")


def _reasons(decision: Decision) -> str:
    reasons = [
        f"{r.feature} {'missing' if r.value is None else f'{r.value:g}'}" for r in decision.reasons
    ]
    return ", ".join(reasons[:8]) + (f" and {len(reasons) - 8} more" if len(reasons) > 8 else "")


def _exhibit_tables(case: Case) -> Iterator[Block]:
    yield table(
        ["id", "kind", "title", "taken (UTC)"],
        [
            (e.id, e.kind.replace("_", " "), e.title, format_time(e.captured))
            for e in case.exhibits.values()
        ],
        [0, 0, 1, 0],
        none="None.",
    )
    rows = [
        (e.id, name, digest)
        for e in case.exhibits.values()
        for name, digest in sorted(e.sha256.items())
    ]
    yield heading("Files and their SHA-256")
    yield table(["id", "file", "SHA-256"], rows, [0, 1, 0], none="None.")


def _custody_tables(directory: Path, case: Case) -> Iterator[Block]:
    for exhibit in case.exhibits.values():
        path = directory / exhibit.path / CUSTODY
        lines = path.read_bytes().splitlines() if path.exists() else []
        touches = [msgspec.json.decode(line, type=CustodyRecord) for line in lines[:200]]
        yield heading(exhibit.id)
        yield table(
            _CUSTODY_HEAD,
            [
                (
                    t.at.replace("T", " ").removesuffix("Z"),
                    t.what,
                    f"{t.who}, {t.where}",
                    f"{t.why}; {t.authority}",
                    t.changes,
                )
                for t in touches
            ],
            [0.9, 1.4, 1.2, 1.4, 2],
            none="No custody record.",
        )


def render_certificate_forms(case: Case) -> bytes:
    """Typeset the certificate forms, for a person to complete and sign, or not."""
    words = _load_texts()["certificate"]
    about = {
        "kind": "Form, not signed",
        "title": words["title"],
        "subtitle": f"Case {case.id}: {case.title}",
        "header": words["title"],
        "stamp": f"Case {case.id}",
        "footer": "A form. It certifies nothing until a person completes and signs it.",
        "lead": [note(words["lead"])],
        "sections": [
            section(part["title"], map(text, part["paragraphs"])) for part in words["part"]
        ],
    }
    return _typeset(about, {}, case.steps[-1].at)


def _load_texts() -> dict[str, Any]:
    return config.read_toml(config.resolve_path("cases/report.toml"))


def _typeset(about: dict[str, Any], figures: dict[str, bytes], at: int) -> bytes:
    with tempfile.TemporaryDirectory(prefix="wavebreak-report-") as place:
        root = Path(place)
        (root / "report.typ").write_bytes(TEMPLATE.read_bytes())
        (root / "report.json").write_bytes(msgspec.json.encode(about))
        for name, content in figures.items():
            (root / name).write_bytes(content)
        compiler = typst.Compiler(
            root / "report.typ", root=root, font_paths=[charts.fonts()], ignore_system_fonts=True
        )
        pdf = compiler.compile(format="pdf", timestamp=at // 1000)
    if not isinstance(pdf, bytes):  # pragma: no cover
        raise AssertionError("typst gives one file")
    return pdf
