"""The API, declared once: routes, scopes, the OpenAPI document and tests read this table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from wavebreak.events import AnyEvent
from wavebreak.service import shapes
from wavebreak.service.answering import Answer
from wavebreak.service.keys import Scope
from wavebreak.service.quota import Quota

JSON, TEXT, STREAM, PAGE = "application/json", "text/plain", "text/event-stream", "text/html"
EVENT_BODIES = (
    "application/json", "application/x-ndjson", "application/cloudevents+json",
    "application/cloudevents-batch+json", "application/vnd.apache.arrow.stream",
)  # fmt: skip


@dataclass(frozen=True)
class Endpoint:
    """One thing that can be asked.

    `scope` is what the key must have (None: no key is asked for). `body` and `query` are types of
    what is sent, `answer` that of what is given with `status`; without a type it is of `media`.
    `hot` ones are answered before Django; `audited` ones change something. `says` are the
    refusals beside those of keys, bodies and queries.
    """

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    scope: Scope | None
    about: str
    answer: Any = None
    body: Any = None
    query: Any = None
    status: int = 200
    media: str = JSON
    bodies: tuple[str, ...] = (JSON,)
    says: tuple[int, ...] = ()
    hot: bool = False
    audited: bool = field(default=False)

    @property
    def refusals(self) -> tuple[int, ...]:
        """Every status of a problem that may be answered."""
        keyed = (401, 403, 429) if self.scope else ()
        sent = (400, 413, 415, 422) if self.body or self.hot else ()
        asked = (422,) if self.query or "{" in self.path else ()
        return tuple(sorted({*keyed, *sent, *asked, *self.says}))


_ACCOUNT, _HOOK = "/v1/accounts/{account}", "/v1/webhooks/{webhook}"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("take_events", "POST", "/v1/events", "ingest",
             "Put events into the log. Answered when they are durable.", shapes.Accepted,
             list[AnyEvent], status=202, bodies=EVENT_BODIES, says=(409, 503), hot=True),
    Endpoint("decide", "POST", "/v1/decide", "decide",
             "Ask what to answer to one event, before it happens (`mode=ask`) or with it "
             "(`mode=record`).", Answer, AnyEvent, shapes.Asking, says=(503,), hot=True),
    Endpoint("account", "GET", _ACCOUNT, "read",
             "How an account stands: outcome, quota, restrictions with their ends, decisions.",
             shapes.Account, says=(404, 503)),
    Endpoint("override", "POST", f"{_ACCOUNT}/override", "override",
             "Overrule what was decided on an account: a label in the log, so that a replay comes "
             "to the same.", shapes.Overridden, shapes.Override, says=(503,), audited=True),
    Endpoint("extend_quota", "POST", f"{_ACCOUNT}/extension", "override",
             "Give an account more new chats, once a cycle.", Quota, shapes.Because,
             says=(404, 409, 503), audited=True),
    Endpoint("erase_personal", "DELETE", f"{_ACCOUNT}/personal", "admin",
             "Cut the pseudonyms of an account's number and addresses, and what opens the ledger's "
             "entries about it. Counts that others rely on remain, those of its devices too.",
             shapes.Erased, query=shapes.Because, says=(503,), audited=True),
    Endpoint("label", "POST", "/v1/labels", "override", "Put labels of accounts into the log.",
             shapes.Taken, shapes.Labels, status=202, says=(503,), audited=True),
    Endpoint("decisions", "GET", "/v1/decisions", "read",
             "Decisions after a number, in the log's order.", shapes.Decisions,
             query=shapes.Since),
    Endpoint("follow_decisions", "GET", "/v1/decisions/stream", "read",
             "Decisions as they are made, as server-sent events; their ids are numbers.",
             query=shapes.Following, media=STREAM),
    Endpoint("checkpoint", "GET", "/v1/ledger/checkpoint", "read",
             "The ledger's last checkpoint, a signed note: keep it, and nothing before it can be "
             "changed unseen.", media=TEXT),
    Endpoint("sealed_decision", "GET", "/v1/ledger/decisions/{decision}", "read",
             "A decision's entry in the ledger, with its openings and the proof that it is under "
             "the last checkpoint.", shapes.Sealed, says=(404,)),
    Endpoint("continued", "GET", "/v1/ledger/consistency", "read",
             "The proof that the ledger goes on from what it was with so many entries.",
             shapes.Continued, query=shapes.Sizes, says=(404,)),
    Endpoint("webhooks", "GET", "/v1/webhooks", "admin", "All webhooks.", shapes.Webhooks),
    Endpoint("add_webhook", "POST", "/v1/webhooks", "admin",
             "Have decisions sent to a URL, signed. The secret is told once.", shapes.Webhook,
             shapes.NewWebhook, status=201, says=(409,), audited=True),
    Endpoint("remove_webhook", "DELETE", _HOOK, "admin", "Send nothing to a webhook any more.",
             query=shapes.Because, status=204, says=(404,), audited=True),
    Endpoint("rotate_webhook", "POST", f"{_HOOK}/rotate", "admin",
             "Give a webhook a new secret; for a time both sign.", shapes.Webhook,
             shapes.Rotation, says=(404,), audited=True),
    Endpoint("dead_letters", "GET", f"{_HOOK}/dead", "admin",
             "What could not be delivered.", shapes.Deliveries, says=(404,)),
    Endpoint("replay_webhook", "POST", f"{_HOOK}/replay", "admin",
             "Send dead letters, or every decision after a number, again.", shapes.Replayed,
             shapes.Replay, says=(404,), audited=True),
    Endpoint("keys", "GET", "/v1/keys", "admin", "All keys, without their secrets.", shapes.Keys),
    Endpoint("add_key", "POST", "/v1/keys", "admin", "Make a key. Its text is told once.",
             shapes.Key, shapes.NewKey, status=201, audited=True),
    Endpoint("rotate_key", "POST", "/v1/keys/{prefix}/rotate", "admin",
             "Make a key's successor; the former goes on for a time.", shapes.Key,
             shapes.Rotation, status=201, says=(404, 409), audited=True),
    Endpoint("revoke_key", "DELETE", "/v1/keys/{prefix}", "admin", "End a key at once.",
             query=shapes.Because, status=204, says=(404,), audited=True),
    Endpoint("audit", "GET", "/v1/audit", "admin", "What was changed, by whom, and why.",
             shapes.Audit, query=shapes.Since),
    Endpoint("metrics", "GET", "/metrics", "read", "Numbers for Prometheus.", media=TEXT),
    Endpoint("healthz", "GET", "/healthz", None, "Whether the process answers.", media=TEXT),
    Endpoint("readyz", "GET", "/readyz", None, "Whether it takes events and decides.",
             media=TEXT, says=(503,)),
    Endpoint("openapi", "GET", "/api/openapi.json", None, "This document.", media=JSON),
    Endpoint("docs", "GET", "/api/docs", None, "This document, to read.", media=PAGE),
)  # fmt: skip
"""Every endpoint, in the order in which the documentation tells them."""

PATHS: tuple[str, ...] = tuple(dict.fromkeys(e.path for e in ENDPOINTS))
"""Every path once."""
