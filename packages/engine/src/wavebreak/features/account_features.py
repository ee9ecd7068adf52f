"""Features of who an account is: age, registration, networks, groups, lookups; and of evidence."""

from __future__ import annotations

from wavebreak.features.descriptions import Feature as F  # noqa: N817 - a table reads better so
from wavebreak.features.descriptions import WindowedCount as W

_REG = ("account.registered",)
_GROUP = ("group.created",)
_ADD = ("group.member_added",)
_LOOK = ("contact.looked_up",)
_NAT = "families and villages behind one carrier address"


def _bad(entity: str, sources: tuple[str, ...], benign: str) -> F:
    return F(
        f"{entity}_bad", "share", "reputation", "half-life 30 d",
        f"Of the accounts established on this {entity} (three mutual contacts, known for six "
        "hours) or acted on there (while messaging, on feedback, by review, by a label `abusive`), "
        "the share of the latter, as of the last epoch, drawn to 0.02 by a prior of twenty: "
        "(bad + 0.4) / (good + bad + 20). A label `benign` takes one off on the entities that the "
        "account had when it was acted on, wherever it is now.",
        sources, benign, f"a fresh {entity} for every account",
    )  # fmt: skip


def _cluster(entity: str, sources: tuple[str, ...], benign: str) -> tuple[F, ...]:
    both = ("account.registered", "message.sent", *sources)
    blind = f"a fresh {entity} for every account, aged accounts"
    return (
        F(f"{entity}_young", "accounts", "clusters", "half-life 7 d",
          f"Registrations on this {entity}, as of the last epoch, decayed.", sources, benign,
          blind),
        F(f"{entity}_cold", "accounts", "clusters", "half-life 1 d",
          f"First contacts to strangers that accounts made on this {entity} within 7 days of their "
          "registration, all together, as of the last epoch, decayed.", both, benign, blind, 2),
        F(f"{entity}_answered", "share", "clusters", "half-life 7 d",
          "Of all first contacts made like that, to strangers or not, the share answered while "
          "the account was still as young, drawn to a half by a prior of four, at most 1: "
          "(answered + 2) / (opened + 4).", both, benign, f"{blind}; rings that answer"),
    )  # fmt: skip


def _arrivals(entity: str, sources: tuple[str, ...], benign: str) -> F:
    return F(
        f"{entity}_arrivals", "accounts", "reputation", "half-life 1 d",
        f"Registrations on this {entity} and moves to it, as of the last epoch, decayed.",
        sources, benign, f"a fresh {entity} for every account",
    )  # fmt: skip


ACCOUNT_FEATURES: tuple[F | W, ...] = (
    F("age_s", "seconds", "account age", "all",
      "Time since the registration; missing when the stream did not show it.", _REG,
      "new people", "aged and bought accounts"),
    F("known_s", "seconds", "account age", "all", "Time since the account's first fact.",
      ("message.sent",), "streams that begin in the middle", "aged and bought accounts"),
    F("attempts", "attempts", "registration", "at registration",
      "Verification attempts of the last registration; missing when not given.",
      ("account.registered.attempts",), "poor reception", "clean verification"),
    F("attested", "0 or 1", "registration", "at registration",
      "1 when the platform attested the device at any registration.",
      ("account.registered.attested",),
      "old or rooted phones", "farms of real phones"),
    F("verification_weak", "0 or 1", "registration", "at registration",
      "1 when the last registration was verified by voice, flash, e-mail or not at all.",
      ("account.registered.verification",), "landlines", "SMS services"),
    F("country_mismatch", "0 or 1", "registration", "at registration",
      "1 when the number's country was not the network's at any registration; missing without an "
      "IP database.",
      ("account.registered.phone", "account.registered.ip"), "travellers, migrants", "proxies"),
    F("channel", "code", "registration", "all",
      "0 personal, 1 business app, 2 business platform: what the registration says. The platform "
      "only where it names the business too, and is the first of an account that has not written, "
      "added anybody or been in a group before; else a person, or as before.",
      ("message.sent",), "firms that come to the platform later, or without a name there",
      "a business that is registered and sends what nobody wants"),
    _bad("network", ("session.started.ip|account.registered.ip",), _NAT),
    _bad("block", ("account.registered.phone",), "ranges of prepaid numbers"),
    _bad("device", ("session.started.device|account.registered.device",), "second-hand phones"),
    _bad("client", ("session.started.client|account.registered.client",), "old versions"),
    _arrivals("network", ("session.started.ip|account.registered.ip",), _NAT),
    _arrivals("block", ("account.registered.phone",), "a carrier's campaign"),
    _arrivals("device", ("session.started.device|account.registered.device",), "shared phones"),
    *_cluster("network", ("session.started.ip|account.registered.ip",), _NAT),
    *_cluster("block", ("account.registered.phone",), "a carrier's campaign"),
    *_cluster("device", ("session.started.device|account.registered.device",), "shared phones"),
    F("device_age_s", "seconds", "changes", "all",
      "Time since the account moved to another device; missing if it never did.",
      ("session.started.device",), "a new phone", "sessions on the old device"),
    F("linked_age_s", "seconds", "changes", "all",
      "Time since a companion device was linked; missing if none was.",
      ("session.started.linked",), "people who buy a laptop", "none linked"),
    F("first_contacts_on_device", "accounts", "changes", "since the last device change or link",
      "First contacts since the last move to another device, or companion link, whichever is "
      "later (at most 255); missing if there was neither.", ("session.started",),
      "a new phone and a new job", "slow takeovers", 2),
    W(F("groups_created_1d", "groups", "groups", "1d", "Groups created in the window.", _GROUP,
      "organisers, teachers", "few, large groups"), "group_created", "created_1d", 255),
    W(F("strangers_added_1d", "members", "groups", "1d",
      "Members added in the window with whom no message was exchanged and who are not known to "
      "have the account in contacts, each once until forgotten.",
      _ADD, "teachers at the start of term", "contacts made first", 2),
      "stranger_added", "strangers_1d"),
    W(F("left_after_add_7d", "members", "groups", "7d",
      "Members who left, in the window, a group to which this account had added them.",
      ("group.left.peer",), "a group that is over", "sticky groups"), "member_left", "left_7d"),
    W(F("lookups_1d", "numbers", "lookups", "1d",
      "Numbers looked up in the window; a bucket (96 min) counts up to 65,535.", _LOOK,
      "address-book sync at registration", "lists checked elsewhere"), "lookup"),
    F("lookup_hit_share_1d", "share", "lookups", "1d",
      "Numbers found over numbers looked up; missing without lookups.",
      ("contact.looked_up.hits",), "old address books", "clean lists"),
    W(F("undeliverable_7d", "messages", "lookups", "7d", "Sends that could not be delivered.",
      ("message.undeliverable",), "old address books", "clean lists"), "undeliverable"),
    F("undeliverable_share_7d", "share", "lookups", "7d",
      "undeliverable_7d over itself plus first_contacts_7d; missing when both are none.",
      ("message.undeliverable",), "old address books", "clean lists"),
    W(F("reports_7d", "reports", "reports", "7d",
      "Reports received in the window, one a reporter until forgotten (180 days).",
      ("user.reported",),
      "victims of mass reports", "silent victims"), "report", bucket_max=255),
    W(F("report_weight_7d", "reports", "reports", "7d",
      "The same, each weighed in 1/256 by the reporter's record as of the last epoch (0.75 for a "
      "stranger, 0 to 2), times 1 for a first contact not answered or a group add, 1/4 where the "
      "reporter had written to the reported, 1/64 where the reported neither wrote to the reporter "
      "nor added it (the first sixteen such reports in a week: more add nothing); 1/4 of it where "
      "the reporter registered within an hour of one of the last four who reported with proof "
      "and had no answer yet.",
      ("user.reported",), "quarrels", "silent victims", version=2), "report_weight", per=256),
    W(F("unproven_reports_7d", "reports", "reports", "7d",
      "Reports in the window by accounts the reported never wrote to nor added.",
      ("user.reported",), "group senders", "none"), "unproven_report", "unproven_7d", 255),
    W(F("blocks_7d", "blocks", "reports", "7d",
      "Blocks received in the window, one a blocker until unblocked or forgotten (180 days).",
      ("user.blocked",),
      "quarrels", "silent victims"), "block", bucket_max=255),
    W(F("block_weight_7d", "blocks", "reports", "7d",
      "The same, weighed like reports; nothing without proof.",
      ("user.blocked",), "quarrels", "silent victims", version=2), "block_weight", per=256),
    F("blind_reports", "reports", "reports", "all",
      "Reports made of accounts that had not opened a chat with the reporter, by one that had no "
      "chat which another began or answered, and had been in no group (created, joined, added to, "
      "added others or written in); reports of one account, one after the other, once (at most "
      "255); none of an account that was challenged or worse as of the last epoch, whose messages "
      "may have been refused.", ("user.reported", "group.member_added|group.joined"),
      "people who report what they saw outside the messenger, in a log that has just begun",
      "reporters who join a group first, or chat among themselves"),
    F("accused_last", "reports", "reports", "the account's last blind report",
      "Of the account that it reported last as counted in blind_reports: such reports of it, that "
      "day (UTC) and the day before, as of the last epoch (at most 255; of one account's reports "
      "the first three).", ("user.reported", "group.member_added|group.joined"),
      "people who report an account named in the news", "few reporters, far apart"),
    F("enforcement_level", "code", "enforcement", "now",
      "Outcome in force: 0 allow, 1 observe, 2 challenge, 3 limit, 4 restrict, 5 suspend, 6 ban.",
      ("message.sent",), "none", "none", 2),
    F("strikes", "decisions", "enforcement", "all", "Restrictions or worse so far (at most 255).",
      ("message.sent",), "none", "fresh accounts"),
    F("refused", "events", "enforcement", "all",
      "Events that enforcement refused, or would have refused in shadow mode.", ("message.sent",),
      "people who try again", "probers who stop at once"),
    F("label_abusive", "0 or 1", "labels", "all", "1 after a person's label `abusive`.",
      ("label.assigned",), "wrong labels", "unlabelled", 2),
    F("label_benign", "0 or 1", "labels", "all", "1 after a person's label `benign`.",
      ("label.assigned",), "none", "unlabelled", 2),
)  # fmt: skip

# Evidence: what recipients did, and what an allowance counts. The values of the four tests are
# e-values (`sequential_tests`): of honest accounts, those that meet the policy's floors and
# ceilings (evidence.toml), at most one in x ever reaches x.

_SENT = ("message.sent",)
_COMPLAINTS = ("message.sent", "user.reported|user.blocked")
_TRIAL = (
    "strangers it wrote to first: no earlier chat, no address-book tie, not known to have "
    "registered within a week (as of the last epoch)"
)
_TIES = ("message.sent",)
_CALLED = ("call.started",)
_MENTIONED = ("message.sent.mentions", "message.sent.joined_s")
_ORIGIN = ("message.sent.origin|contact.requested.origin",)
_OPERATOR = "that seem to be of the same operator (`linking`)"

EVIDENCE_FEATURES: tuple[F | W, ...] = (
    F("unanswered_evidence", "times", "evidence", "all, with restarts",
      "E-value of the reply test: how many times likelier it is that so few of the " + _TRIAL +
      " answered, at a half or a quarter of the floor than at the floor; half the greater of an "
      "early test (1.6 to 3.2 hours) and one of a day. Only contacts whose time is up count.",
      _SENT, "couriers and others whose strangers need not answer: give them a lane",
      "senders who are answered"),
    F("complaint_evidence", "times", "evidence", "all, with restarts",
      "E-value of the complaint test: how many times likelier it is that so many of the " + _TRIAL
      + ", or added to groups, blocked or reported it, or did not know it, than at the ceiling. A "
      "complaint weighs by the credibility and independence of who makes it.",
      _COMPLAINTS, "people many quarrel with", "senders whom nobody reports"),
    F("reaction_evidence", "times", "evidence", "all, with restarts",
      "The same among first reactions of those strangers: a reaction is an answer or a complaint, "
      "whichever comes first. Silence is none.",
      _COMPLAINTS, "people whom strangers find rude", "senders who are answered"),
    F("later_complaint_evidence", "times", "evidence", "all, with restarts",
      "The same among those strangers who had answered: complaints after the answer.",
      _COMPLAINTS, "dating, selling", "senders who are never found out"),
    F("unwanted_evidence", "times", "evidence", "all, with restarts",
      "The greatest of complaint_evidence, reaction_evidence and later_complaint_evidence.",
      _COMPLAINTS, "dating, selling", "senders who are answered and never found out"),
    F("leave_evidence", "times", "evidence", "all, with restarts",
      "E-value of the leave test: strangers added to groups who left them, against the ceiling.",
      ("group.left.peer",), "a group that is over", "sticky groups"),
    F("undeliverable_evidence", "times", "evidence", "all, with restarts",
      "E-value of the undeliverable test: first messages to strangers that reached nobody, against "
      "the ceiling.", ("message.undeliverable",), "old address books", "clean lists"),
    F("stranger_contacts", "accounts", "evidence", "all, with restarts",
      "The " + _TRIAL + ".", _SENT, "none", "rings of newcomers"),
    F("stranger_answers", "accounts", "evidence", "all, with restarts",
      "Of them, and of strangers added to groups, those who have answered.", _SENT, "none", "none"),
    F("stranger_complaints", "accounts", "evidence", "all, with restarts",
      "Of them, and of strangers added to groups, those who blocked or reported it, or declined "
      "it as somebody whom they do not know. Of those who know each other (messages both ways, or "
      "one device) one counts.",
      _COMPLAINTS, "none", "none", 2),
    W(F("unanswered_strangers_1d", "accounts", "evidence", "1d",
        "Strangers written to first in the window, newcomers too, who have not answered: what an "
        "allowance counts, but for whom a relation of before spares the place (docs/adr/0019). An "
        "answer gives the place back, but not that of a newcomer whom more than two young accounts "
        "approached in two days; a bucket (96 min) counts up to 255.",
        _SENT, "newcomers who all meet", "contacts made first, members of small groups", 3),
      "stranger_contact", bucket_max=255),
    W(F("strangers_contacted_1h", "accounts", "evidence", "1h",
        "Strangers written to first in the window, newcomers too, answered or not, but for whom a "
        "relation of before spares the place (docs/adr/0019). A bucket (4 min) counts up to 255.",
        _SENT, "a new number told to all at once", "slow senders, members of small groups", 2),
      "stranger_contact",
      bucket_max=255),
    W(F("answers_of_strangers_1h", "accounts", "evidence", "1h",
        "Strangers written to first, whenever, who took a place and whose first answer came in the "
        "window, less newcomers whom more than two young accounts approached in two days. A bucket "
        "(4 min) counts up to 255.",
        _SENT, "accomplices who are no newcomers", "newcomers who answer each other", 3),
      "stranger_answer", bucket_max=255),
    F("first_contact_allowance_1h", "accounts", "evidence", "1h",
      "Unanswered strangers that the account may contact within an hour: the row of `[allowances]` "
      "in actions.toml for its lane, else its server if a tenth of that was found abusive, else "
      "its channel; in the first week after registration `newcomers`, later `others`, and what it "
      "has earned. Missing on the business platform.",
      _SENT, "none", "none"),
    W(F("strangers_written_15s", "accounts", "first contacts", "15s",
        "Accounts written to first in the window of whom it is known that they did not have the "
        "sender in contacts, by the message or an earlier event. A bucket (1 s) counts up to 255.",
        ("message.sent.in_contacts",), "a new number that nobody has yet, told to all at once",
        "messages of which it is not told who has whom in contacts"), "known_stranger",
      bucket_max=255),
    F("recipients_on_device", "accounts", "changes", "since the last device change or link",
      "Accounts written to since the last move to another device, or companion link, each once, "
      "whoever they are (at most 255); missing if there was neither.", ("session.started",),
      "a new phone and much to tell", "slow takeovers"),
    F("attempts_after_notice", "attempts", "enforcement", "all",
      "Refused first messages and requests, to people whom it had not just tried, later than two "
      "hours after its first limit or worse: by then it has been notified (at most 65,535).",
      ("message.sent",), "clients that repeat by themselves", "senders who stop"),
    F("operator_accounts", "accounts", "operators", "14d",
      "Other accounts " + _OPERATOR + " (at most 255).", _TIES,
      "people who share a device, or arrived together", "operators without overlap"),
    F("operator_abusive_accounts", "accounts", "operators", "14d",
      "Of them, those found abusive by outside evidence: complaints with proof, or a label.",
      _TIES, "a sibling of an abuser on one device", "operators whom nobody reports"),
    F("operator_unanswered_evidence", "times", "operators", "14d",
      "E-value of the reply test over all accounts " + _OPERATOR + ", itself included, rounded "
      "down to a quarter of a doubling. It bounds nothing for one account: friction alone may rest "
      "on it.", _TIES, "a tie that is none", "operators without overlap"),
    F("operator_complaint_evidence", "times", "operators", "14d",
      "The same of complaints: the greatest of the three tests.",
      (*_TIES, "user.reported|user.blocked"),
      "a tie that is none", "operators whom nobody reports"),
    F("label_unconfirmed", "0 or 1", "labels", "all",
      "1 after a label `abusive` by a honeypot, a partner or a sample, until one of them withdraws "
      "it or a person says `benign`.", ("label.assigned.source",), "lists that name anybody",
      "unlabelled"),
    F("origin_bad", "share", "reputation", "half-life 30 d",
      "As network_bad, of the remote server that the account is on.", _ORIGIN,
      "people on a large open server", "a server of one's own"),
    W(F("mass_mentions_1h", "messages", "groups", "1h",
        "Messages in the window to groups that mention ten people or more, by an account that had "
        "been in the group for less than a day; a bucket counts up to 255.", _MENTIONED,
        "who is asked to speak to a group as soon as it comes", "senders who wait a day",
        resolution_ms=300_000),
      "mass_mention", bucket_max=255),
    W(F("people_mentioned_1d", "people", "groups", "1d",
        "People whom those messages mentioned, each time anew: what an allowance counts of them.",
        _MENTIONED, "who is asked to speak to a group as soon as it comes",
        "senders who wait a day"),
      "mentioned"),
    W(F("group_reports_1d", "reports", "reports", "1d",
        "Reports in the window, one a reporter until forgotten, by accounts that the reported "
        "never wrote to nor added, while it had written to a group within a day.",
        ("user.reported",), "quarrels in a group, false reports", "groups that nobody reports"),
      "group_report", bucket_max=255),
    F("lane", "code", "labels", "all",
      "What an administrator declared the account to be, whose trade is to write first: 0 nothing, "
      "1 courier, 2 clinic, 3 sender of codes, 4 school.", _SENT,
      "firms that nobody has declared", "a declared account that is sold or hijacked"),
    W(F("trap_contacts_28d", "traps", "labels", "28d",
        "Traps to which the account wrote first, whom it asked for contact or called first, in the "
        "window, each once until forgotten: numbers and accounts of nobody, which the operator "
        "declared before the message came.",
        _SENT, "a mistyped number, an old address book", "senders whose lists hold no traps"),
      "trap_contact", bucket_max=255),
)  # fmt: skip
