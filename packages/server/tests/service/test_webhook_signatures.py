from __future__ import annotations

import json
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from wavebreak_server.slices.webhooks import service as webhooks

KEY = bytes(range(32))
BODY = json.dumps({"type": "decision.made", "data": {"outcome": "ban", "name": "é"}}).encode()


def test_signature_verifies_by_standard_webhooks() -> None:
    secret = webhooks.webhook_secret(KEY, "hook", 1)
    headers = webhooks.signature_headers([secret], "msg_1", int(time.time()), BODY)
    assert Webhook(secret).verify(BODY.decode(), headers) == json.loads(BODY)


def test_rotated_secrets_both_verify() -> None:
    old, new = (webhooks.webhook_secret(KEY, "hook", g) for g in (1, 2))
    headers = webhooks.signature_headers([new, old], "msg_1", int(time.time()), BODY)
    for secret in (old, new):
        assert Webhook(secret).verify(BODY.decode(), headers)


@pytest.mark.parametrize("change", ["webhook-id", "webhook-timestamp", "body", "secret"])
def test_changed_message_does_not_verify(change: str) -> None:
    secret = webhooks.webhook_secret(KEY, "hook", 1)
    headers = webhooks.signature_headers([secret], "msg_1", int(time.time()), BODY)
    body = BODY.decode() + " " if change == "body" else BODY.decode()
    if change in headers:
        headers[change] = "7" + headers[change][1:]
    if change == "secret":
        secret = webhooks.webhook_secret(KEY, "another", 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers)
