"""Benign personas: people and firms whose legitimate messaging resembles bulk sending.

Each persona is a hard negative for detection: a row with its accounts and its activities. Only
activities that no parameter describes are code (`activities`, `firms`).
"""

from __future__ import annotations

from wavebreak.durations import HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak_lab.simulation.activities import (
    SHORT,
    Acquaintance,
    Activity,
    Arrival,
    Chats,
    Daily,
    FalseReports,
    FamilyChats,
    Flood,
    OfficeChats,
    People,
    Persona,
    RecoveredAccount,
    Share,
    all_day,
    at_any_time,
    change_networks,
    in_a_row,
    open_classes,
    open_large_groups,
    organise_events,
    post_to_classes,
    post_to_large_groups,
    share_carrier_address,
    share_in_cohort,
    share_office,
    share_phone,
)
from wavebreak_lab.simulation.behaviour import ConversationStyle
from wavebreak_lab.simulation.firms import (
    AppFirm,
    Firms,
    Newsletter,
    OldAccounts,
    Radio,
    Shop,
    SupportDesk,
)
from wavebreak_lab.simulation.newcomers import NewcomerBehaviour

_FAMILY = NewcomerBehaviour(mobile=1.0, first_chats=10.0, attested=0.9)
_COHORT = NewcomerBehaviour(first_chats=5.0, mobile=0.0, attested=0.9)


def _cohort(
    name: str,
    description: str,
    share: Share,
    *,
    size: int = 60,
    within_h: float = 3.0,
    arrival: NewcomerBehaviour = _COHORT,
    acquaintance: Acquaintance | None = None,
) -> Persona:
    source = People((0.05, 0.7), party=size, share=share, within_h=within_h)
    meets = () if acquaintance is None else (acquaintance,)
    return Persona(name, description, (Arrival(arrival), *meets), source)


# fmt: off
_PEOPLE: tuple[Persona, ...] = (
    Persona("new-number", "announces a new number to many people within an hour or two", (
        Arrival(NewcomerBehaviour(
            book=180.0, first_chats=60.0, first_chats_spread=0.35, within=2.0 * HOUR_MS,
            known=0.12, added_back=0.7, answer=0.75, typing=0.5)),
        ), People((0.05, 0.7))),
    Persona("organiser", "organises events: groups, posts, and people asked one by one", (
        Daily((10, 21), (
            Chats((15, 60), 150.0, in_a_row(45 * SECOND_MS, 1.2), known=0.6, silent=0.35,
                  typing=0.8, style=SHORT),
            ), organise_events),
        )),
    Persona("teacher", "posts to many classes a day; parents write, and are written to", (
        Daily((7, 20), (
            post_to_classes,
            Chats((8, 25), 300.0, written=1.0, known=0.4, back=0.9, style=SHORT),
            Chats((4, 14), 300.0, known=0.5, back=0.5, silent=0.15, style=SHORT),
            ), open_classes),
        )),
    Persona("popular-student", "new peers every day from far around, some of whom answer", (
        Daily((9, 24), (
            Chats((10, 26), 2500.0, written=0.4, known=0.5, back=0.5, silent=0.4),
            )),
        )),
    Persona("irc-helper", "helps strangers in large groups; many write first, few are contacts", (
        Daily((8, 24), (
            post_to_large_groups,
            Chats((8, 25), written=1.0, known=0.02, back=0.1, keeps_own=True),
            Chats((2, 8), known=0.05, back=0.02, silent=0.15, keeps_own=True),
            ), open_large_groups),
        )),
    Persona("courier", "announces each stop in a short message that is seldom answered", (
        Daily((9, 18), (
            Chats((60, 140), 1500.0, all_day, known=0.75, back=0.5, silent=0.85, typing=0.3,
                  style=ConversationStyle(length=0.4, length_spread=0.6, characters=18.0)),
            )),
        )),
    Persona("accessibility", "pastes and dictates: never shows the typing indicator",
            (), People(types=False)),
    Persona("family-abroad", "ten people behind one carrier address, half of them new",
            (FamilyChats(), Arrival(_FAMILY)),
            People((0.02, 0.5), new=0.5, party=10, share=share_carrier_address)),
    Persona("victim-of-reports", "reported by a ring for hire", (FalseReports(),)),
    Persona("victim-of-flood", "hundreds of strangers write within hours, as a prank",
            (Flood(),), per_person=0.003),
    Persona("hijack-owner", "owner back in control of a hijacked account", (RecoveredAccount(),)),
    Persona("salesperson", "writes to many known customers a day, by hand or from a template", (
        Daily((9, 17), (
            Chats((20, 90), 800.0, in_a_row(70 * SECOND_MS), known=0.8, silent=0.5, typing=0.6,
                  style=ConversationStyle(length=2.0, characters=90.0, characters_spread=0.5)),
            )),
        )),
    Persona("recruiter", "writes to few strangers a day, who mostly answer", (
        Daily((9, 18), (
            Chats((6, 30), pace=in_a_row(4 * MINUTE_MS), known=0.04, back=0.3, silent=0.45,
                  looks_up=0.5, blocks=0.004),
            )),
        )),
    Persona("greeter", "on a holiday, one pasted greeting to everybody in the address book", (
        Chats((25, 120), 250.0, in_a_row(9 * SECOND_MS), known=0.85, back=0.95, silent=0.4,
              typing=0.1, once=(0.1, 0.8), style=ConversationStyle(
                  length=0.5, length_spread=0.6, characters=60.0, characters_spread=0.05)),
        )),
    Persona("bare-newcomer", "almost empty address book, cheap phone, perhaps a virtual number", (
        Arrival(NewcomerBehaviour(
            book=3.0, book_spread=0.9, found=0.5, first_chats=6.0, known=0.2, added_back=0.4,
            answer=0.8, attested=0.25, retries=0.3, mobile=0.7)),
        ), People((0.02, 0.7), virtual=0.3)),
    Persona("roamer", "changes networks all day, and writes to people met on the way", (
        Daily((6, 24), (
            change_networks,
            Chats((0, 6), 2000.0, at_any_time, known=0.5, back=0.7, silent=0.15),
            )),
        )),
    Persona("shared-phone", "families of three with one phone, half of them new",
            (Arrival(NewcomerBehaviour(book=40.0, first_chats=6.0, attested=0.8)),),
            People((0.02, 0.6), new=0.5, party=3, share=share_phone)),
    Persona("office-nat", "a firm that takes up the messenger, behind one address", (
        Arrival(NewcomerBehaviour(
            book=60.0, first_chats=8.0, within=3.0 * HOUR_MS, mobile=0.0, attested=0.9)),
        OfficeChats(),
        ), People((0.02, 0.6), party=25, share=share_office, within_h=4.0, early=False)),
)

COHORTS: dict[str, Persona] = {persona.name: persona for persona in (
    _cohort("campus", "students who register in the first evening of term, on the campus network",
            share_in_cohort(12), size=120, acquaintance=Acquaintance(120, (4, 25))),
    _cohort("roll-out", "staff whom a firm enrols behind one address, on phones of one model",
            share_in_cohort(models=2), size=80, within_h=6.0,
            acquaintance=Acquaintance(80, known=0.5, silent=0.15)),
    _cohort("camp", "families of a camp or shelter: one line, old phones, empty address books",
            share_in_cohort(models=6), within_h=8.0, acquaintance=Acquaintance(60, silent=0.35),
            arrival=NewcomerBehaviour(
                book=6.0, found=0.5, first_chats=7.0, known=0.15, attested=0.3, retries=0.4,
                mobile=0.2)),
    _cohort("event", "visitors of a fair who register there and write to many whom they just met",
            share_in_cohort(4), size=100,
            acquaintance=Acquaintance(100, (6, 40), 0.05, 0.45, over_h=6.0)),
    _cohort("sim-promotion", "buyers of a carrier's SIM cards on one day: neighbouring numbers",
            share_in_cohort(0, width=2000), within_h=12.0, arrival=NewcomerBehaviour(
                first_chats=10.0, mobile=1.0, known=0.2, attested=0.8)),
)}
"""Cohorts by name: people who register together, and look like an operator's accounts then."""


def _firm(
    name: str, about: str, activity: Activity, channel: str = "business_app", client: str = ""
) -> Persona:
    # With more firms, people would write to firms more than to people.
    return Persona(name, about, (activity,), Firms(channel, client), 0.003)


_BUSINESSES: tuple[Persona, ...] = (
    _firm("support-desk", "answers strangers who write first; never writes first", SupportDesk()),
    _firm("shop", "answers orders, and notifies customers later", Shop()),
    _firm("newsletter", "one template a day to readers who consented before", Newsletter(),
          "business_platform", "platform/19.0"),
    Persona("radio", "listeners write within an hour; it answers some", (Radio(),), OldAccounts(),
            0.003),
)

APP_FIRMS: dict[str, Persona] = {persona.name: persona for persona in (
    _firm("app-shop", "catalogue, quick replies, and news twice a week to people who saved its "
          "number", AppFirm(
              (9, 20), asked=(25, 70), catalogue=0.25, writes=(3, 12), broadcasts=0.3)),
    _firm("clinic", "reminds tomorrow's patients one after the other", AppFirm(
        writes=(30, 90), gap_s=20.0, known=0.35, silent=0.55, blocks=0.003, reports=0.0005)),
    _firm("school-office", "parents write in the morning, and notices go to all of them", AppFirm(
        (7, 16), asked=(10, 40), writes=(5, 25), gap_s=60.0, known=0.6, silent=0.4, blocks=0.001,
        reports=0.0002, broadcasts=0.4, audience=(80, 256))),
    _firm("app-courier", "announces its stops; few have its number, most are silent", AppFirm(
        (8, 19), asked=(3, 15), writes=(60, 140), known=0.2, silent=0.8, reach=1500.0)),
    _firm("plumber", "one person with a van, who answers when there is time", AppFirm(
        (7, 20), asked=(4, 15), quick=0.15, away=0.4, writes=(2, 8), known=0.4, silent=0.3,
        blocks=0.002, reports=0.0003)),
    _firm("estate-agent", "writes to people that left their number at a portal", AppFirm(
        (9, 19), asked=(8, 30), catalogue=0.2, writes=(10, 40), known=0.15, blocks=0.015,
        reports=0.002, broadcasts=0.1, audience=(30, 120))),
    _firm("campaign-office", "a candidate's office that writes to people who signed up", AppFirm(
        (9, 21), asked=(5, 25), writes=(40, 120), gap_s=25.0, known=0.15, silent=0.75,
        blocks=0.02, reports=0.003, broadcasts=0.3, audience=(60, 256))),
)}
# fmt: on
"""Firms on the business app by name."""

PERSONAS: dict[str, Persona] = {
    persona.name: persona for persona in (*_PEOPLE[:3], *_BUSINESSES, *_PEOPLE[3:])
}
"""Personas of a simulated day by name, in the order of adversaries.md; those most like attackers
from salesperson on."""

EVERY_PERSONA: dict[str, Persona] = PERSONAS | COHORTS
"""Personas of a simulated day, and cohorts."""
