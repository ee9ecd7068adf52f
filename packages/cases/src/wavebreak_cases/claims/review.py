"""Review of an exhibit by a person: labels that are kept with custody, and the reading as HTML.

A label is `claim` or `innocent` in `labels.jsonl`: the stored words of version 1. The page is text
of strangers: everything is escaped, and the page may load and run nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Literal

import msgspec

from wavebreak.durable_files import append_line
from wavebreak.errors import ClaimError
from wavebreak_cases.claims.exhibits import Actor, append_custody, load_exhibit
from wavebreak_cases.claims.reader import ClaimedCapacity, ClaimedPrice, Reading

LABELS = "labels.jsonl"


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One person's label of an exhibit. `score` is that of the reading, if there was one."""

    exhibit: str
    label: Literal["claim", "innocent"]
    by: str
    at: str
    reason: str
    score: float | None = None


def add_label(
    directory: Path,
    label: Literal["claim", "innocent"],
    actor: Actor,
    at: str,
    reason: str,
    score: float | None = None,
) -> Label:
    """Append a label to labels.jsonl and a line of custody; earlier labels stay.

    Raises ClaimError where no reason is given.
    """
    if not reason.strip() or not actor.who.strip():
        raise ClaimError(
            "a label needs a person and a reason", fix="give both", code="label-without-reason"
        )
    record = Label(load_exhibit(directory).id, label, actor.who, at, reason.strip(), score)
    line = msgspec.json.encode(record, order="sorted") + b"\n"
    append_line(directory / LABELS, line)
    word = "confirmed as a claim" if label == "claim" else "rejected: no claim"
    append_custody(directory, actor, at, word, derived={LABELS: hashlib.sha256(line).hexdigest()})
    return record


def read_labels(directory: Path) -> list[Label]:
    """Read the labels of an exhibit, oldest first; the last one counts."""
    path = directory / LABELS
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
        labels = [msgspec.json.decode(line, type=Label) for line in lines]
    except msgspec.MsgspecError:
        raise ClaimError(f"{path} is malformed") from None
    exhibit = load_exhibit(directory).id
    if any(label.exhibit != exhibit for label in labels):
        raise ClaimError(f"{path} labels another exhibit")
    return labels


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Claims read</title>
<style>
body{margin:0 auto;max-width:60rem;padding:1.5rem 1rem;color:#1b1f24;
font:1rem/1.6 system-ui,sans-serif}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font:inherit;
border-left:.3rem solid #d8dee4;padding-left:1rem}
mark{background:#ffe9a8}mark small{color:#6b4e00;padding:0 .3rem}
td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top;overflow-wrap:anywhere}
.note{color:#57606a}
</style></head><body>
"""


def describe_reading(reading: Reading) -> list[tuple[str, str]]:
    """Return what a reading found as text, field by field; empty where there is nothing."""
    return [
        ("title", reading.title),
        ("language", reading.language),
        ("offers", ", ".join(f"{n} {v:.2f}" for n, v in reading.offers.items())),
        (
            "capacity",
            "; ".join([*map(_capacity, reading.capacities), *map(_unlimited, reading.unlimited)]),
        ),
        ("prices", "; ".join(map(_price, reading.prices))),
        ("contacts", "; ".join(f"{n}: {', '.join(v)}" for n, v in reading.contacts.items())),
        ("channels", ", ".join(reading.channels)),
        ("brands", ", ".join(reading.brands)),
        ("published", _publication(reading)),
    ]


def render_html(reading: Reading) -> str:
    """Return a reading as a self-contained HTML page."""
    return "".join(
        [
            _HEAD,
            f"<h1>{escape(reading.verdict)}, {reading.score:.2f}</h1>",
            '<p class="note">Triage and no finding: a person confirms or rejects.</p>',
            _table((name, value or "–") for name, value in describe_reading(reading)),
            "<h2>Why</h2>",
            _table((r.name, f"{r.value:.2f} → {r.adds:+.2f}") for r in reading.reasons),
            f'<h2>What was read</h2><pre dir="auto">{_highlight(reading)}</pre></body></html>\n',
        ]
    )


def _highlight(reading: Reading) -> str:
    pieces, last = [], 0
    for relied in reading.relied_on:
        pieces.append(escape(reading.text[last : relied.start]))
        offers = escape(", ".join(relied.offers) or "by its words")
        inside = escape(reading.text[relied.start : relied.end])
        pieces.append(f"<mark>{inside}<small>{offers}</small></mark>")
        last = relied.end
    return "".join([*pieces, escape(reading.text[last:])])


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = (f"<tr><th>{escape(n)}</th><td dir=auto>{escape(v)}</td></tr>" for n, v in rows)
    return f"<table>{''.join(cells)}</table>"


def _capacity(capacity: ClaimedCapacity) -> str:
    period = f" a {capacity.period}" if capacity.period else ""
    return f"{capacity.count:,} {capacity.what}{period} (“{capacity.text}”)"


def _unlimited(words: str) -> str:
    """A capacity without a number, with its words.

    >>> _unlimited("unlimited sends")
    'unlimited (“unlimited sends”)'
    """
    return f"unlimited (“{words}”)"


def _price(asked: ClaimedPrice) -> str:
    """An amount with its words.

    >>> _price(ClaimedPrice(690.0, "ILS", "690 ₪")), _price(ClaimedPrice(0.9, "USDT", "0.9"))
    ('690 ILS (“690 ₪”)', '0.90 USDT (“0.9”)')
    """
    amount = f"{asked.amount:,.2f}".removesuffix(".00")
    return f"{amount} {asked.currency} (“{asked.text}”)"


def _publication(reading: Reading) -> str:
    known = reading.published
    if not known:
        return ""
    first, last = (known.earliest or "")[:10], (known.latest or "")[:10]
    day = first if first == last else f"{known.earliest} to {known.latest}"
    return f"{day}, by {known.basis}"
