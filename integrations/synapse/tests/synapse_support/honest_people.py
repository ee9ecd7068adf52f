"""Three hundred honest accounts without numbers, on a real Synapse with a real Wavebreak."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from synapse_support.homeserver import Account
from synapse_support.spam_story import AGENTS, SpamStory, protected

HONEST = 300
ROUNDS = 3
THREADS = 6
WORDS = ("hey", "well", "shall we", "meet", "tomorrow", "at the lake", "or rather", "in town", "ok")


def settle(story: SpamStory, rng: random.Random, people: int) -> list[Account]:
    """Register everybody, each from an address of its own."""
    firsts = (2, 5, 31, 46, 62, 77, 81, 93, 109, 151, 178, 188)
    places = [
        (".".join(map(str, (rng.choice(firsts), *(rng.randrange(1, 250) for _ in range(3))))),
         rng.choice(AGENTS))
        for _ in range(people)
    ]  # fmt: skip

    def register(number: int) -> Account:
        address, agent = places[number]
        return story.server.account(f"h{number:03}", address=address, agent=agent)

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(register, range(people)))


def chat(pair: tuple[Account, Account, list[str]]) -> list[int]:
    """Open a chat that is answered; returns the status of each step."""
    one, other, texts = pair
    answer = one.create(other.id, is_direct=True)
    steps = [answer.status_code]
    if answer.status_code == 200:
        room = answer.json()["room_id"]
        steps += [
            one.send(room, texts[0]).status_code,
            other.join(room).status_code,
            other.send(room, texts[1]).status_code,
            one.send(room, texts[2]).status_code,
        ]
    return steps


def outcomes_of_honest_people(home: Path, *options: str, people: int = HONEST) -> dict[str, int]:
    """Let everybody open chats that are answered; returns how many have each outcome.

    Args:
        home: Where the servers keep their files.
        options: Of the service's command line.
        people: How many there are.
    """
    rng = random.Random(7)
    # A busy machine may be late with an answer; accounts must be made all the same.
    with protected(home, *options, on_failure={"registration": "open"}) as story:
        accounts = settle(story, rng, people)
        steps = []
        for turn in range(1, ROUNDS + 1):
            order = rng.sample(accounts, people)
            pairs = [
                (one, order[(place + turn) % people],
                 [" ".join(rng.choices(WORDS, k=rng.randrange(1, 30))) for _ in range(3)])
                for place, one in enumerate(order)
            ]  # fmt: skip
            with ThreadPoolExecutor(THREADS) as threads:
                steps += [step for each in threads.map(chat, pairs) for step in each]
        end = time.monotonic() + 120
        while story.positions() < people * (1 + ROUNDS * 5) and time.monotonic() < end:
            time.sleep(0.2)
        found = story.outcomes([account.id for account in accounts])
        refused = sum(step != 200 for step in steps)
        return found | ({"refused acts": refused} if refused else {})
