"""Sections of the case report: summary, parties, determinations, notices, facts, exhibits.

A section is a list of blocks, plain values that `report.typ` typesets. Pages and the platform's
figures have modules of their own (`report`, `report_conduct`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from msgspec import UnsetType

from wavebreak.languages import get_language
from wavebreak.ledger.checkpoints import fingerprint
from wavebreak.ledger.verifier import read_key
from wavebreak_cases.bundles import chronology, exhibit_list
from wavebreak_cases.bundles.report_settings import ReportSettings
from wavebreak_cases.bundles.report_text import (
    Block,
    ReportText,
    bullets,
    cited,
    heading,
    note,
    page_of,
    section,
    table,
    text,
)
from wavebreak_cases.cases.case import (
    AccountErased,
    AccountLinked,
    Case,
    DeterminationSigned,
    Exhibit,
    PreparedDetermination,
    Step,
)
from wavebreak_cases.cases.date_ranges import parse_instant
from wavebreak_cases.cases.notices import Notice
from wavebreak_cases.cases.parties import Evidence, HeldTie, Link, Party, TieDates
from wavebreak_cases.cases.reasons import person
from wavebreak_cases.cases.signatures import KeySignature
from wavebreak_cases.cases.ties import overruled_ties
from wavebreak_cases.cases.workflow import action_subject, is_current, stale_determinations
from wavebreak_cases.claims.exhibits import CUSTODY, CustodyRecord


@dataclass(frozen=True)
class ReportSource:
    """What a report is made of: the case with its directory, its words, and figures by name."""

    directory: Path
    case: Case
    settings: ReportSettings
    words: ReportText
    figures: dict[str, bytes] = field(default_factory=dict)

    def confirmed(self) -> frozenset[str]:
        """Return the exhibits of which a person confirmed that they show what is stated."""
        items = self.case.evidence.values()
        return frozenset(e.exhibit for e in items if e.confirmed == "yes")

    def role(self, code: str) -> str:
        """Return a role in words."""
        return self.words.of("roles", code)


def preparer(source: ReportSource) -> str:
    """Return who prepared the report, and how that person was authenticated.

    It is the person given with the settings, else who opened the case.
    """
    words, name, how = source.words, source.settings.prepared_by, source.settings.authenticated
    if not name:
        first = source.case.steps[0]
        name = words("prepared_role", name=person(first.by), role=source.role(first.role))
        how = "console" if first.by.startswith("user:") else ""
    if not how:
        return words("prepared_typed", name=words.isolated(name))
    if how == "console":
        return words(
            "prepared_authenticated", name=words.isolated(name), how=words("signed_console")
        )
    key = words("signed_key", key=how)
    return words("prepared_authenticated", name=words.isolated(name), how=key)


def summary(source: ReportSource, findings: Iterable[str]) -> Block:
    """The case in a page: what it is about, the results, what was found, notices.

    Args:
        source: The case.
        findings: What exhibits show, a sentence each.
    """
    case, words = source.case, source.words
    blocks: list[Block] = [
        _stale_verdict(source, prepared) for prepared in stale_determinations(case)
    ]
    if case.about:
        blocks.append(text(words("summary_about", about=case.about)))
    named = [p.name for p in case.parties.values() if not p.same_as]
    if named:
        blocks.append(text(words("summary_parties", parties=words.joined(named))))
    for prepared in case.latest():
        value = prepared.value
        if not is_current(case, value):
            continue
        lines = list(value.sentences(words.language)[:1]) or [words.tie(value.result)]
        lines.append(_signature_sentence(source, prepared))
        blocks.append(
            {"kind": "verdict", "text": words.tie(value.result).capitalize(), "lines": lines}
        )
    if not case.determinations:
        blocks.append(text(words("summary_none")))
    blocks.append(bullets([*findings, *_notice_sentences(source)], words("none")))
    relied = {name for d in case.latest() for name in d.value.exhibits if is_current(case, d.value)}
    held = words.count("exhibit", len(case.exhibits))
    said = words("summary_exhibits", exhibits=held, relied=f"{len(relied):,}")
    blocks += [text(said), note(words("advice"))]
    return section(words("summary"), blocks)


def stale_facts(case: Case, words: ReportText) -> list[tuple[str, str]]:
    """Return what is not current, for the first page: a label and a sentence each."""
    return [
        (words("not_current"), words("not_current_fact", **_stale_names(case, words, prepared)))
        for prepared in stale_determinations(case)
    ]


def _stale_names(case: Case, words: ReportText, prepared: PreparedDetermination) -> dict[str, str]:
    party = case.parties[case.root(prepared.value.party)].name
    return {"id": prepared.id, "party": words.isolated(party)}


def _stale_verdict(source: ReportSource, prepared: PreparedDetermination) -> Block:
    """A determination that is not of the evidence as it is now: that, before what it said."""
    words, case, value = source.words, source.case, prepared.value
    superseded = prepared.id not in {latest.id for latest in case.latest()}
    key = "superseded_lead" if superseded else "not_current_lead"
    lines = [words(key, **_stale_names(case, words, prepared))]
    said = {"at": words.day(prepared.at), "result": words.tie(value.result)}
    lines.append(words("not_current_said", **said))
    if prepared.signed_by:
        at = words.day(prepared.signed_at)
        lines.append(words("not_current_signed", by=person(prepared.signed_by), at=at))
    return {
        "kind": "verdict",
        "text": words("superseded" if superseded else "not_current"),
        "lines": lines,
    }


def confirmed_sentences(source: ReportSource) -> Iterator[str]:
    """Return what a person confirmed of each item, in a sentence, and how much nobody did."""
    words, case = source.words, source.case
    for e in case.evidence.values():
        if e.confirmed == "yes" and not case.exhibits[e.exhibit].rejected:
            title = words.isolated(case.exhibits[e.exhibit].title)
            named = {"exhibit": e.exhibit, "title": title, "by": person(e.by)}
            yield words("summary_confirmed", shown=_shown(source, e), **named)
    if open_ := sum(e.confirmed == "unknown" for e in case.evidence.values()):
        yield words("summary_unconfirmed", n=open_)


def _signature_sentence(source: ReportSource, prepared: PreparedDetermination) -> str:
    words, role = source.words, source.role(prepared.value.signs)
    if not prepared.signed_by:
        return words("summary_unsigned", id=prepared.id, role=role)
    at = words.day(prepared.signed_at)
    return words("summary_signed", id=prepared.id, by=person(prepared.signed_by), role=role, at=at)


def _notice_sentences(source: ReportSource) -> Iterator[str]:
    case, words = source.case, source.words
    for notice in case.notices.values():
        arrived = [d.at for d in case.deliveries if d.notice == notice.id]
        answered = [r.at for r in case.replies if r.notice == notice.id]
        yield words(
            "summary_notice",
            notice=notice.id,
            party=case.parties[notice.party].name,
            sent=words.day(notice.sent),
            arrived=words("summary_arrived", at=words.day(min(arrived)))
            if arrived
            else words("summary_not_arrived"),
            answered=words("summary_answered", at=words.day(min(answered)))
            if answered
            else words("summary_not_answered"),
        )


def parties(source: ReportSource) -> Block:
    """Who the case is about, in which roles, and accounts tied to them."""
    case, words = source.case, source.words
    head = [words(key) for key in ("party", "names", "role", "identifiers")]
    rows = [
        (p.id, _names(source, p), "\n".join(_roles(source, p)), "\n".join(_identifiers(p)) or "—")
        for p in case.parties.values()
    ]
    links = [
        (
            step.did.link.party,
            step.did.link.account,
            _link_lines(source, step),
            step.did.link.exhibit,
        )
        for step in case.steps
        if isinstance(step.did, AccountLinked)
    ]
    return section(
        words("parties"),
        [
            table(head, rows, [0, 1, 1.1, 1.1], none=words("none")),
            heading(words("links")),
            table(
                [words(key) for key in ("party", "account", "tie", "exhibit")],
                links,
                [0, 1.3, 1.3, 0],
                none=words("no_links"),
            ),
            *_bars(source),
            *_erasures(source),
        ],
    )


def _link_lines(source: ReportSource, step: Step) -> str:
    """How an account is tied, when it was the party's as far as that is stated, and who said so."""
    link: Link = step.did.link  # type: ignore[union-attr]
    words = source.words
    lines = [words("tied_line", strength=words.tie(link.strength), basis=words.tie(link.basis))]
    if not isinstance(link.dates, UnsetType):
        lines.append(words.held(HeldTie(link.account, link.dates, link.exhibit)))
    lines.append(words("tied_by", by=person(step.by), at=words.day(step.at)))
    return "\n".join(lines)


def _bars(source: ReportSource) -> Iterator[Block]:
    """Settlements, stays and insolvencies, with what shows them."""
    case, words = source.case, source.words
    if case.bars:
        yield heading(words("bars_title"))
        yield bullets(
            words.bar(bar, words.isolated(case.parties[case.root(bar.party)].name))
            for bar in case.bars.values()
        )


def _erasures(source: ReportSource) -> Iterator[Block]:
    """What opens entries on an account was erased: when, by whom, why, and what remains."""
    words = source.words
    lines = []
    for step in source.case.steps:
        if isinstance(step.did, AccountErased):
            found = msgspec.structs.asdict(step.did.erasure)
            found |= {name: len(found[name]) for name in ("exhibits", "evidence")}
            at, why = words.instant(step.at), words.isolated(step.why)
            lines.append(words("erased_line", at=at, by=person(step.by), why=why, **found))
    if lines:
        yield heading(words("erased_title"))
        yield bullets(lines)


def _names(source: ReportSource, party: Party) -> str:
    words = source.words
    lines = [party.name, words(party.kind)]
    if party.age == "minor":
        lines.append(words("minor"))
    if party.aliases:
        lines.insert(1, words("also", names=words.joined(list(party.aliases))))
    return "\n".join(lines)


def _identifiers(party: Party) -> list[str]:
    return [*party.domains, *party.sites, *party.apps, *party.numbers]


def _roles(source: ReportSource, party: Party) -> Iterator[str]:
    case, words = source.case, source.words
    if party.same_as:
        yield words("role_merged", party=case.parties[case.root(party.id)].name)
        return
    subjects = [d.id for d in case.determinations.values() if d.value.party == party.id]
    addressed = [n.id for n in case.notices.values() if n.party == party.id]
    related = [r for r in case.relations if r.party == party.id]
    linked = {k.account for k in case.links if k.party == party.id}
    if subjects:
        yield words("role_subject", id=words.joined(subjects))
    if addressed:
        yield words("role_addressee", id=words.joined(addressed))
    for r in related:
        said = words(
            "role_related",
            relation=words.tie(r.kind),
            party=case.parties[r.other].name,
            strength=words.tie(r.strength),
            exhibit=r.exhibit,
        )
        held = isinstance(r.dates, TieDates) and words.held(HeldTie("", r.dates, r.exhibit))
        yield f"{said}; {held}" if held else said
    if linked:
        yield words("role_accounts", n=len(linked))
    if not (subjects or addressed or related or linked):
        yield words("role_named")


def determinations(source: ReportSource) -> Block:
    """Each determination with its reasons in sentences, and what would change it."""
    blocks: list[Block] = []
    for prepared in source.case.determinations.values():
        blocks += _determination(source, prepared)
    words = source.words
    return section(words("determination"), blocks or [note(words("no_determination"))])


def _determination(source: ReportSource, prepared: PreparedDetermination) -> Iterator[Block]:
    words, value = source.words, prepared.value
    role = source.role(value.signs)
    yield heading(f"{prepared.id}: {source.case.parties[value.party].name}")
    current = is_current(source.case, value)
    if not current:
        yield _stale_verdict(source, prepared)
    made = words(
        "determination_lines",
        as_of=words.instant(value.as_of),
        policy=value.policy,
        by=person(prepared.by),
        at=words.instant(prepared.at),
    )
    signed = words("unsigned_line", role=role)
    if prepared.signed_by:
        signed = words(
            "signed_line",
            by=person(prepared.signed_by),
            role=role,
            at=words.instant(prepared.signed_at),
            how=_authentication(source, prepared.signed_with),
        )
    lines = [*made.split("\n"), signed]
    result = words.tie(value.result).capitalize()
    if not current:
        result = words("not_current_result", result=words.tie(value.result))
    yield {"kind": "verdict", "text": result, "lines": lines}
    yield note(words("advice"))
    sentences = value.sentences(words.language)
    yield heading(words("reasons"))
    if sentences:
        yield from map(text, sentences)
    else:
        yield note(words("no_reasons"))
    yield table(
        [words("supposing"), words("would_be")],
        [(words.supposing(c), words.tie(c.result)) for c in value.changes],
        [3, 1],
        none=words("no_changes"),
    )
    yield note(words("beside"))
    if value.enforcement:
        yield table(
            [words("account"), words("enforcement"), words("until")],
            [
                (
                    e.account,
                    words.of("outcomes", e.outcome),
                    "—" if e.until is None else words.instant(e.until),
                )
                for e in value.enforcement
            ],
            [1.4, 1.2, 1],
        )


def _authentication(source: ReportSource, signed_with: str) -> str:
    """How a signer was authenticated."""
    if not signed_with:
        return source.words("signed_bare")
    if signed_with == "console":
        return source.words("signed_console")
    return source.words("signed_key", key=fingerprint(read_key(signed_with)))


def evidence(source: ReportSource) -> Block:
    """What each item is stated to show of the parties' conduct, and who confirmed it."""
    words = source.words
    rows = [
        (
            e.id,
            e.exhibit,
            _shown(source, e),
            words(
                "began_lasted",
                began=chronology.date_words(source.case, e, words, "began"),
                lasted=chronology.date_words(source.case, e, words, "lasted"),
            ),
            "\n".join(_tie_lines(source, e)),
            _confirmed(source, e),
        )
        for e in source.case.evidence.values()
    ]
    head = [words(key) for key in ("item", "exhibit", "shows", "when", "tie", "confirmed")]
    return section(
        words("evidence"),
        [
            note(words("evidence_note")),
            cited(e.exhibit for e in source.case.evidence.values()),
            table(head, rows, [0, 0, 1.4, 2.3, 0.9, 0.8], none=words("no_evidence")),
        ],
    )


def _tie_lines(source: ReportSource, e: Evidence) -> Iterator[str]:
    """What ties an item to its party; a weaker tie of its accounts is not passed over."""
    words = source.words
    yield words("tied_line", strength=words.tie(e.strength), basis=words.tie(e.basis))
    for item, link in overruled_ties(source.case):
        if item.id == e.id:
            said = {"strength": words.tie(link.strength), "basis": words.tie(link.basis)}
            yield words("tied_weaker", account=link.account, exhibit=link.exhibit, **said)


def _shown(source: ReportSource, e: Evidence) -> str:
    words, case = source.words, source.case
    key = "no_violation_line" if e.conduct == "neither" else "conduct_line"
    said = [words(key, **chronology.conduct_words(case, e, words))]
    if not isinstance(e.jointly, UnsetType):
        others = [words.isolated(case.parties[case.root(each)].name) for each in e.jointly]
        said.append(words("joint_line", others=words.joined(others)))
    if not isinstance(e.part, UnsetType):
        said.append(words("part_line", part=words.isolated(e.part)))
    return " ".join(said)


def _confirmed(source: ReportSource, e: Evidence) -> str:
    if e.confirmed == "yes":
        by = source.case.translations.get(e.id)
        if by is None:
            return person(e.by)
        named = {"language": by.language, "translator": by.translator, "exhibit": by.exhibit}
        return source.words("confirmed_translated", by=person(e.by), **named)
    if e.confirmed == "no":
        return source.words("refused_by", by=person(e.by))
    return source.words("nobody")


def notices(source: ReportSource) -> Block:
    """Notices as they were sent, with proof of delivery and answers."""
    blocks: list[Block] = []
    for notice in source.case.notices.values():
        blocks += _notice(source, notice)
    words = source.words
    return section(words("notices"), blocks or [note(words("no_notices"))])


def _notice(source: ReportSource, notice: Notice) -> Iterator[Block]:
    case, words = source.case, source.words
    yield heading(words("notice_title", notice=notice.id, party=case.parties[notice.party].name))
    key = "notice_sent_undated" if notice.due is None else "notice_sent"
    yield text(words(key, sent=words.instant(notice.sent), deadline=words.instant(notice.due)))
    yield {
        "kind": "letter",
        "language": notice.language,
        "direction": get_language(notice.language).direction,
        "subject": notice.subject,
        "paragraphs": list(notice.paragraphs),
    }
    if isinstance(notice.exhibit, UnsetType):
        yield note(words("no_proof_of_sending"))
    else:
        yield note(words("proof_of_sending", exhibit=notice.exhibit))
        yield cited([notice.exhibit])
    rows = [
        (d.at, words("arrived"), chronology.service_words(d), d.exhibit)
        for d in case.deliveries
        if d.notice == notice.id
    ]
    rows += [
        (
            a.at,
            words("failed"),
            chronology.attempt_words(a),
            "—" if isinstance(a.exhibit, UnsetType) else a.exhibit,
        )
        for a in case.attempts
        if a.notice == notice.id
    ]
    rows += [
        (r.at, words("answered"), r.about, r.exhibit) for r in case.replies if r.notice == notice.id
    ]
    yield cited(by for _, _, _, by in rows if by != "—")
    head = [words(key) for key in ("event", "at", "how", "exhibit")]
    shown = [(what, words.instant(at), how, by) for at, what, how, by in sorted(rows)]
    yield table(head, shown, [0, 0, 1, 0], none=words("no_service"))


def facts(source: ReportSource) -> Block:
    """The chronology of facts."""
    words = source.words
    rows = [
        (fact.when, fact.what, fact.source)
        for fact in chronology.list_facts(source.directory, source.case, words)
    ]
    head = [words(key) for key in ("at", "fact", "source")]
    lead = note(words("chronology_note"))
    return section(
        words("chronology"), [lead, table(head, rows, [0, 2.2, 1], none=words("no_facts"))]
    )


def exhibits(source: ReportSource) -> Block:
    """The exhibits: control numbers, page in the report, digests, custody."""
    words, listed = source.words, exhibit_list.list_exhibits(source.directory, source.case)
    head = [
        words(key) for key in ("exhibit", "kind_of", "title", "taken", "control_numbers", "page")
    ]
    rows = [
        (
            entry.exhibit.id,
            "\n".join(_kind_lines(source, entry.exhibit)),
            "\n".join(dict.fromkeys(filter(None, (entry.exhibit.title, entry.source)))),
            words.instant(entry.exhibit.captured),
            entry.numbers,
            page_of(entry.exhibit.id),
        )
        for entry in listed
    ]
    files = [(f.number, f.exhibit, f.name, f.sha256) for entry in listed for f in entry.files]
    return section(
        words("exhibits"),
        [
            table(head, rows, [0, 0.8, 1.6, 0, 0, 0], none=words("no_exhibits")),
            *_redactions(source),
            heading(words("files")),
            table(
                [words("control_numbers"), words("exhibit"), words("file"), "SHA-256"],
                files,
                [0, 0, 1, 0],
                none=words("none"),
            ),
            heading(words("custody")),
            note(words("custody_note")),
            _custody(source),
        ],
    )


def _kind_lines(source: ReportSource, exhibit: Exhibit) -> Iterator[str]:
    yield source.words.of("kinds", exhibit.kind)
    if exhibit.id in source.case.redactions:
        yield source.words("redacted")
    if exhibit.id in unconfirmed_exhibits(source.case):
        yield source.words("unconfirmed_exhibit")


def unconfirmed_exhibits(case: Case) -> frozenset[str]:
    """Return the exhibits of which something is stated, and of which nobody confirmed anything."""
    items = case.evidence.values()
    confirmed = {e.exhibit for e in items if e.confirmed == "yes"}
    return frozenset(e.exhibit for e in items) - confirmed


def _redactions(source: ReportSource) -> Iterator[Block]:
    """Which exhibits are redacted copies: by whom, when, why, and what was removed."""
    words, rows = source.words, []
    for name, (number, done) in source.case.redactions.items():
        step = source.case.steps[number - 1]
        removed = [f"{words.of('removed', what)}: {count}" for what, count in done.words.items()]
        if done.regions:
            pages = ", ".join(str(n) for n in sorted({region.page for region in done.regions}))
            removed.append(words("removed_regions", count=len(done.regions), pages=pages))
        if done.left_out:
            removed.append(words("not_copied", files=", ".join(done.left_out)))
        by = f"{person(step.by)}\n{words.instant(step.at)}"
        rows.append((name, words("step", step=number), by, step.why, "\n".join(removed)))
    if rows:
        head = [
            words(key) for key in ("exhibit", "no", "by", "purpose_of_redaction", "removed_head")
        ]
        yield heading(words("redactions"))
        yield note(words("redactions_note"))
        yield table(head, rows, [0, 0, 1, 1.2, 1.4])


def _custody(source: ReportSource) -> Block:
    words = source.words
    rows = []
    for exhibit in source.case.exhibits.values():
        path = source.directory / exhibit.path / CUSTODY
        lines = path.read_bytes().splitlines() if path.exists() else []
        touches = [msgspec.json.decode(line, type=CustodyRecord) for line in lines[:200]]
        rows += [
            (
                exhibit.id,
                words.instant(parse_instant(t.at)),
                words.custody(t.what),
                f"{person(t.who)}, {words.custody(t.where)}",
                f"{words.custody(t.why)}; {words.custody(t.authority)}",
                words.custody(t.changes),
            )
            for t in touches
        ]
    keys = ("exhibit", "at", "what", "who_where", "purpose", "changes")
    head = [words(key) for key in keys]
    return table(head, rows, [0, 0, 1, 0.8, 1.1, 1.3], none=words("no_custody"))


def limits(source: ReportSource) -> Block:
    """What the report does not show."""
    said = [*source.words.lines("limits"), *seal_sentences(source.words, source.settings)]
    return section(source.words("limits_title"), [bullets(said)])


def seal_sentences(words: ReportText, settings: ReportSettings) -> list[str]:
    """Return who stamps and signs the ledger, and what rests on the operator alone without them."""
    sentences = [words("seal_clock")]
    for key, name in (("stamp", settings.stamped_by), ("witness", settings.witnessed_by)):
        named = words.isolated(name)
        sentences.append(words(f"seal_{key}", name=named) if name else words(f"seal_no_{key}"))
    return [*sentences, words("seal_alone")]


def signatures(source: ReportSource) -> Block:
    """Lines for who prepared the report and for who signs."""
    words, case = source.words, source.case
    latest = case.latest()
    roles = dict.fromkeys(d.value.signs for d in latest) or {"counsel": None}
    labels = [words(key) for key in ("sign_name", "sign_role", "sign_date", "sign_signature")]
    titles = [words("sign_preparer")]
    titles += [words("sign_counsel", role=source.role(role)) for role in roles]
    return section(
        words("signatures"),
        [
            note(words("signatures_note")),
            {"kind": "signatures", "titles": titles, "labels": labels},
        ],
    )


def steps(source: ReportSource) -> Block:
    """Every step of the case, in order."""
    words = source.words
    rows = []
    for step in source.case.steps:
        tag = str(type(step.did).__struct_config__.tag)
        what = f"{words.of('steps_done', tag)}: {_subject(source, tag, action_subject(step.did))}"
        by = f"{_acting(source, step)} ({source.role(step.role)})"
        rows.append(
            (step.n, words.instant(step.at), by, f"{what} — {step.why}" if step.why else what)
        )
    head = [words(key) for key in ("no", "at", "by", "what")]
    return section(
        words("steps"),
        [note(words("steps_note")), table(head, rows, [0, 0, 0.9, 2.2], right=[True])],
    )


def _acting(source: ReportSource, step: Step) -> str:
    """Who took a step, and how that person was authenticated, if at all."""
    name = source.words.isolated(person(step.by))
    how = ""
    if isinstance(step.did, DeterminationSigned) and isinstance(step.did.signature, KeySignature):
        how = step.did.signature.key
    elif step.by.startswith("user:"):
        how = "console"
    if not how:
        return name
    return source.words("prepared_authenticated", name=name, how=_authentication(source, how))


def _subject(source: ReportSource, tag: str, subject: str) -> str:
    return source.words.of("states", subject) if tag == "advanced" else subject
