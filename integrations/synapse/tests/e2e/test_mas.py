"""A real Synapse that leaves accounts to an authentication service, with a real Wavebreak."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from synapse_support.homeserver import run_command
from synapse_support.spam_story import SpamStory, protected
from synapse_support.stub_mas import StubMas, call, provision

STATES_S = 2.0
SEEN_S = 30.0
"""Synapse writes addresses to its table a while later."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpamStory]:
    mas = StubMas()
    home: Path = tmp_path_factory.mktemp("mas")
    with protected(home, extra=mas.settings) as made:
        yield made
    mas.close()


def test_provisioning_is_never_refused_and_is_reported(story: SpamStory) -> None:
    before = story.positions()
    names = [f"many{number}" for number in range(30)]
    for name in names:
        provision(story.server, name, "9.9.7.7")
    codes = [call(story.server, "provision_user", {"localpart": name}) for name in names]
    assert {answer.status_code for answer in codes} == {200}
    story.service.settled(before + 30, 60)
    os.kill(story.service.pid, signal.SIGSTOP)
    try:
        answers = [
            call(story.server, "provision_user", {"localpart": f"late{number}"}).status_code
            for number in range(5)
        ]
    finally:
        os.kill(story.service.pid, signal.SIGCONT)
    assert answers == [201] * 5
    story.service.settled(before + 35, 60)


def test_ban_is_a_suspension_and_a_lift_undoes_it(story: SpamStory) -> None:
    one = provision(story.server, "one", "9.9.6.6")
    two = provision(story.server, "two", "9.9.6.6")
    room = one.direct(two.id)
    story.override(one.id, verdict="abusive")
    time.sleep(STATES_S)
    assert one.send(room, "hi").json()["errcode"] == "M_USER_SUSPENDED"
    assert call(story.server, "provision_user", {"localpart": "one"}).status_code == 200
    story.override(one.id, verdict="benign", by="appeal")
    time.sleep(STATES_S)
    assert one.send(room, "hi").status_code == 200


def test_networks_of_banned_accounts_are_exported_until_a_lift(story: SpamStory) -> None:
    spammers = [provision(story.server, f"spam{n}", f"9.9.9.{n + 1}") for n in range(4)]
    shared = [provision(story.server, f"both{n}", f"9.9.8.{n + 1}") for n in range(8)]
    provision(story.server, "behind", "10.0.0.1")
    banned = [*spammers, *shared[:4]]
    for account in banned:
        story.override(account.id, verdict="abusive")
    query = (
        "SELECT COUNT(DISTINCT user_id) FROM user_ips WHERE ip LIKE '9.9.8.%' OR ip LIKE '9.9.9.%'"
    )
    end = time.monotonic() + SEEN_S
    while story.server.rows(query) != [(12,)]:
        assert time.monotonic() < end, story.server.rows(query)
        time.sleep(0.5)
    config = str(story.server.home / "homeserver.yaml")
    made = run_command("mas-data", "--config", config, "--envelope")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout) == {"data": {"requester": {"banned_ips": ["9.9.9.0/24"]}}}
    assert made.stderr == "1 networks\n"
    for account in spammers[:2]:
        story.override(account.id, verdict="benign", by="appeal")
    made = run_command("mas-data", "--config", config)
    assert json.loads(made.stdout) == {"requester": {"banned_ips": []}}
