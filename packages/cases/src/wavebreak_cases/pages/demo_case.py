"""A small case for the demo and for tests, built by the functions that the console's forms call.

Its companies are invented, its addresses are of reserved domains, and nobody in it is a person.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from msgspec import UNSET

from wavebreak.durations import DAY_MS, HOUR_MS
from wavebreak_cases.bundles import case_steps, evidence_intake
from wavebreak_cases.bundles.pseudonyms import case_key, make_renamer
from wavebreak_cases.bundles.workspace import CaseWorkspace, open_workspace
from wavebreak_cases.cases import case
from wavebreak_cases.cases.date_ranges import format_instant, parse_date
from wavebreak_cases.cases.notices import Delivery
from wavebreak_cases.cases.parties import (
    Basis,
    DateSource,
    Evidence,
    Link,
    Party,
    Relation,
    Strength,
)
from wavebreak_cases.claims.exhibits import Actor, add_file
from wavebreak_cases.claims.review import add_label
from wavebreak_cases.pages.apps import CaseStore, current_store
from wavebreak_server.http.app_context import run_background_query
from wavebreak_server.pipeline.service import Service
from wavebreak_server.storage.models import Decision, EnforcementState

CASE_ID = "C-2026-1"
LOOK_S = 1.0
"""Seconds between two looks for an account that the case can be about."""
QUIET_LOOKS = 10
"""Looks without a new decision after which the case is about a limited account: none is banned."""
_PAGE = """<!doctype html>
<html lang="en"><head><title>Rapid Reach: bulk messaging without limits</title>
<meta property="article:published_time" content="2020-03-04T08:00:00Z"></head><body>
<h1>Rapid Reach</h1>
<p>Your messages, on every phone in the country.</p>
<p>We send bulk WhatsApp messages: 80,000 a day from our own numbers, from $99.</p>
<p>No opt-in needed, no ban: when a number is blocked, the next one takes over.</p>
<p>Founded in 2017. We sponsor the local chess club.</p>
<p>Order: sales@rapid-reach.example, or call +972 3 555 0100.</p>
</body></html>
"""
_HEBREW = """<!doctype html>
<html lang="he" dir="rtl"><head><title>הודעות מהירות</title></head><body>
<h1>הודעות מהירות</h1>
<p>אנחנו שולחים הודעות וואטסאפ בתפוצה המונית: 20,000 הודעות ביום, בלי חסימות.</p>
<p>מחיר: 690 ₪ לחודש. פנו אלינו: office@rapid-msg.example</p>
</body></html>
"""
_RECEIPT = """Delivery receipt 4471
To: Rapid Reach Ltd
Handed over at the reception.
"""


class DemoCase:
    """Builds the case step by step; each step is a few hours after the one before."""

    def __init__(self, store: CaseStore, case_id: str, end_ms: int) -> None:
        self.store, self.case_id, self._now = store, case_id, end_ms - 20 * DAY_MS

    def clock(self) -> int:
        """Return the time of the next step."""
        self._now += HOUR_MS
        return self._now

    def build(self, account: str, investigator: str) -> Path:
        """Build the case; return its directory."""
        path = self.store.directory / self.case_id
        opened = open_workspace(
            path, self.store.signer, self.clock, secrets.token_bytes, new=self.case_id
        )
        with opened as at, tempfile.TemporaryDirectory(prefix="wavebreak-demo-") as place:
            self._build(at, Path(place), account, investigator)
        return path

    def _build(self, at: CaseWorkspace, place: Path, account: str, investigator: str) -> None:
        me = {"by": investigator, "role": "counsel"}
        actor = Actor(investigator, "demo", "bulk messaging offered in public", "demo")
        at.take(
            case.CaseOpened(
                "Rapid Reach: bulk messages from own numbers",
                "A company offers 80,000 messages a day in public, and accounts tied to it send.",
            ),
            **me,
            why="Three reports by account holders name the same sender.",
        )
        at.take(
            case.PartyNamed(
                Party(
                    "P1",
                    "company",
                    "Rapid Reach Ltd",
                    ("Rapid Reach",),
                    ("rapid-reach.example",),
                    ("+97235550100",),
                    ("RapidSender",),
                    ("https://rapid-reach.example/prices",),
                )
            ),
            **me,
        )
        at.take(
            case.PartyNamed(Party("P2", "company", "הודעות מהירות בע״מ", ("Rapid Messages",))), **me
        )
        at.take(
            case.PartyNamed(
                Party("P3", "company", "Rapid-Reach Limited", (), ("www.rapid-reach.example",))
            ),
            **me,
        )
        at.take(
            case.StateChanged("investigating"), **me, why="The offer is public and names a price."
        )
        self._exhibits(at, place, actor)
        evidence_intake.relate_parties(
            at,
            Relation("P2", "P1", "reseller", Strength.MODERATE, "E2"),
            **me,
            why="The page names the same telephone line.",
        )
        hidden = make_renamer(case_key(self.store.secret, at.case.id))("a", account)
        at.take(
            case.AccountLinked(Link("P1", hidden, Basis.NUMBER, Strength.MODERATE, "E1")),
            **me,
            why="The page gives the number that the account registered with.",
        )
        self._evidence(at, me)
        self._notice(at, me)
        evidence_intake.prepare_determination(
            at, "P1", None, self.store.policy, **me, why="The answer is due; the facts are in."
        )
        at.take(
            case.TaskAdded(
                case.Task("T1", "Order the cheapest package as a test", self._now + 25 * DAY_MS)
            ),
            **me,
        )
        at.take(
            case.TaskAdded(
                case.Task("T2", "Ask the register for the owners of P2", self._now + 29 * DAY_MS)
            ),
            **me,
        )

    def _exhibits(self, at: CaseWorkspace, place: Path, actor: Actor) -> None:
        for name, page, title, reason in (
            ("english", _PAGE, "Price page of Rapid Reach", "It offers 80,000 messages a day."),
            ("hebrew", _HEBREW, "עמוד המחירים", "It offers 20,000 messages a day."),
        ):
            taken = format_instant(self.clock())
            add_file(
                page.encode(), place / name, actor, taken, source=f"{title}, saved in a browser"
            )
            add_label(place / name, "claim", actor, taken, reason)
            evidence_intake.add_claim_exhibit(
                at, place / name, actor, "counsel", title=title, kind="claim"
            )
        receipt = place / "receipt.txt"
        receipt.write_text(_RECEIPT, "utf-8")
        evidence_intake.add_file_exhibit(
            at, receipt, actor, "counsel", title="Delivery receipt", kind="delivery"
        )

    def _evidence(self, at: CaseWorkspace, me: dict[str, str]) -> None:
        for name, party, exhibit, until, strength in (
            ("V1", "P1", "E1", "2021-03", Strength.STRONG),
            ("V2", "P2", "E2", "unknown", Strength.UNKNOWN),
        ):
            evidence = Evidence(
                name,
                party,
                exhibit,
                "off_platform",
                "engaged" if party == "P1" else "assisted",
                parse_date("about November 2019", "UTC"),
                parse_date(until, "UTC"),
                Basis.STATEMENT,
                strength,
                violations=("bulk",),
                began_source=DateSource("person", me["by"], "the page says since when it sends"),
                lasted_source=UNSET
                if until == "unknown"
                else DateSource("person", me["by"], "the copy in a public archive"),
            )
            evidence_intake.add_evidence(at, evidence, **me, why="As the page says it.")
        at.take(case.EvidenceReviewed("V1", True), **me, why="Read in full; the offer is plain.")

    def _notice(self, at: CaseWorkspace, me: dict[str, str]) -> None:
        notice = evidence_intake.draft_notice(
            at,
            "P1",
            "cease_and_desist",
            "en",
            operator="Example Messenger",
            contact="legal@messenger.example",
            days=14,
            policy=self.store.policy,
        )
        sent = case_steps.sent_notice(at.case, notice, notice.sent, "E3")
        at.take(case.NoticeSent(sent), **me, why="Handed over by a delivery service.")
        delivery = Delivery(
            "N1", self.clock(), "delivery service, signed for at the reception", "E3"
        )
        at.take(case.NoticeDelivered(delivery), **me)
        at.take(case.StateChanged("noticed"), **me, why="The receipt is in.")


def build_demo_case(
    store: CaseStore,
    account: str,
    *,
    case_id: str = CASE_ID,
    investigator: str = "user:investigator",
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> Path:
    """Build the demo's case in a store, about an account; return its directory.

    Args:
        store: Where the case goes; it must not hold one of this id.
        account: The account that is tied to the party, as the events name it.
        case_id: The case's number.
        investigator: Who investigates, as steps name them.
        now_ms: The present; the case began twenty days before.
    """
    return DemoCase(store, case_id, now_ms()).build(account, investigator)


async def build_when_decided(service: Service) -> None:
    """Build the demo's case once the service has banned an account, about that account.

    Where nobody is banned once decisions have ceased, it is about one that is limited. The task
    ends where there is a case already.

    Args:
        service: The service, which runs this in its background.
    """
    store = current_store()
    decided, quiet = 0, 0
    while not (store.directory.is_dir() and any(store.directory.iterdir())):
        newest = await run_background_query(Decision.objects.count)
        quiet = quiet + 1 if newest == decided else 0
        decided = newest
        account = await run_background_query(partial(_newest, "ban"))
        if not account and quiet >= QUIET_LOOKS:
            account = await run_background_query(partial(_newest, "limit"))
        if account:
            await asyncio.to_thread(build_demo_case, store, account)
        await asyncio.sleep(LOOK_S)


def _newest(outcome: str) -> str:
    found = EnforcementState.objects.filter(outcome=outcome).order_by("-decision")
    return found.values_list("account", flat=True).first() or ""
