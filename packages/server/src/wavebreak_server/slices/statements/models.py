"""The table of statements of reasons as their holders were shown them."""

from __future__ import annotations

from django.db import models

from wavebreak_server.storage.models import ID_LENGTH


class NoticeState(models.Model):
    """A statement of reasons as it was first shown to the holder, in one language (JSON)."""

    decision = models.CharField(max_length=32)
    account = models.CharField(max_length=ID_LENGTH)
    language = models.CharField(max_length=8)
    shown_ms = models.BigIntegerField()
    statement = models.BinaryField()

    class Meta:
        app_label = "console"
        db_table = "console_notice"
        constraints = (
            models.UniqueConstraint(fields=["decision", "language"], name="console_notice_once"),
        )
        indexes = (models.Index(fields=["account"], name="console_notice_account"),)
