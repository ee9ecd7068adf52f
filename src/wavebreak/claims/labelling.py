"""A person confirms or rejects that an exhibit makes a claim: that is a label, and is kept."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal

import msgspec

from wavebreak.claims.exhibits import Actor, load, touch
from wavebreak.errors import ClaimError

LABELS = "labels.jsonl"


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One person's word on an exhibit. `score` is what the reading had said, if there was one."""

    exhibit: str
    label: Literal["claim", "innocent"]
    by: str
    at: str
    reason: str
    score: float | None = None


def put_label(
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
        raise ClaimError("a label needs who gives it and why", fix="give --by and --reason")
    made = Label(load(directory).id, label, actor.who, at, reason.strip(), score)
    line = msgspec.json.encode(made, order="sorted") + b"\n"
    with (directory / LABELS).open("ab") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    word = "confirmed as a claim" if label == "claim" else "rejected: no claim"
    touch(directory, actor, at, word, made={LABELS: hashlib.sha256(line).hexdigest()})
    return made


def labels_of(directory: Path) -> list[Label]:
    """Read the labels of an exhibit, oldest first; the last one stands."""
    path = directory / LABELS
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
        found = [msgspec.json.decode(line, type=Label) for line in lines]
    except msgspec.MsgspecError:
        raise ClaimError(f"{path} is malformed") from None
    exhibit = load(directory).id
    if any(label.exhibit != exhibit for label in found):
        raise ClaimError(f"{path} labels another exhibit")
    return found
