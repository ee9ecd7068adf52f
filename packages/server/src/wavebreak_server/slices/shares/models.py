"""Table of links that show one case."""

from __future__ import annotations

from django.db import models

from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import VerifiedModel


class SharedCase(VerifiedModel):
    """A link to a case; of its secret, which is shown once, the digest alone is stored."""

    AUTHENTICATED = (
        "id", "digest", "case_id", "by_id", "reason", "created_ms", "expires_ms", "revoked_ms",
        "opened_ms",
    )  # fmt: skip

    digest = models.CharField(max_length=64, unique=True)
    case = models.ForeignKey(ReviewCase, on_delete=models.CASCADE, related_name="shares")
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500)
    created_ms = models.BigIntegerField()
    expires_ms = models.BigIntegerField()
    revoked_ms = models.BigIntegerField(null=True)
    opened_ms = models.BigIntegerField(null=True)

    class Meta:
        app_label = "console"
        db_table = "console_shared_case"
