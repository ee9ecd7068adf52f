"""Outside lists: what their word does, what it never does, and what stops one that lies."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support.parity_streams import DAY, HOUR, MINUTE, START, Row, log
from wavebreak import rules
from wavebreak.engine import Engine, snapshot
from wavebreak.engine.decision import Decision
from wavebreak.engine.list_modes import MODES, ListTerms, Mode
from wavebreak.engine.outside_lists import Named
from wavebreak.schema.events import LABELS, SOURCES, TYPES, UNDETERMINED

REFUSE = {name: ListTerms("refuse", "https://keeper.example") for name in ("cme", "rtbl", "copy")}
NOTHING = Named()


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
        self, who: str, name: str = "cme", entry: str = "", advice: Mode = "refuse", **fields: Any
    ) -> Row:
        given = {"list": name, "entry": sha(entry or who), "advice": MODES.index(advice)}
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

    def convict(self, who: str) -> None:
        """Let strangers report an account until the tests of reactions silence it."""
        before = len(self.convictions(who))
        for _ in range(40):
            self.now += 20_000
            stranger = f"{who}-v{self.number}"
            self.take([self.sent(who, stranger)])
            self.take([self.row("user.reported", stranger, peer=who, reason=0)])
            if len(self.convictions(who)) > before:
                break
        self.pass_minute()

    def convictions(self, who: str) -> list[Decision]:
        return [d for d in self.decisions if d.account == who and d.basis == "evidence"]

    def named(self, who: str, *origins: str, terms: Any = REFUSE) -> Named:
        slot = int(self.engine.fanout.accounts.find(pa.array([who]))[0])
        known = 0 <= slot < self.engine.core.accounts
        return self.engine.lists.named(
            who,
            origins,
            self.now,
            terms,
            answered=bool(known and self.engine.core.row_of(slot)["mutual"] >= 3),
        )


def with_record(of: Platform, right: int = 30, wrong: int = 0, name: str = "cme") -> None:
    """Give a list a record of hits that reactions settled."""
    held = of.engine.lists.lists.get(name)
    if held is None:
        of.take([of.listed("first", name)])
        of.pass_minute()
        held = of.engine.lists.lists[name]
    held.convicted, held.answered = right, wrong


def test_listed_stranger_is_delayed_at_once_never_more_than_asked() -> None:
    of = Platform()
    of.take(
        [of.listed("spam"), of.listed("meek", advice="delay"), of.listed("seen", advice="observe")]
    )
    assert of.named("spam") == Named("delay", ("cme",))
    assert of.named("meek") == Named("delay", ("cme",))
    assert of.named("seen") == NOTHING
    assert of.named("spam", terms={}) == NOTHING
    assert of.named("spam", terms={"cme": ListTerms("observe")}) == NOTHING
    assert of.named("spam", terms={"cme": ListTerms("delay")}) == Named("delay", ("cme",))
    assert of.named("other") == NOTHING


def test_list_refuses_once_it_has_a_record_of_thirty_hits() -> None:
    of = Platform()
    of.take([of.listed("spam")])
    of.pass_minute()
    for right, effect in ((29, "delay"), (30, "refuse")):
        with_record(of, right)
        assert of.named("spam").effect == effect
    with_record(of, 14, 16)
    assert of.named("spam").effect == "delay"
    with_record(of, 5, 25)
    assert of.named("spam") == NOTHING


def test_hit_refuses_only_after_the_guards_have_looked() -> None:
    of = Platform()
    with_record(of)
    of.take([of.listed("spam")])
    assert of.named("spam").effect == "delay"
    of.pass_minute()
    assert of.named("spam").effect == "refuse"


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
    assert of.named("spam").effect == "delay"
    of.take([of.unlisted("spam", entry=sha("*spam*"))])
    assert of.named("spam") == NOTHING
    of.take([of.listed("spam"), of.listed("spam", entry="*spam*")])
    of.take([of.unlisted("spam")])
    assert of.named("spam") == NOTHING


def test_server_that_is_listed_names_its_accounts() -> None:
    of = Platform()
    of.take([of.listed("server:p1", entry="spam.example", origin="p1")])
    assert of.named("someone", "p1").effect == "delay"
    assert of.named("someone", "p2") == NOTHING
    of.take([of.unlisted("server:p1", origin="p1")])
    assert of.named("someone", "p1") == NOTHING


def test_repeated_report_counts_once() -> None:
    of = Platform()
    for _ in range(3):
        of.take([of.listed("spam") | {"id": "list:same"}])
    of.take([of.listed("spam")])
    assert len(of.engine.lists.lists["cme"].hits) == 1


def test_entry_ends_by_itself() -> None:
    of = Platform()
    of.take([of.listed("spam", until_ms=of.now + HOUR)])
    assert of.named("spam").effect == "delay"
    of.now += HOUR
    assert of.named("spam") == NOTHING


def test_hit_without_confirmation_is_halved_after_thirty_days() -> None:
    of = Platform()
    with_record(of)
    of.take([of.listed("spam")])
    of.pass_minute()
    effects = []
    for _ in range(3):
        effects.append(of.named("spam").effect)
        of.pass_minute(30 * DAY)
        with_record(of)
        of.take([of.listed("first")])
    assert effects == ["refuse", "delay", "observe"]


def test_silent_source_is_frozen_for_a_week_and_then_decays() -> None:
    of = Platform()
    of.take([of.listed("spam")])
    of.pass_minute(6 * DAY)
    assert of.named("spam").effect == "delay"
    of.pass_minute(9 * DAY)
    assert of.named("spam") == NOTHING
    of.take([of.listed("spam")])
    assert of.named("spam").effect == "delay"


def test_reactions_give_a_list_its_record() -> None:
    of = Platform()
    of.take([of.listed("spam"), of.listed("h5")])
    of.pass_minute()
    assert (of.engine.lists.lists["cme"].convicted, of.engine.lists.lists["cme"].answered) == (0, 1)
    of.convict("spam")
    assert of.convictions("spam")
    assert (of.engine.lists.lists["cme"].convicted, of.engine.lists.lists["cme"].answered) == (1, 1)


def test_echo_of_our_own_conviction_is_no_merit() -> None:
    of = Platform()
    of.take([of.listed("other")])
    of.convict("spam")
    of.take([of.listed("spam"), of.listed("fresh")])
    of.pass_minute(3 * DAY)
    for who in ("spam", "fresh"):
        of.convict(who)
    assert (len(of.convictions("spam")), len(of.convictions("fresh"))) == (2, 1)
    assert of.engine.lists.lists["cme"].convicted == 1


@pytest.mark.parametrize("record", [0, 40])
def test_list_of_five_percent_of_honest_people_refuses_nobody(record: int) -> None:
    of = Platform(groups=250)
    with_record(of, record)
    of.take([of.listed("spam")])
    of.pass_minute()
    named = of.honest[::20]
    assert len(named) == 50
    of.take([of.listed(who) for who in named])
    assert not [who for who in named if of.named(who).effect == "refuse"]
    of.pass_minute()
    held = of.engine.lists.lists["cme"]
    assert held.paused() == "names too many answered accounts"
    assert [of.named(who) for who in (*named, "spam")] == [NOTHING] * 51
    # An administrator who has looked may let it act again; it is paused again if it gets worse.
    # Its record says then what its word is worth.
    again, effect = {"cme": ListTerms("refuse", "", of.now)}, "delay" if record else "observe"
    assert {of.named(who, terms=again).effect for who in (*named, "spam")} == {effect}
    of.take([of.listed(who) for who in of.honest[1::20]])
    of.pass_minute()
    assert of.named("spam", terms=again) == NOTHING


def test_broad_entry_is_dropped_and_the_list_goes_on() -> None:
    of = Platform(groups=50)
    of.take([of.listed("spam"), *(of.listed(who, entry="@h*") for who in of.honest[:20])])
    of.pass_minute()
    assert of.named("h4") == NOTHING
    assert of.named("spam").effect == "delay"
    of.take([of.listed("h4", entry="@h*")])
    assert of.named("h4") == NOTHING


def test_server_with_answered_accounts_is_no_entry() -> None:
    of = Platform()
    remote = [f"r{n}" for n in range(4)]
    of.take(of.sent(a, b) | {"origin": "p1"} for a in remote for b in remote if a != b)
    of.take([of.listed("server:p1", entry="big.example", origin="p1")])
    assert of.named("r9", "p1").effect == "delay"
    of.pass_minute()
    assert of.named("r9", "p1") == NOTHING


def test_list_that_grows_by_a_fifth_in_a_day_is_paused() -> None:
    of = Platform()
    of.take([of.listed(f"s{n}") for n in range(60)])
    of.pass_minute()
    of.pass_minute(DAY)
    of.take([of.listed(f"t{n}") for n in range(12)])
    of.pass_minute()
    assert of.named("s1").effect == "delay"
    of.take([of.listed("one-more")])
    of.pass_minute()
    assert of.engine.lists.lists["cme"].paused() == "grew too fast"
    assert of.named("s1") == NOTHING


def test_copied_list_has_no_weight_of_its_own() -> None:
    of = Platform()
    of.take([of.listed(f"s{n}") for n in range(20)])
    of.pass_minute()
    of.take([of.listed(f"s{n}", "copy") for n in range(19)] + [of.listed("mine", "copy")])
    of.pass_minute()
    for name in ("cme", "copy"):
        with_record(of, 40, name=name)
    assert of.engine.lists.lists["copy"].copy_of == "cme"
    assert of.named("mine") == Named("delay", ("copy",))
    assert of.named("s1") == Named("refuse", ("cme",))


@pytest.mark.parametrize("source", ["appeal", "analyst"])
def test_person_overrides_every_list_for_good(source: str) -> None:
    of = Platform()
    of.take([of.listed("spam")])
    of.take([of.benign("spam", source)])
    assert of.named("spam") == NOTHING
    of.pass_minute(40 * DAY)
    of.take([of.listed("spam", "rtbl")])
    assert of.named("spam") == NOTHING


def test_others_override_no_list() -> None:
    of = Platform()
    of.take([of.listed("spam"), of.benign("spam", "partner")])
    withdrawn = {"label": UNDETERMINED, "source": 0}
    of.take([of.row("label.assigned", "spam", **withdrawn)])
    assert of.named("spam").effect == "delay"


def test_answered_account_is_delayed_and_not_refused() -> None:
    of = Platform()
    with_record(of)
    of.take([of.listed("h5"), of.listed("spam")])
    of.pass_minute()
    assert of.named("spam").effect == "refuse"
    assert of.named("h5").effect == "delay"


def test_state_is_the_same_however_the_log_is_cut(tmp_path: Path) -> None:
    whole, cut, restored = Platform(), Platform(workers=3), Platform()
    whole.take([whole.listed("spam")])
    whole.pass_minute()
    rows = [
        *(whole.listed(f"s{n}") for n in range(12)),
        *(whole.listed(f"s{n}", "copy") for n in range(12)),
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
