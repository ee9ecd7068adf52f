"""Declarations of features that carry evidence: what recipients did, and what an allowance counts.

The values of the four tests are e-values (`sequential_tests`): of honest accounts, those that meet
the policy's floors and ceilings (evidence.toml), at most one in x ever reaches x.
"""

from __future__ import annotations

from wavebreak.features.feature import Feature as F  # noqa: N817 - a table reads better so
from wavebreak.features.feature import WindowedCount as W

_SENT = ("message.sent",)
_COMPLAINTS = ("message.sent", "user.reported|user.blocked")
_TRIAL = (
    "strangers it wrote to first: no earlier chat, no address-book tie, not known to have "
    "registered within a week (as of the last epoch)"
)
_TIES = ("message.sent",)
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
      + ", or added to groups, blocked or reported it than at the ceiling. A complaint weighs by "
      "the credibility and independence of who makes it; an answer speaks for the account.",
      _COMPLAINTS, "people many quarrel with", "senders whom nobody reports"),
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
      "Of them, and of strangers added to groups, those who blocked or reported it.",
      _COMPLAINTS, "none", "none"),
    W(F("unanswered_strangers_1d", "accounts", "evidence", "1d",
        "Strangers written to first in the window, newcomers too, who have not answered: what an "
        "allowance counts. An answer gives the place back; a bucket (96 min) counts up to 255.",
        _SENT, "none", "contacts made first"), "stranger_contact", bucket_max=255),
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
    F("challenges_passed", "challenges", "enforcement", "all", "Challenges passed (at most 255).",
      ("challenge.passed",), "none", "click farms"),
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
      "The same of the complaint test.", (*_TIES, "user.reported|user.blocked"),
      "a tie that is none", "operators whom nobody reports"),
    W(F("requests_refused_7d", "requests", "reports", "7d",
        "Refusals, in the window, of the account's requests for contact. In the tests above they "
        "are strangers who do not answer, no complaints.", ("contact.refused",),
        "people with a name that others do not know", "requests that nobody answers"),
      "request_refused", bucket_max=255),
    F("label_unconfirmed", "0 or 1", "labels", "all",
      "1 after a label `abusive` by a honeypot or a partner, until one of them withdraws it or a "
      "person says `benign`.", ("label.assigned.source",), "lists that name anybody",
      "unlabelled"),
    F("origin_bad", "share", "reputation", "half-life 30 d",
      "As network_bad, of the remote server that the account is on.", _ORIGIN,
      "people on a large open server", "a server of one's own"),
    F("origin_arrivals", "accounts", "reputation", "half-life 1 d",
      "Accounts of the same remote server seen for the first time, as of the last epoch, decayed.",
      _ORIGIN, "a server that has just begun to federate", "a server of one's own"),
    F("origin_answered", "share", "reputation", "half-life 7 d",
      "Of all first contacts that accounts of the same remote server made, whatever their age, the "
      "share answered, drawn to a half by a prior of four, at most 1: (answered + 2) / (opened + "
      "4), as of the last epoch.", _ORIGIN, "people on a large open server",
      "rings that answer"),
)  # fmt: skip
