"""Features of what an account sends: volume, first contacts, replies, rhythm, typing, sizes."""

from __future__ import annotations

from wavebreak.features.descriptions import Feature as F  # noqa: N817 - a table reads better so
from wavebreak.features.descriptions import WindowedCount as W

_SENT = ("message.sent",)
_TYPED = ("message.sent", "typing.started")
_SIZED = ("message.sent", "message.sent.size")
_BUSY = "organisers, busy shops, couriers"
_NEW = "a new number telling everyone, organisers, couriers"
_SHARD = "an operator that spreads its volume over many accounts"
_STAGED = "senders that write to few strangers a day"

_VOLUME = tuple(
    W(F(f"sends_{w}", "messages", "volume", w,
      f"Messages sent in the window {w}, one-to-one and group; a broadcast send with the ts of the "
      "newest send before it is that same send."
      + {"15s": " A bucket (1 s) counts up to 255.", "5m": " A bucket (20 s) counts up to 255."}
      .get(w, ""), _SENT, _BUSY, _SHARD), "send", bucket_max=255 if w in ("15s", "5m") else 65_535)
    for w in ("15s", "5m", "1h", "1d", "7d")
)  # fmt: skip

_FIRST = tuple(
    W(F(f"first_contacts_{w}", "accounts", "first contacts", w,
      "Accounts written to, or asked for contact, in the window with whom no message or request "
      "was exchanged before, either way; what was known of an account is forgotten after 180 days "
      "(386 buckets of the 7-day window) "
      "without a message, address-book tie, add, report or block between the two.",
      _SENT, _NEW, _STAGED), "first_contact", f"first_{w}", 255 if w == "1h" else 65_535)
    for w in ("1h", "1d", "7d")
)  # fmt: skip

MESSAGE_FEATURES: tuple[F | W, ...] = (
    *_VOLUME,
    W(F("peers_1d", "accounts", "volume", "1d",
      "Distinct accounts written to one-to-one in the window; an account counts in the bucket of "
      "the last send to it.", _SENT, _BUSY, _SHARD), "distinct_peer"),
    W(F("group_sends_1d", "messages", "volume", "1d", "Messages sent to groups in the window.",
      _SENT, "teachers, IRC helpers", "one-to-one senders"), "group_send"),
    *_FIRST,
    F("first_contact_share_1d", "share", "first contacts", "1d",
      "first_contacts_1d over sends_1d; missing without sends.", _SENT, _NEW,
      "senders who pad with chat among themselves"),
    F("cold_share_32", "share", "in contacts", "last 32 first contacts",
      "Share of the last 32 first contacts with `in_contacts` given whose recipient did not have "
      "the sender in contacts, then or as an earlier event said.", ("message.sent.in_contacts",),
      "people who change their number", "lists bought with mutual contacts", 2),
    F("started_chats", "accounts", "first contacts", "all",
      "First contacts of the account's whole life.", _SENT, "old, busy accounts", _STAGED),
    F("started_share", "share", "reciprocity", "all",
      "Chats started by the account over all chats (started by it or by the peer); missing before "
      "the first.", _SENT, _NEW, "senders lured into answering"),
    W(F("replied_7d", "accounts", "replies", "7d",
      "Of the accounts first contacted in the window, those that have answered since.", _SENT,
      "none: answers speak for the account", "rings that answer each other"), "reply"),
    F("reply_share_7d", "share", "replies", "7d",
      "replied_7d over first_contacts_7d; missing without first contacts.", _SENT,
      "couriers, announcements that need no answer", "reply-ratio shaping, rings"),
    F("unanswered_7d", "accounts", "replies", "7d", "first_contacts_7d less replied_7d.", _SENT,
      "announcements of a new number", _STAGED),
    F("one_way_run", "messages", "replies", "since the last message received",
      "Messages sent one-to-one since a message last came in from anyone (at most 65,535).",
      _SENT, "couriers", "one confederate who answers"),
    F("mutual_contacts", "accounts", "reciprocity", "all",
      "Accounts with whom messages went both ways, or a request for contact was accepted, counted "
      "once until forgotten.", _SENT,
      "none: it speaks for the account", "rings"),
    F("inbound_chats", "accounts", "reciprocity", "all", "Chats that the peer started.", _SENT,
      "none: receiving never counts against the receiver", "rings"),
    F("reciprocity", "ratio", "reciprocity", "all",
      "Messages received one-to-one over messages sent one-to-one, whole life; missing before the "
      "first send.", _SENT, "couriers", "rings"),
    F("gap_mean", "log2 ms", "gap regularity", "16 to 31 last gaps",
      "Mean of log2 of the gaps between sends. Gaps are kept in blocks of sixteen: the block being "
      "filled and the full one before it; missing below eight gaps.", _SENT,
      "fast typists", "slow senders", 1, 1000),
    F("gap_sd", "log2 ms", "gap regularity", "16 to 31 last gaps",
      "Standard deviation of log2 of the gaps, same gaps as gap_mean.", _SENT,
      "someone counting down, live commentary", "jitter over decades", 1, 1000),
    F("typed_share_32", "share", "typing", "last 32 text sends",
      "Share of the last 32 one-to-one text sends before which the account's last typing event "
      "was to the same peer, within ten minutes; one typing event speaks for one send.",
      _TYPED, "people who paste or dictate", "simulated typing"),
    F("size_repeat_share_32", "share", "size repetition", "last 32 sized sends",
      "Share of the last 32 sends with a size equal to one of the four sizes before it; sizes over "
      "65,535 are equal.", _SIZED,
      "couriers, padded ciphertext", "text variation"),
    F("hour_entropy", "bits", "day curve", "hours of the day, halved weekly",
      "Entropy of the hours of the day (UTC) of sends, the counts halved at each new week and "
      "where one would pass 255; missing below 32 sends.", _SENT,
      "shift workers", "cosine day curves"),
    F("growth_7d", "ratio", "growth", "7d",
      "Sends in the newer eight buckets of the 7-day window plus one, over the older eight plus "
      "one; missing when the account is known for less than 3 days.", _SENT,
      "people coming back from holiday", "flat senders"),
    F("read_share", "share", "reads", "all",
      "Own messages read by their recipients over one-to-one sends, at most 1.",
      ("message.read",), "people with receipts off", "rings"),
    F("delivered_share", "share", "reads", "all",
      "Own messages delivered over one-to-one sends, at most 1.", ("message.delivered",),
      "friends abroad and offline", "clean lists"),
    F("read_back_share", "share", "reads", "all",
      "Messages that the account has read over messages it received, at most 1: senders that "
      "never read are not people.", ("message.read",), "people with receipts off",
      "receipt variance"),
    F("abuse_target_share_32", "share", "successors", "last 32 first contacts",
      "Share of the last 32 first contacts who had been among the last four cold contacts of an "
      "account restricted, suspended, banned or labelled abusive (as of the last epoch).",
      _SENT, "friends of a victim", "fresh lists", 3),
    F("young_peer_share_32", "share", "rings", "last 32 new chats",
      "Share of the last 32 new chats, either way, whose peer had registered within 7 days "
      "(as of the last epoch).", ("account.registered",), "a class that joins together",
      "aged accounts"),
    F("colocated_young_peer_share_32", "share", "rings", "last 32 new chats",
      "Share of the last 32 new chats, either way, whose peer had registered within 7 days and "
      "is on the account's own network, number block or device (as of the last epoch; compared "
      "modulo 65,535).", ("account.registered",),
      "a class, a family or an office that joins together", "rings without anything shared", 2),
)  # fmt: skip
