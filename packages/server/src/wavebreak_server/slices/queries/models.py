"""Table of saved views: criteria of a query, under a name."""

from __future__ import annotations

from django.db import models

from wavebreak_server.slices.users.models import User


class SavedView(models.Model):
    """Criteria that a person saved; `shared` ones are offered to everybody who may query."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=60)
    criteria = models.JSONField(default=dict)
    shared = models.BooleanField(default=False)
    created_ms = models.BigIntegerField()

    class Meta:
        app_label = "console"
        db_table = "console_saved_view"
        constraints = (
            models.UniqueConstraint(fields=["owner", "name"], name="console_saved_view_once"),
        )
