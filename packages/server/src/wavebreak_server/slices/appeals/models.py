"""The table of appeals."""

from __future__ import annotations

from django.db import models

from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import ID_LENGTH, VerifiedModel


class Appeal(VerifiedModel):
    """A holder's appeal against a decision; one a decision, unless it was never confirmed.

    `statement` is encrypted and erased on schedule. `text_key` is a keyed digest of its words, by
    which duplicates are found; `group` is the account's operator, and `together` marks those over
    the operator's quota. A code is named by the message that carries it and stored
    nowhere. `rule`, `model`, `basis` and `outcome` are the decision's. `version` counts changes: a
    form for an earlier version is refused.
    """

    AUTHENTICATED = (
        "id", "decision", "number", "position", "account", "outcome", "basis", "rule", "model",
        "state", "via", "language", "created_ms", "opened_ms", "deadline_ms", "decided_ms",
        "statement", "erased_ms", "text_key", "group", "together", "code_message",
        "code_expires_ms", "result", "reason", "new_outcome", "new_until_ms", "decided_by_id",
    )  # fmt: skip
    UNVERIFIED, OPEN, DECIDED, WITHDRAWN = "unverified", "open", "decided", "withdrawn"
    UNCHANGED, PARTIALLY, REVERSED = "unchanged", "partially_reversed", "reversed"

    decision = models.CharField(max_length=32)
    number = models.BigIntegerField()
    position = models.BigIntegerField(null=True)
    account = models.CharField(max_length=ID_LENGTH)
    outcome = models.CharField(max_length=16)
    basis = models.CharField(max_length=16, default="")
    rule = models.CharField(max_length=64, default="")
    model = models.CharField(max_length=128, default="")
    state = models.CharField(max_length=16, default=UNVERIFIED)
    via = models.CharField(max_length=16)
    language = models.CharField(max_length=8)
    created_ms = models.BigIntegerField()
    opened_ms = models.BigIntegerField(null=True)
    deadline_ms = models.BigIntegerField(null=True)
    decided_ms = models.BigIntegerField(null=True)
    statement = models.BinaryField(null=True)
    erased_ms = models.BigIntegerField(null=True)
    text_key = models.CharField(max_length=32, default="")
    group = models.CharField(max_length=48, default="")
    together = models.BooleanField(default=False)
    code_message = models.CharField(max_length=40, default="")
    code_expires_ms = models.BigIntegerField(default=0)
    code_attempts = models.IntegerField(default=0)
    codes_sent = models.IntegerField(default=0)
    result = models.CharField(max_length=20, default="")
    reason = models.CharField(max_length=2000, default="")
    new_outcome = models.CharField(max_length=16, default="")
    new_until_ms = models.BigIntegerField(null=True)
    decided_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    version = models.IntegerField(default=0)

    class Meta:
        app_label = "console"
        db_table = "console_appeal"
        constraints = (
            models.UniqueConstraint(
                fields=["decision"],
                condition=~models.Q(state="withdrawn"),
                name="console_one_appeal",
            ),
        )
        indexes = (
            models.Index(fields=["state", "deadline_ms", "id"], name="console_appeal_deadline"),
            models.Index(fields=["account"], name="console_appeal_account"),
            models.Index(fields=["state", "group"], name="console_appeal_group"),
            models.Index(fields=["text_key"], name="console_appeal_text"),
        )
