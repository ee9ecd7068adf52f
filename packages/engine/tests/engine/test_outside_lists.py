"""Outside lists: dated entries, the mode of each list, and the accounts that a person cleared."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support.parity_streams import DAY, HOUR, MINUTE, START, Row, log
from wavebreak import rules
from wavebreak.engine import Engine, outside_lists, snapshot
from wavebreak.engine.decision import Decision
from wavebreak.engine.outside_lists import (
    ENTRY_LIFETIME_MS,
    ListedEntry,
    ListTerms,
    delaying_lists,
    shown_lists,
)
from wavebreak.features.listings import ADVICE
from wavebreak.schema.events import LABELS, SOURCES, TYPES, UNDETERMINED

DELAY = {name: ListTerms("delay", "https://keeper.example") for name in ("cme", "rtbl")}


def sha(text: str) -> str:
    return sha256(text.encode()).hexdigest()


class Platform:
    """A platform with accounts that people answer, and lists."""

    def __init__(self, groups: int = 2, **options: Any) -> None:
        self.engine = Engine(rules.load_policy(), accounts=4096, **options)
        self.number, self.now = 0, START
        self.honest = [f"h{n}" for n in range(4 * groups)]
        self.decisions: list[Decision] = []
        for at in range(0, len(self.honest), 4):
            four = self.honest[at : at + 4]
            self.take(self.sent(a, b) for a in four for b in four if a != b)
        self.pass_minute()

    def row(self, kind: str, account: str, **fields: Any) -> Row:
        self.number += 1
        named = {"id": f"e{self.number}", "ts": self.now, "type": TYPES.index(kind)}
        return named | {"account": account} | fields

    def sent(self, account: str, peer: str) -> Row:
        return self.row("message.sent", account, peer=peer, size=90)

    def listed(
        self, who: str, name: str = "cme", entry: str = "", advice: str = "refuse", **fields: Any
    ) -> Row:
        given = {"list": name, "entry": sha(entry or who), "advice": ADVICE.index(advice)}
        return self.row("account.listed", who, **given, **fields)

    def unlisted(self, who: str, name: str = "cme", **fields: Any) -> Row:
        return self.row("account.unlisted", who, list=name, **fields)

    def benign(self, who: str, source: str = "appeal") -> Row:
        said = {"label": LABELS.index("benign"), "source": SOURCES.index(source)}
        return self.row("label.assigned", who, **said)

    def take(self, rows: Iterable[Row]) -> list[Decision]:
        made = self.engine.take(log(list(rows)))
        self.decisions += made
        return made

    def pass_minute(self, ms: int = MINUTE) -> None:
        """Let time pass; an event closes the epoch, and some more move a log's time far ahead."""
        self.now += ms
        self.take([self.sent("h0", "h1") for _ in range(10 if ms >= HOUR else 1)])

    def entries(self, who: str, *origins: str) -> list[ListedEntry]:
        return self.engine.lists.entries_of(who, origins, self.now)

    def delayed_by(self, who: str, *origins: str, terms: Any = DELAY) -> tuple[str, ...]:
        return delaying_lists(self.entries(who, *origins), terms)


def test_listed_stranger_is_delayed_where_list_and_administrator_say_so() -> None:
    of = Platform()
    of.take(
        [of.listed("spam"), of.listed("meek", advice="delay"), of.listed("seen", advice="observe")]
    )
    assert of.delayed_by("spam") == of.delayed_by("meek") == ("cme",)
    assert of.delayed_by("seen") == of.delayed_by("other") == ()
    for terms in ({}, {"cme": ListTerms("observe")}, {"cme": ListTerms("off")}):
        assert of.delayed_by("spam", terms=terms) == ()


def test_reviewers_see_entries_of_every_list_that_is_not_off() -> None:
    of = Platform()
    of.take([of.listed("spam"), of.listed("spam", "rtbl", advice="observe")])
    both = [ListedEntry("cme", of.now, True), ListedEntry("rtbl", of.now, False)]
    assert shown_lists(of.entries("spam"), {}) == both
    assert shown_lists(of.entries("spam"), {"cme": ListTerms("off")}) == both[1:]


def test_listing_decides_nothing_and_changes_no_account() -> None:
    of, other = Platform(), Platform()
    of.take([of.listed("h2"), of.listed("h3", "rtbl", origin=None)])
    for each in (of, other):
        each.pass_minute(HOUR)
    assert of.decisions == other.decisions == []
    for name in of.honest:
        rows = [
            each.engine.core.row_of(int(each.engine.fanout.accounts.find(pa.array([name]))[0]))
            for each in (of, other)
        ]
        for field in ("enforcement", "strikes", "worst", "flags", "mutual", "sends", "trials"):
            assert rows[0][field] == rows[1][field]


def test_unlisted_account_is_free_at_once() -> None:
    of = Platform()
    of.take([of.listed("spam"), of.listed("spam", entry="*spam*")])
    of.take([of.unlisted("spam", entry=sha("spam"))])
    assert of.delayed_by("spam") == ("cme",)
    of.take([of.unlisted("spam", entry=sha("*spam*"))])
    assert of.entries("spam") == []
    of.take([of.listed("spam"), of.listed("spam", entry="*spam*")])
    of.take([of.unlisted("spam")])
    assert of.entries("spam") == []


def test_server_that_is_listed_names_its_accounts() -> None:
    of = Platform()
    of.take([of.listed("server:p1", entry="spam.example", origin="p1")])
    assert of.delayed_by("someone", "p1") == ("cme",)
    assert of.delayed_by("someone", "p2") == ()
    of.take([of.row("message.sent", "remote", peer="h1", size=9, origin="p1")])
    (slot,) = of.engine.slots_of(["remote"]).values()
    assert [entry.name for entry in of.engine.lists_of("remote", slot, of.now)] == ["cme"]
    of.take([of.unlisted("server:p1", origin="p1")])
    assert of.delayed_by("someone", "p1") == ()


def test_repeated_report_keeps_the_first_date_and_extends_the_entry() -> None:
    of = Platform()
    of.take([of.listed("spam")])
    first_ms = of.now
    of.pass_minute(DAY)
    of.take([of.listed("spam")])
    assert len(of.engine.lists.lists["cme"]) == 1
    assert of.entries("spam") == [ListedEntry("cme", first_ms, True)]
    of.now = first_ms + ENTRY_LIFETIME_MS
    assert of.delayed_by("spam") == ("cme",)
    of.now += DAY
    assert of.delayed_by("spam") == ()


def test_entry_ends_at_the_date_of_its_list() -> None:
    of = Platform()
    of.take([of.listed("spam", until_ms=of.now + HOUR)])
    of.now += HOUR - 1
    assert of.delayed_by("spam") == ("cme",)
    of.now += 1
    assert of.delayed_by("spam") == ()


def test_full_list_takes_a_new_account_only_where_an_entry_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outside_lists, "MAX_NAMED", 2)
    of = Platform()
    of.take([of.listed("first", until_ms=of.now + HOUR), of.listed("second")])
    of.take([of.listed("third")])
    assert of.entries("third") == []
    of.pass_minute(HOUR)
    of.take([of.listed("third")])
    assert set(of.engine.lists.lists["cme"]) == {"second", "third"}


@pytest.mark.parametrize("source", ["appeal", "analyst"])
def test_person_overrides_every_list_for_good(source: str) -> None:
    of = Platform()
    of.take([of.listed("spam")])
    of.take([of.benign("spam", source)])
    assert of.entries("spam") == []
    of.pass_minute(DAY)
    of.take([of.listed("spam", "rtbl")])
    assert of.entries("spam") == []


def test_others_override_no_list() -> None:
    of = Platform()
    of.take([of.listed("spam"), of.benign("spam", "partner")])
    withdrawn = {"label": UNDETERMINED, "source": 0}
    of.take([of.row("label.assigned", "spam", **withdrawn)])
    assert of.delayed_by("spam") == ("cme",)


def test_state_is_the_same_however_the_log_is_cut(tmp_path: Path) -> None:
    whole, cut, restored = Platform(), Platform(workers=3), Platform()
    whole.take([whole.listed("spam")])
    whole.pass_minute()
    rows = [
        *(whole.listed(f"s{n}") for n in range(12)),
        *(whole.listed(f"s{n}", "rtbl") for n in range(12)),
        whole.listed("server:p1", entry="x", origin="p1"),
        whole.benign("s3"),
        whole.unlisted("s4"),
    ]
    first = whole.row("account.listed", "late", list="cme", entry=sha("late"), advice=2)
    whole.take(rows)
    for each, size in ((cut, 1), (restored, 5)):
        each.take([each.listed("spam")])
        each.pass_minute()
        for at in range(0, len(rows), size):
            each.take(rows[at : at + size])
            if each is restored:
                path = tmp_path / "state.snapshot"
                snapshot.save(each.engine, path)
                each.engine = Engine(rules.load_policy(), accounts=4096)
                snapshot.restore(each.engine, path)
    for each in (whole, cut, restored):
        each.now, each.number = whole.now, 10_000
        each.take([first])
        each.pass_minute()
    assert whole.engine.lists.dump().tobytes() == cut.engine.lists.dump().tobytes()
    assert whole.engine.lists.dump().tobytes() == restored.engine.lists.dump().tobytes()
