"""Tables of the versions of policies and models, and of their replays."""

from __future__ import annotations

from django.db import models

from wavebreak_server.slices.users.models import User


class PolicyVersion(models.Model):
    """A version of the local policy; its files are in `HOME/policies/<digest>/v<id>`.

    `digest` is of its files, `problem` why they do not load. An approval counts for the files that
    were approved: any change sets the version back, and none is made while it goes live. `version`
    counts changes.
    """

    DRAFT, CHECKED, REPLAYED, APPROVED = "draft", "checked", "replayed", "approved"
    GOING_LIVE, LIVE, RETIRED, REJECTED = "going", "live", "retired", "rejected"
    OPEN = (DRAFT, CHECKED, REPLAYED, APPROVED)

    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    parent = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, default=DRAFT)
    reason = models.CharField(max_length=500)
    created_ms = models.BigIntegerField()
    changed_ms = models.BigIntegerField()
    digest = models.CharField(max_length=64, default="")
    policy = models.CharField(max_length=128, default="")
    problem = models.TextField(default="")
    approved_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    approved_ms = models.BigIntegerField(null=True)
    approval = models.CharField(max_length=500, default="")
    live_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    live_ms = models.BigIntegerField(null=True)
    retired_ms = models.BigIntegerField(null=True)
    note = models.CharField(max_length=500, default="")
    version = models.IntegerField(default=0)

    class Meta:
        app_label = "console"
        db_table = "console_policy_version"
        indexes = (models.Index(fields=["state", "-id"], name="console_policy_state"),)

    @property
    def name(self) -> str:
        """The name of its directory."""
        return f"v{self.id}"

    @property
    def is_open(self) -> bool:
        """Whether it may still go live."""
        return self.state in self.OPEN


class PolicyReplay(models.Model):
    """A replay of the log under the live policy and a version; files in `v<id>.replays/<id>`.

    `digest` is of the version's files, `live` the policy that it was compared with.
    """

    RUNNING, DONE, FAILED = "running", "done", "failed"

    of = models.ForeignKey(PolicyVersion, on_delete=models.CASCADE, related_name="replays")
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, default=RUNNING)
    started_ms = models.BigIntegerField()
    ended_ms = models.BigIntegerField(null=True)
    digest = models.CharField(max_length=64)
    live = models.CharField(max_length=128)
    result = models.JSONField(default=dict)
    problem = models.CharField(max_length=500, default="")

    class Meta:
        app_label = "console"
        db_table = "console_policy_replay"
        indexes = (models.Index(fields=["of", "-id"], name="console_policy_replay_of"),)


class ModelVersion(models.Model):
    """A registered model; a copy of its files is in `HOME/models/m<id>`.

    `model` is its version, which is a digest of its files too: who approves it approves them.
    `features` are names with their share of the gain. `version` counts changes.
    """

    REGISTERED, COMPARED, APPROVED = "registered", "compared", "approved"
    GOING_LIVE, LIVE, RETIRED, REJECTED = "going", "live", "retired", "rejected"
    OPEN = (REGISTERED, COMPARED, APPROVED)

    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, default=REGISTERED)
    reason = models.CharField(max_length=500)
    created_ms = models.BigIntegerField()
    model = models.CharField(max_length=128)
    features = models.JSONField(default=list)
    approved_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    approved_ms = models.BigIntegerField(null=True)
    approval = models.CharField(max_length=500, default="")
    live_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    live_ms = models.BigIntegerField(null=True)
    retired_ms = models.BigIntegerField(null=True)
    note = models.CharField(max_length=500, default="")
    version = models.IntegerField(default=0)
    beside_ms = models.BigIntegerField(null=True)
    beside_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        app_label = "console"
        db_table = "console_model_version"
        indexes = (models.Index(fields=["state", "-id"], name="console_model_state"),)

    @property
    def name(self) -> str:
        """The name of its directory."""
        return f"m{self.id}"

    @property
    def is_open(self) -> bool:
        """Whether it may still go live."""
        return self.state in self.OPEN


class ModelReplay(models.Model):
    """A replay of the log under the model that scores and another one; files below `m<id>.replays`.

    `champion` is the version that scored, `policy` the one that both decided by.
    """

    RUNNING, DONE, FAILED = "running", "done", "failed"

    of = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="replays")
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, default=RUNNING)
    started_ms = models.BigIntegerField()
    ended_ms = models.BigIntegerField(null=True)
    champion = models.CharField(max_length=128)
    policy = models.CharField(max_length=128)
    days = models.IntegerField()
    result = models.JSONField(default=dict)
    problem = models.CharField(max_length=500, default="")

    class Meta:
        app_label = "console"
        db_table = "console_model_replay"
        indexes = (models.Index(fields=["of", "-id"], name="console_model_replay_of"),)
