"""Tables of the versions of policies and models, and of their replays."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import VerifiedModel


class Version(VerifiedModel):
    """What versions of policies and models have in common.

    An approval counts for the files that were approved. `version` counts changes.

    Attributes:
        LETTER: What names begin with, before the number.
        OPEN: States of versions that may still go live.
    """

    APPROVED, GOING_LIVE, LIVE = "approved", "going", "live"
    RETIRED, REJECTED = "retired", "rejected"
    AUTHENTICATED: ClassVar[tuple[str, ...]] = (
        "id", "state", "author_id", "reason", "created_ms", "approved_by_id", "approved_ms",
        "approval", "live_by_id", "live_ms", "retired_ms", "note",
    )  # fmt: skip
    LETTER: ClassVar[str]
    OPEN: ClassVar[tuple[str, ...]]

    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500)
    created_ms = models.BigIntegerField()
    approved_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    approved_ms = models.BigIntegerField(null=True)
    approval = models.CharField(max_length=500, default="")
    live_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    live_ms = models.BigIntegerField(null=True)
    retired_ms = models.BigIntegerField(null=True)
    note = models.CharField(max_length=500, default="")
    version = models.IntegerField(default=0)

    class Meta(VerifiedModel.Meta):
        abstract = True

    @property
    def name(self) -> str:
        """The name of its directory."""
        return f"{self.LETTER}{self.id}"

    @property
    def is_open(self) -> bool:
        """Whether it may still go live."""
        return self.state in self.OPEN


class Replay(models.Model):
    """What replays of the log under versions of policies and models have in common."""

    RUNNING, DONE, FAILED = "running", "done", "failed"

    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, default=RUNNING)
    started_ms = models.BigIntegerField()
    ended_ms = models.BigIntegerField(null=True)
    result = models.JSONField(default=dict)
    problem = models.CharField(max_length=500, default="")

    class Meta:
        abstract = True


class PolicyVersion(Version):
    """A version of the local policy; its files are in `HOME/policies/<digest>/v<id>`.

    `digest` is of its files, `problem` why they do not load. Any change of the files sets the
    version back, and none is made while it goes live.
    """

    DRAFT, CHECKED, REPLAYED = "draft", "checked", "replayed"
    AUTHENTICATED = (*Version.AUTHENTICATED, "parent_id", "digest", "policy")
    LETTER, OPEN = "v", (DRAFT, CHECKED, REPLAYED, Version.APPROVED)

    parent = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, default=DRAFT)
    changed_ms = models.BigIntegerField()
    digest = models.CharField(max_length=64, default="")
    policy = models.CharField(max_length=128, default="")
    problem = models.TextField(default="")

    class Meta:
        app_label = "console"
        db_table = "console_policy_version"
        indexes = (models.Index(fields=["state", "-id"], name="console_policy_state"),)


class PolicyReplay(Replay):
    """A replay of the log under the live policy and a version; files in `v<id>.replays/<id>`.

    `digest` is of the version's files, `live` the policy that it was compared with.
    """

    of = models.ForeignKey(PolicyVersion, on_delete=models.CASCADE, related_name="replays")
    digest = models.CharField(max_length=64)
    live = models.CharField(max_length=128)

    class Meta:
        app_label = "console"
        db_table = "console_policy_replay"
        indexes = (models.Index(fields=["of", "-id"], name="console_policy_replay_of"),)


class ModelVersion(Version):
    """A registered model; a copy of its files is in `HOME/models/m<id>`.

    `model` is its version, which is a digest of its files too: who approves it approves them.
    `features` are names with their share of the gain.
    """

    REGISTERED, COMPARED = "registered", "compared"
    AUTHENTICATED = (*Version.AUTHENTICATED, "model")
    LETTER, OPEN = "m", (REGISTERED, COMPARED, Version.APPROVED)

    state = models.CharField(max_length=10, default=REGISTERED)
    model = models.CharField(max_length=128)
    features = models.JSONField(default=list)

    class Meta:
        app_label = "console"
        db_table = "console_model_version"
        indexes = (models.Index(fields=["state", "-id"], name="console_model_state"),)


class ModelReplay(Replay):
    """A replay of the log under the model that scores and another one; files below `m<id>.replays`.

    `champion` is the version that scored, `policy` the one that both decided by.
    """

    of = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="replays")
    champion = models.CharField(max_length=128)
    policy = models.CharField(max_length=128)
    days = models.IntegerField()

    class Meta:
        app_label = "console"
        db_table = "console_model_replay"
        indexes = (models.Index(fields=["of", "-id"], name="console_model_replay_of"),)
