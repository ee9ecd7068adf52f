"""Tables of what people did to accounts, one at a time and in batches."""

from __future__ import annotations

from django.db import models

from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import ID_LENGTH


class Batch(models.Model):
    """Acts on many accounts under one id; `undone_ms` is when they were undone together."""

    id = models.CharField(max_length=24, primary_key=True)
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    at_ms = models.BigIntegerField()
    what = models.CharField(max_length=64)
    reason = models.CharField(max_length=500)
    source = models.CharField(max_length=128)
    count = models.IntegerField(default=0)
    done = models.IntegerField(default=0)
    undone_ms = models.BigIntegerField(null=True)
    undone_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        app_label = "console"
        db_table = "console_batch"


class PersonAct(models.Model):
    """What a person did to an account, with the state before it, so that it can be undone.

    `case` is the one that it closed, `event` its label in the log, `undo_event` that of its undo.
    """

    account = models.CharField(max_length=ID_LENGTH)
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    at_ms = models.BigIntegerField()
    verdict = models.CharField(max_length=16)
    outcome = models.CharField(max_length=16)
    until_ms = models.BigIntegerField(null=True)
    before = models.CharField(max_length=16)
    before_until_ms = models.BigIntegerField(null=True)
    reason = models.CharField(max_length=500)
    event = models.CharField(max_length=64)
    batch = models.ForeignKey(Batch, null=True, on_delete=models.PROTECT, related_name="acts")
    undone_ms = models.BigIntegerField(null=True)
    undone_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    undone_note = models.CharField(max_length=200, default="")
    undo_event = models.CharField(max_length=64, default="")
    case = models.ForeignKey(ReviewCase, null=True, on_delete=models.SET_NULL, related_name="acts")

    class Meta:
        app_label = "console"
        db_table = "console_person_act"
        indexes = (models.Index(fields=["account", "at_ms"], name="console_act_account"),)
