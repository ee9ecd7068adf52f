"""A rule that asks for requests, from its file to what its decision does and says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.parity_streams import DAY, HOUR, MINUTE, START, Row, log
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.engine.decision import Decision
from wavebreak.errors import PolicyError
from wavebreak.features.layout import BARRED
from wavebreak.outcomes import OUTCOMES, code_of
from wavebreak.rules import describe_rule
from wavebreak.schema.events import TYPES, UNDETERMINED

RULE = """
[[rule]]
id = "new_account_writes_to_many"
about = "More first messages within an hour than a new account's friends are."
source = "A test of the outcome request."
abuse = "bulk"
basis = "doubt"
stage = "messaging"
mode = "enforce"
on = ["sent"]
when = ["strangers_contacted_1h >= 5"]
outcome = "request"
for = "6h"
fires_on = [{ strangers_contacted_1h = 5 }]
stays_quiet_on = [{ strangers_contacted_1h = 4 }]
"""


def policy(directory: Path, text: str = RULE) -> rules.Policy:
    (directory / "rules").mkdir()
    (directory / "rules" / "local.toml").write_text(text)
    return rules.load_policy(directory)


def first_messages(count: int) -> list[Row]:
    return [
        {"id": f"m{n}", "ts": START + n * MINUTE, "type": TYPES.index("message.sent"),
         "account": "a", "peer": f"p{n}", "in_contacts": False}
        for n in range(count)
    ]  # fmt: skip


def engine(directory: Path) -> Engine:
    return Engine(policy(directory), enforce=True, accounts=64)


def decided(of: Engine, rows: list[Row]) -> list[Decision]:
    return [decision for decision in of.take(log(rows)) if decision.account == "a"]


def test_a_rule_asks_for_requests_that_refuse_nothing(tmp_path: Path) -> None:
    of, refused = engine(tmp_path), 0
    decisions: list[Decision] = []
    for segment in of.fanout.segments(log(first_messages(8))):
        decisions += of.advance(segment)
        refused += int((segment.results & BARRED > 0).sum())
    [decision] = [d for d in decisions if d.outcome == "request"]
    assert (decision.rules[0], decision.action) == ("new_account_writes_to_many", "request")
    assert decision.until == decision.ts // 1000 * 1000 + 6 * HOUR
    assert refused == 0


def test_a_limit_replaces_requests_and_time_ends_them(tmp_path: Path) -> None:
    of = engine(tmp_path)
    assert [d.outcome for d in decided(of, first_messages(5))][-1] == "request"
    label = TYPES.index("label.assigned")
    person = {"id": "l", "ts": START + HOUR, "type": label, "account": "a", "hold_s": 60,
              "label": UNDETERMINED, "source": 0, "outcome": code_of("limit")}  # fmt: skip
    assert [d.outcome for d in decided(of, [person])] == ["limit"]
    quiet = {"id": "s", "ts": START + DAY, "type": TYPES.index("session.started"), "account": "a"}
    decided(of, [quiet])
    slot = int(of.fanout.accounts.find(log([quiet]).column("account"))[0])
    assert OUTCOMES[int(of.core.row_of(slot)["enforcement"])] == "allow"


def test_a_rule_of_requests_says_for_how_long(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="for"):
        policy(tmp_path, RULE.replace('for = "6h"\n', ""))


def test_description_names_the_outcome(tmp_path: Path) -> None:
    rule = next(r for r in policy(tmp_path).rules if r.id == "new_account_writes_to_many")
    assert "request" in describe_rule(rule)


def test_local_actions_of_an_earlier_version_still_load(tmp_path: Path) -> None:
    shipped = Path(str(rules.__file__)).parents[1] / "policy" / "actions.toml"
    text = shipped.read_text("utf-8")
    earlier = re.sub(r"\[\[action\]\]\nid = \"request\".*?\n\n", "", text, flags=re.DOTALL)
    assert len(earlier) < len(text)
    (tmp_path / "actions.toml").write_text(earlier)
    assert rules.load_policy(tmp_path).actions["request"].outcome == "request"
