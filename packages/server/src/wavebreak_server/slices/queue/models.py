"""Tables of the review queue: cases, verdicts, and how far it has read."""

from __future__ import annotations

from django.db import models

from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import ID_LENGTH


class IndexerState(models.Model):
    """How far the indexer has read the decisions: one row with `id` 1.

    `warned` is how far contacts of banned accounts were warned.
    """

    cursor = models.BigIntegerField(default=0)
    warned = models.BigIntegerField(default=0)

    class Meta:
        app_label = "console"
        db_table = "console_indexer"


class DailyCount(models.Model):
    """Decisions of a day (of the log's time, days since 1970) by outcome and stage."""

    day = models.IntegerField()
    outcome = models.CharField(max_length=16)
    stage = models.CharField(max_length=16)
    automated = models.BooleanField()
    count = models.BigIntegerField(default=0)

    class Meta:
        app_label = "console"
        db_table = "console_daily_count"
        constraints = (
            models.UniqueConstraint(
                fields=["day", "outcome", "stage", "automated"], name="console_daily_count_once"
            ),
        )


class ReviewCase(models.Model):
    """An account that a person should look at, one open case an account.

    `harm` and `uncertainty` are from 0 to 1, `priority` their product; `why` says in sentences why
    the case is where it is. `version` counts changes: a form for an earlier version is refused.
    While a verdict is carried out the case is in `DECIDING`, so that it is carried out once.
    An undo opens it again; decisions up to `reopened_at`, the undo's own among them, do not end it.
    `idle` is one on which a decision could change nothing, as last measured (`measured_ms`).
    `abuse` is the kind that its rule is about, as last measured ("": of a score, or not yet). The
    traits from `in_force` to `targets` are measured too: by them it is of a `campaign`.
    """

    OPEN, DECIDING, CLOSED = "open", "deciding", "closed"

    account = models.CharField(max_length=ID_LENGTH)
    decision = models.BigIntegerField()
    outcome = models.CharField(max_length=16)
    rule = models.CharField(max_length=64, default="")
    basis = models.CharField(max_length=16, default="")
    score = models.FloatField(null=True)
    decisions = models.IntegerField(default=1)
    opened_ms = models.BigIntegerField()
    changed_ms = models.BigIntegerField()
    harm = models.FloatField()
    uncertainty = models.FloatField()
    priority = models.FloatField()
    why = models.JSONField(default=list)
    state = models.CharField(max_length=8, default=OPEN)
    abuse = models.CharField(max_length=48, default="")
    claimed_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    lease_until_ms = models.BigIntegerField(default=0)
    claimed_ms = models.BigIntegerField(default=0)
    note = models.CharField(max_length=500, default="", blank=True)
    note_by = models.CharField(max_length=32, default="", blank=True)
    closed_ms = models.BigIntegerField(null=True)
    verdict = models.CharField(max_length=16, default="")
    version = models.IntegerField(default=0)
    reopened_at = models.BigIntegerField(default=0)
    idle = models.BooleanField(default=False)
    measured_ms = models.BigIntegerField(default=0)
    campaign = models.CharField(max_length=112, default="")
    in_force = models.CharField(max_length=16, default="")
    reached = models.IntegerField(default=0)
    complained = models.IntegerField(default=0)
    shape = models.CharField(max_length=16, default="")
    operator = models.CharField(max_length=24, default="")
    network = models.BigIntegerField(default=0)
    targets = models.CharField(max_length=64, default="")

    class Meta:
        app_label = "console"
        db_table = "console_review_case"
        constraints = (
            models.UniqueConstraint(
                fields=["account"], condition=models.Q(state="open"), name="console_one_open_case"
            ),
        )
        indexes = (
            models.Index(fields=["state", "opened_ms"], name="console_case_age"),
            models.Index(fields=["account"], name="console_case_account"),
            models.Index(fields=["state", "idle", "-priority", "id"], name="console_case_waiting"),
            models.Index(fields=["state", "measured_ms"], name="console_case_measured"),
            models.Index(fields=["campaign", "state", "idle"], name="console_case_campaign"),
        )


class CampaignSummary(models.Model):
    """Figures of a campaign, as the indexer last counted them; `key` is that of its cases.

    `due_ms` is when its first case is due, `risk` the sum of their priorities; `figures` are
    all others that a row of the queue shows.
    """

    key = models.CharField(max_length=112, primary_key=True)
    cases = models.IntegerField()
    risk = models.FloatField()
    due_ms = models.BigIntegerField()
    figures = models.JSONField()

    class Meta:
        app_label = "console"
        db_table = "console_campaign"
        indexes = (models.Index(fields=["due_ms"], name="console_campaign_due"),)


class Review(models.Model):
    """A person's verdict on a case.

    One whose act was undone (`undone_ms`) counts in no figure about accounts and rules.
    """

    case = models.ForeignKey(ReviewCase, on_delete=models.CASCADE, related_name="reviews")
    reviewer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    verdict = models.CharField(max_length=16)
    outcome = models.CharField(max_length=16, default="")
    hold_s = models.BigIntegerField(null=True)
    reason = models.CharField(max_length=500)
    at_ms = models.BigIntegerField()
    seconds = models.IntegerField(default=0)
    batch = models.CharField(max_length=24, default="")
    undone_ms = models.BigIntegerField(null=True)

    class Meta:
        app_label = "console"
        db_table = "console_review"
        indexes = (models.Index(fields=["reviewer", "at_ms"], name="console_review_by"),)


class CaseSkip(models.Model):
    """A case that a reviewer does not want to be offered again today."""

    case = models.ForeignKey(ReviewCase, on_delete=models.CASCADE, related_name="skips")
    reviewer = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    until_ms = models.BigIntegerField()

    class Meta:
        app_label = "console"
        db_table = "console_case_skip"
