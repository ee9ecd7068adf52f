"""A small run with a sender and its victims, and a case about it, for tests of cases."""

from __future__ import annotations

import hashlib
import io
from contextlib import AbstractContextManager
from email.message import Message
from pathlib import Path
from typing import Any

from PIL import Image

from support.factories import DAY, HOUR, MINUTE, NOON, events_file
from wavebreak import rules
from wavebreak.engine import run
from wavebreak.ledger import new_signer
from wavebreak.ledger.checkpoints import encode_verifier_key
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_cases.bundles import evidence_intake
from wavebreak_cases.bundles.archive_writer import write_bundle
from wavebreak_cases.bundles.reproduction import RunInputs
from wavebreak_cases.bundles.workspace import CaseWorkspace, open_workspace
from wavebreak_cases.cases.case import (
    AccountLinked,
    CaseOpened,
    DeterminationSigned,
    EvidenceReviewed,
    NoticeDelivered,
    NoticeSent,
    PartyNamed,
    SignerNamed,
    StateChanged,
)
from wavebreak_cases.cases.notices import Delivery
from wavebreak_cases.cases.parties import Basis, Evidence, Link, Party, Strength
from wavebreak_cases.cases.signatures import CaseSigner, sign_determination
from wavebreak_cases.claims.exhibits import Actor, write_exhibit, write_file
from wavebreak_cases.claims.exhibits import Exhibit as ClaimExhibit
from wavebreak_cases.claims.warc import Exchange, encode_warc

KEY = bytes(range(32))
PAGE = (
    '<html><time datetime="2024-02-03">3 February</time>'
    "<p>רפיד: We send bulk messages, 80,000 a day, from $99. Yes, 80,000 a day.</p></html>"
).encode()
PARTY = Party(
    "P1", "company", "Rapid Messages Ltd", ('רפיד הודעות בע"מ',), ("rapid.example",),
    ("+972501234567",), ("RapidSender",), ("https://rapid.example/prices",),
)  # fmt: skip
SHOT, ABOVE, BELOW = (640, 480), (250, 20, 200), (20, 200, 180)
SENDER, OTHER = "+15550100", "other-1"
REPORTS = 6
"""Victims who report a sender: enough that it is slowed once more, few enough to be slowed once."""


def sending(account: str, start: int, count: int, network: str) -> list[dict[str, Any]]:
    """A registration, and a minute later messages to strangers, eight a second; some report."""
    found: list[dict[str, Any]] = [
        {"ts": start, "type": "account.registered", "account": account, "ip": network,
         "phone": "+14155550100", "device": f"d-{account}", "attested": False},
    ]  # fmt: skip
    found += [
        {"ts": start + MINUTE + n * 125, "type": "message.sent", "account": account,
         "peer": f"v{n}", "in_contacts": False}
        for n in range(count)
    ]  # fmt: skip
    found += [
        {"ts": start + 2 * MINUTE, "type": "user.reported", "account": f"v{n}", "peer": account}
        for n in range(REPORTS)
    ]
    return found


def chatting(start: int, pairs: int) -> list[dict[str, Any]]:
    """People who write with each other."""
    return [
        {"ts": start + n * 7_000 + k * 3_000, "type": "message.sent",
         "account": f"p{(n + k) % pairs}", "peer": f"p{(n + 1 - k) % pairs}", "in_contacts": True}
        for n in range(pairs)
        for k in range(2)
    ]  # fmt: skip


def small_run(directory: Path, **options: Any) -> Path:
    """Run over a small log: people, a sender whom a person bans, an hour later another.

    Three decisions on the first sender: two limits, of its messages and of reports, and the ban.
    """
    directory.mkdir(parents=True, exist_ok=True)
    events = [
        *chatting(NOON, 40),
        *sending(SENDER, NOON + 10 * MINUTE, 130, "203.0.113.7"),
        {"ts": NOON + 20 * MINUTE, "type": "label.assigned", "account": SENDER,
         "label": "abusive", "source": "analyst"},
        *chatting(NOON + 30 * MINUTE, 40),
        *sending(OTHER, NOON + HOUR, 120, "203.0.113.9"),
    ]  # fmt: skip
    source = events_file(directory / "events.jsonl", sorted(events, key=lambda e: int(e["ts"])))
    run(source, directory / "run", rules.load_policy(), Pseudonymizer(KEY, None), **options)
    return directory / "run"


def screenshot() -> bytes:
    """A picture of a page in two colours that stand nowhere else: above and below."""
    picture, held = Image.new("RGB", SHOT, ABOVE), io.BytesIO()
    picture.paste(BELOW, (0, SHOT[1] // 2, *SHOT))
    picture.save(held, "PNG")
    return held.getvalue()


class Bench:
    """A case that has everything, in a directory, with a clock and salts of its own."""

    def __init__(self, directory: Path) -> None:
        self.root, self.case = directory, directory / "C-7"
        self.signer = new_signer("example.org/cases", secret=bytes(range(32)))
        self.counsel = new_signer("levi.example", secret=bytes(range(1, 33)))
        self._now, self._salt = NOON + DAY, 0
        self.me: dict[str, str] = {"by": "Noa Bar", "role": "investigator"}
        self.actor = Actor("Noa Bar", "desk-1", "bulk sending", "terms of service")

    def clock(self) -> int:
        """A minute later at each look."""
        self._now += MINUTE
        return self._now

    def wait(self, ms: int) -> None:
        """Let time pass."""
        self._now += ms

    def salts(self, count: int) -> bytes:
        """Bytes that are the same at each run."""
        self._salt += 1
        return hashlib.shake_256(str(self._salt).encode()).digest(count)

    def desk(self, new: str = "") -> AbstractContextManager[CaseWorkspace]:
        """Open the case."""
        return open_workspace(self.case, self.signer, self.clock, self.salts, new=new)

    def claim(self) -> Path:
        """A captured claim with a WARC, as `wavebreak claim` writes it."""
        at, url = "2026-02-20T09:00:00Z", "https://rapid.example/"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
        asked, headers = b"GET / HTTP/1.1\r\nHost: rapid.example\r\n\r\n", Message()
        headers["Content-Type"] = "text/html"
        exchange = Exchange(url, at, "192.0.2.7", asked, head + PAGE, 200, headers, PAGE)
        warc = encode_warc([exchange], {"software": "test"}, at)
        place = self.root / "claim"
        place.mkdir()
        files = (
            write_file(place, "page.warc.gz", warc, "application/warc", "warc"),
            write_file(place, "rendered.html", PAGE, "text/html", "rendered"),
            write_file(place, "screenshot.png", screenshot(), "image/png", "screenshot"),
        )
        about = ClaimExhibit("capture", url, at, files, self.actor)
        write_exhibit(place, about, "captured from the network", "none")
        return place

    def whole(self, run: Path, **given: Any) -> None:
        """Open the case and take it to a signed determination and a notice in two languages."""
        with self.desk("C-7") as at:
            at.take(CaseOpened("Bulk sending by רפיד הודעות", "Eighty thousand a day."), **self.me)
            at.take(PartyNamed(PARTY), **self.me)
            at.take(StateChanged("investigating"), **self.me)
            evidence_intake.add_claim_exhibit(
                at, self.claim(), self.actor, "investigator", title="Price page"
            )
            self.found(at, "E1", "off_platform", Basis.STATEMENT, Strength.STRONG)
            edge = Pseudonymizer(KEY, None)
            taken, about = evidence_intake.add_run_exhibit(
                at,
                run,
                [SENDER],
                RunInputs(None, None, edge, **given),
                KEY,
                self.actor,
                "investigator",
            )
            for account in about.accounts:
                link = Link("P1", account, Basis.NUMBER, Strength.MODERATE, "E1")
                at.take(AccountLinked(link), **self.me)
            tied = evidence_intake.strongest_link(at, "P1", about.accounts)
            assert tied is not None
            self.found(at, taken.id, "on_platform", *tied)
            for language in ("he", "en"):
                words = evidence_intake.draft_notice(
                    at, "P1", "cease_and_desist", language, operator="Example",
                    contact="legal@example.org", days=None, policy=None,
                )  # fmt: skip
                at.take(NoticeSent(words), **self.me)
            receipt = self.root / "receipt.txt"
            receipt.write_text("Delivered on 3 March.")
            proof = evidence_intake.add_file_exhibit(
                at, receipt, self.actor, "investigator", kind="delivery"
            )
            at.take(NoticeDelivered(Delivery("N1", self.clock(), "courier", proof.id)), **self.me)
            at.take(StateChanged("noticed"), **self.me)
            evidence_intake.prepare_determination(at, "P1", None, None, **self.me)
            key = encode_verifier_key(self.counsel.key)
            at.take(SignerNamed(CaseSigner("Adv. Levi", "counsel", key)), **self.me)
            made = at.case.determinations["D1"].value
            signature = sign_determination(self.counsel, at.case.id, "D1", made)
            at.take(DeterminationSigned("D1", signature), by="Adv. Levi", role="counsel")
            at.take(StateChanged("determined"), **self.me)

    def found(
        self, at: CaseWorkspace, exhibit: str, seen: str, basis: Basis, strength: Strength
    ) -> None:
        """Draw evidence from an exhibit, and confirm it."""
        name = at.case.fresh("V")
        dates = evidence_intake.conduct_dates(at, at.case.exhibits[exhibit])
        more: Any = {"accounts": evidence_intake.run_accounts(at, at.case.exhibits[exhibit])}
        more |= dates._asdict() | {"basis": basis, "strength": strength, "kind": seen}
        item = Evidence(
            id=name, party="P1", exhibit=exhibit, conduct="engaged", violations=("bulk",), **more
        )
        evidence_intake.add_evidence(at, item, **self.me)
        at.take(EvidenceReviewed(name, True), **self.me, why="Read in full.")

    def pack(self, name: str = "C-7.zip") -> Path:
        """Pack the case."""
        with self.desk() as at:
            write_bundle(at, self.root / name)
        return self.root / name
