"""The report's section on runs of the platform: counts, what was refused, figures, decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from wavebreak import rules
from wavebreak.engine.decision import Decision
from wavebreak.errors import WavebreakError
from wavebreak.languages import get_language
from wavebreak.notices.reasons import decision_facts
from wavebreak.reports import charts
from wavebreak_cases.bundles import report_text, reproduction
from wavebreak_cases.bundles.chronology import relied_decisions
from wavebreak_cases.bundles.report_sections import ReportSource
from wavebreak_cases.cases.case import Exhibit

DECISIONS_SHOWN = 40
OWN = (
    "sends", "group_sends", "first_contacts", "stranger_sends", "lookups", "groups_created",
    "members_added", "sessions",
)  # fmt: skip
"""Kinds of events of an account's own, which enforcement may refuse."""


def _runs(source: ReportSource) -> Iterator[tuple[Exhibit, Path, reproduction.RerunManifest]]:
    for exhibit in source.case.exhibits.values():
        if exhibit.kind == "platform_run":
            place = source.directory / exhibit.path
            raw = (place / reproduction.ABOUT).read_bytes()
            yield exhibit, place, msgspec.json.decode(raw, type=reproduction.RerunManifest)


def summary_sentences(source: ReportSource) -> Iterator[str]:
    """Return what each account attempted, and what was refused, of runs that a person confirmed."""
    words, confirmed = source.words, source.confirmed()
    for exhibit, place, about in _runs(source):
        if exhibit.id not in confirmed:
            continue
        for account, own in reproduction.conduct_of_accounts(place, about).items():
            counted = reproduction.count_conduct(own.attempted)
            sends = own.counts("sends")
            enforced = "enforcement_off" if not about.enforce else ""
            yield words(
                "summary_run",
                account=account,
                messages=words.count("message", sends.attempted),
                enforced=words(enforced) if enforced else _known(source, sends.enforcement),
                platform=f"{sends.platform:,}",
                carried=_known(source, sends.carried),
                receipts=words(
                    "receipts" if own.receipts else "no_receipts", n=f"{own.receipts:,}"
                ),
                first=words.instant(counted.first),
                last=words.instant(counted.last),
                times=words.count("time", len(own.attempted["reports"])),
                exhibit=exhibit.id,
            )


def _known(source: ReportSource, count: int | None) -> str:
    return source.words("not_recorded") if count is None else f"{count:,}"


def conduct(source: ReportSource) -> report_text.Block:
    """Each run of the platform with its accounts; figures are added by name."""
    blocks: list[report_text.Block] = []
    for exhibit, place, about in _runs(source):
        blocks += _run(source, exhibit, place, about)
    words = source.words
    return report_text.section(words("conduct"), blocks or [report_text.note(words("no_runs"))])


def _run(
    source: ReportSource, exhibit: Exhibit, place: Path, about: reproduction.RerunManifest
) -> Iterator[report_text.Block]:
    words = source.words
    yield report_text.heading(f"{exhibit.id}: {exhibit.title}", exhibit.id)
    yield report_text.text(
        words(
            "run_lead",
            events=words.count("event", about.events),
            whole=words("run_whole" if about.whole else "run_own"),
            decisions=words.count("decision", about.as_run),
            relied=f"{len(about.relied):,}",
        )
    )
    conducts = reproduction.conduct_of_accounts(place, about)
    unsplit = any(each.carried is None for each in conducts.values())
    enforced = "run_unsplit" if unsplit else "run_enforced"
    yield report_text.text(words(enforced if about.enforce else "run_shadow"))
    if any(each.counts("sends").platform for each in conducts.values()):
        yield report_text.text(words("run_before"))
    for n, (account, acts) in enumerate(conducts.items()):
        own = [d for d in relied_decisions(place) if d.account == account]
        yield report_text.heading(words("account_title", account=account))
        yield _counts(source, acts)
        name = f"{exhibit.id}-{n + 1}.svg"
        drawn = _draw(source, name.removesuffix(".svg"), account, acts, own)
        if drawn:
            source.figures[name] = drawn.encode()
            caption = words("figure_caption", account=account, exhibit=exhibit.id)
            yield report_text.figure(name, caption, caption)
        yield from _decisions(source, place, about, own)
    yield from _commands(source, exhibit, about)


def _commands(
    source: ReportSource, exhibit: Exhibit, about: reproduction.RerunManifest
) -> Iterator[report_text.Block]:
    words = source.words
    yield report_text.note(
        words(
            "run_versions",
            policy=about.policy,
            model=about.model or words("no_model"),
            features=about.features,
            wavebreak=about.wavebreak,
        )
    )
    yield report_text.note(words("recount"))
    yield report_text.code("wavebreak verify BUNDLE")
    if not about.whole:
        yield report_text.note(words("own_only"))
        return
    yield report_text.note(words("redo"))
    place = f"data/{exhibit.path}"
    asked = f"{place}/{reproduction.MODEL}" if about.model else "none"
    yield report_text.code(
        f"wavebreak run {place}/{reproduction.LOG_FILE} --policy "
        f"{place}/{reproduction.POLICY}/{about.policy_name} --model {asked} "
        f"--profile {place}/{reproduction.PROFILE} --lateness {about.lateness_s} "
        f"--{'enforce' if about.enforce else 'shadow'} -o again"
    )


def _counts(source: ReportSource, acts: reproduction.AccountConduct) -> report_text.Block:
    """Counts by kind; of own events with who refused how many and what was carried, where known."""
    words, timeline = source.words, acts.attempted
    counted = reproduction.count_conduct(timeline)
    rows: list[tuple[str, ...]] = []
    for kind in words.codes("counts"):
        if not (n := len(timeline[kind])):
            continue
        row, split = (words.of("counts", kind), f"{n:,}"), acts.counts(kind)
        if kind in OWN and split.carried is not None:
            rows.append(
                (*row, f"{split.enforcement:,}", f"{split.platform:,}", f"{split.carried:,}")
            )
        elif kind in OWN:
            rows.append((*row, "", f"{split.platform:,}", ""))
        else:
            rows.append((*row, "", "", ""))
    if acts.receipts:
        rows.append((words("delivered"), f"{acts.receipts:,}", "", "", ""))
    if counted.looked_up:
        rows.append((words("looked_up"), f"{counted.looked_up:,}", "", "", ""))
    rows.append((words("busiest"), f"{counted.busiest_minute:,}", "", "", ""))
    rows.append((words("first_act"), words.instant(counted.first), "", "", ""))
    rows.append((words("last_act"), words.instant(counted.last), "", "", ""))
    keys = ("counted", "attempted", "refused_enforcement", "refused_platform", "carried")
    head = [words(key) for key in keys]
    return report_text.table(
        head, rows, [2.2, 1.4, 0.9, 0.9, 0.7], right=[False, True, True, True, True]
    )


def _draw(
    source: ReportSource,
    name: str,
    account: str,
    acts: reproduction.AccountConduct,
    own: list[Decision],
) -> str:
    """Draw what an account attempted, what was refused, and the decisions; "" without events."""
    timeline, passed = acts.attempted, acts.carried
    window, words = timeline.window, source.words
    if window is None:
        return ""
    sends = timeline["sends"]
    lines: dict[str, Any] = {words("lane_attempted"): sends}
    lanes: dict[str, Any] = {words("lane_attempted"): sends}
    refused = {"lane_refused_platform": _difference(sends, acts.let_through["sends"])}
    if passed is not None:
        lines[words("lane_carried")] = passed["sends"]
        refused["lane_refused"] = _difference(acts.let_through["sends"], passed["sends"])
    lines |= {words(key): times for key, times in refused.items() if len(times)}
    if passed is not None:
        lanes = {label: times for label, times in lines.items() if len(times)}
        lanes.pop(words("lane_attempted"), None)
    for kind in ("replies", "reports", "blocks", "undeliverable", "registered"):
        if len(timeline[kind]):
            lanes[words.of("counts", kind)] = timeline[kind]
    start, end = window
    margin = max(1_000, (end - start) // 50)
    label = words("axis_time", day=" – ".join(dict.fromkeys(map(words.day, window))))
    axes = charts.TimelineText(
        words.embedded(label), words.embedded(words("axis_count")), words("lane_decisions")
    )
    return charts.numbered_timeline(
        name,
        words("account_title", account=account),
        lines,
        lanes,
        [decision.ts for decision in own],
        (start - margin, end + margin),
        axes,
    )


def _difference(every: charts.Times, some: charts.Times) -> charts.Times:
    """Instants of the first that are not among the second, each as often as it is left over."""
    times, counts = np.unique(every, return_counts=True)
    kept, again = np.unique(some, return_counts=True)
    counts[np.searchsorted(times, kept)] -= again
    return np.repeat(times, counts)


def _decisions(
    source: ReportSource, place: Path, about: reproduction.RerunManifest, own: list[Decision]
) -> Iterator[report_text.Block]:
    words = source.words
    ground = _grounds(place, about, words.language)
    rows = [
        (
            n,
            words.instant(d.ts),
            words.of("outcomes", d.outcome),
            ground(d) or words("by_score"),
            d.id,
        )
        for n, d in enumerate(own[:DECISIONS_SHOWN], 1)
    ]
    yield report_text.table(
        [words(key) for key in ("no", "at", "measure", "ground", "decision")],
        rows,
        [0, 0, 0.8, 1.6, 0],
        right=[True],
        none=words("no_decisions"),
    )
    if len(own) > DECISIONS_SHOWN:
        yield report_text.note(words("more_decisions", n=f"{len(own) - DECISIONS_SHOWN:,}"))


def _grounds(
    place: Path, about: reproduction.RerunManifest, language: str
) -> Callable[[Decision], str]:
    """Return a function from a decision to its facts in sentences; "" for one by the score."""
    try:
        policy = rules.load_policy(
            place / reproduction.POLICY / about.policy_name,
            shipped=place / reproduction.POLICY / "shipped",
        )
        abuse = {rule.id: rule.abuse for rule in policy.rules}
    except WavebreakError:
        abuse = {}
    return lambda decision: " ".join(
        decision_facts(decision, "court", get_language(language), abuse)
    )
