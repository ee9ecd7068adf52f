"""The table of answers to the question whether a help page helped."""

from __future__ import annotations

from django.db import models


class HelpAnswer(models.Model):
    """Answers of a day to "Did this answer your question?", by page, language, answer, reason."""

    day = models.IntegerField()
    page = models.CharField(max_length=16)
    language = models.CharField(max_length=8)
    helped = models.BooleanField()
    reason = models.CharField(max_length=16, default="")
    count = models.BigIntegerField(default=0)

    class Meta:
        app_label = "console"
        db_table = "console_help_answer"
        constraints = (
            models.UniqueConstraint(
                fields=["day", "page", "language", "helped", "reason"],
                name="console_help_answer_once",
            ),
        )
