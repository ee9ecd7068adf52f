from __future__ import annotations

import json
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from wavebreak.service import webhooks

KEY = bytes(range(32))
BODY = json.dumps({"type": "decision.made", "data": {"outcome": "ban", "name": "é"}}).encode()


def test_a_receiver_that_knows_the_convention_verifies_what_was_signed() -> None:
    secret = webhooks.webhook_secret(KEY, "hook", 1)
    headers = webhooks.signature_headers([secret], "msg_1", int(time.time()), BODY)
    assert Webhook(secret).verify(BODY.decode(), headers) == json.loads(BODY)


def test_while_a_secret_is_rotated_both_receivers_are_content() -> None:
    old, new = (webhooks.webhook_secret(KEY, "hook", g) for g in (1, 2))
    headers = webhooks.signature_headers([new, old], "msg_1", int(time.time()), BODY)
    for secret in (old, new):
        assert Webhook(secret).verify(BODY.decode(), headers)


@pytest.mark.parametrize("change", ["webhook-id", "webhook-timestamp", "body", "secret"])
def test_whatever_is_changed_is_noticed(change: str) -> None:
    secret = webhooks.webhook_secret(KEY, "hook", 1)
    headers = webhooks.signature_headers([secret], "msg_1", int(time.time()), BODY)
    body = BODY.decode() + " " if change == "body" else BODY.decode()
    if change in headers:
        headers[change] = "7" + headers[change][1:]
    if change == "secret":
        secret = webhooks.webhook_secret(KEY, "another", 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers)
