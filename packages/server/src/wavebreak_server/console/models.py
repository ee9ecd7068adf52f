"""ORM models of the console: users, review cases and what was made of them, batches, notes."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models

from wavebreak_server.console.permissions import ROLE_NAMES, may
from wavebreak_server.service.models import ID_LENGTH

USERNAME = RegexValidator(r"^[a-z][a-z0-9._-]{1,23}$", "2 to 24 of a-z, 0-9, dot, dash")


class User(AbstractUser):
    """A person who signs in. `role` decides what they may see and do.

    `key_map` remaps the keyboard shortcuts, `keys_off` switches single keys off.
    """

    username = models.CharField(max_length=24, unique=True, validators=[USERNAME])
    role = models.CharField(max_length=16, choices=tuple(ROLE_NAMES.items()), default="auditor")
    display_name = models.CharField(max_length=80, blank=True)
    key_map = models.JSONField(default=dict, blank=True)
    keys_off = models.BooleanField(default=False)

    class Meta:
        db_table = "console_user"

    @property
    def actor(self) -> str:
        """The name under which acts are audited and sealed."""
        return f"user:{self.username}"

    @property
    def shown_name(self) -> str:
        """The name that others see."""
        return str(self.display_name or self.username)

    def may(self, permission: str) -> bool:
        """Whether the person has a permission."""
        return bool(self.is_active) and may(self.role, permission)


class IndexerState(models.Model):
    """How far the indexer has read the decisions: one row with `id` 1.

    `warned` is how far contacts of banned accounts were warned.
    """

    cursor = models.BigIntegerField(default=0)
    warned = models.BigIntegerField(default=0)

    class Meta:
        db_table = "console_indexer"


class DailyCount(models.Model):
    """Decisions of a day (of the log's time, days since 1970) by outcome and stage."""

    day = models.IntegerField()
    outcome = models.CharField(max_length=16)
    stage = models.CharField(max_length=16)
    automated = models.BooleanField()
    count = models.BigIntegerField(default=0)

    class Meta:
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
    `drawn` is one that chance has drawn, whatever its priority: they tell how many acts are wrong.
    `golden` is the agreed verdict of a golden case, or of the one that it copies (`copy_of`).
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
    golden = models.CharField(max_length=16, default="")
    golden_reason = models.CharField(max_length=500, default="", blank=True)
    copy_of = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="copies")
    blind = models.BooleanField(default=False)
    claimed_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    lease_until_ms = models.BigIntegerField(default=0)
    claimed_ms = models.BigIntegerField(default=0)
    note = models.CharField(max_length=500, default="", blank=True)
    note_by = models.CharField(max_length=32, default="", blank=True)
    closed_ms = models.BigIntegerField(null=True)
    verdict = models.CharField(max_length=16, default="")
    version = models.IntegerField(default=0)
    reopened_at = models.BigIntegerField(default=0)
    drawn = models.BooleanField(default=False)

    class Meta:
        db_table = "console_review_case"
        constraints = (
            models.UniqueConstraint(
                fields=["account", "blind"],
                condition=models.Q(state="open"),
                name="console_one_open_case",
            ),
        )
        indexes = (
            models.Index(fields=["state", "-priority", "id"], name="console_case_priority"),
            models.Index(fields=["state", "opened_ms"], name="console_case_age"),
            models.Index(fields=["account"], name="console_case_account"),
            models.Index(fields=["drawn", "state", "id"], name="console_case_drawn"),
        )


class Review(models.Model):
    """A person's verdict on a case. `kind`: first, blind (a sampled second look) or golden.

    One whose act was undone (`undone_ms`) counts in no figure about accounts and rules.
    """

    case = models.ForeignKey(ReviewCase, on_delete=models.CASCADE, related_name="reviews")
    reviewer = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=8)
    verdict = models.CharField(max_length=16)
    outcome = models.CharField(max_length=16, default="")
    hold_s = models.BigIntegerField(null=True)
    reason = models.CharField(max_length=500)
    at_ms = models.BigIntegerField()
    seconds = models.IntegerField(default=0)
    batch = models.CharField(max_length=24, default="")
    undone_ms = models.BigIntegerField(null=True)

    class Meta:
        db_table = "console_review"
        indexes = (models.Index(fields=["reviewer", "at_ms"], name="console_review_by"),)


class CaseSkip(models.Model):
    """A case that a reviewer does not want to be offered again today."""

    case = models.ForeignKey(ReviewCase, on_delete=models.CASCADE, related_name="skips")
    reviewer = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    until_ms = models.BigIntegerField()

    class Meta:
        db_table = "console_case_skip"


class SecondOpinion(models.Model):
    """A reviewer's question to a colleague about a case, and its answer."""

    case = models.ForeignKey(ReviewCase, on_delete=models.CASCADE, related_name="opinions")
    asked_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    question = models.CharField(max_length=500)
    asked_ms = models.BigIntegerField()
    answered_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    answer = models.CharField(max_length=500, default="")
    answered_ms = models.BigIntegerField(null=True)

    class Meta:
        db_table = "console_second_opinion"


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
        db_table = "console_person_act"
        indexes = (models.Index(fields=["account", "at_ms"], name="console_act_account"),)


class NoticeState(models.Model):
    """A statement of reasons as it was first shown to the holder, in one language (JSON)."""

    decision = models.CharField(max_length=32)
    account = models.CharField(max_length=ID_LENGTH)
    language = models.CharField(max_length=8)
    shown_ms = models.BigIntegerField()
    statement = models.BinaryField()

    class Meta:
        db_table = "console_notice"
        constraints = (
            models.UniqueConstraint(fields=["decision", "language"], name="console_notice_once"),
        )
        indexes = (models.Index(fields=["account"], name="console_notice_account"),)


class Appeal(models.Model):
    """A holder's appeal against a decision; one a decision, unless it was never confirmed.

    `statement` is encrypted and erased on schedule. `text_key` and `device_key` are keyed digests
    by which duplicates are found; `group` names what appeals have in common, and `together` marks
    those over the operator's quota. A code is named by the message that carries it and stored
    nowhere. `rule`, `model`, `basis` and `outcome` are the decision's. `version` counts changes: a
    form for an earlier version is refused.
    """

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
    device_key = models.CharField(max_length=32, default="")
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


class HelpAnswer(models.Model):
    """Answers of a day to "Did this answer your question?", by page, language, answer, reason."""

    day = models.IntegerField()
    page = models.CharField(max_length=16)
    language = models.CharField(max_length=8)
    helped = models.BooleanField()
    reason = models.CharField(max_length=16, default="")
    count = models.BigIntegerField(default=0)

    class Meta:
        db_table = "console_help_answer"
        constraints = (
            models.UniqueConstraint(
                fields=["day", "page", "language", "helped", "reason"],
                name="console_help_answer_once",
            ),
        )


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
        db_table = "console_model_replay"
        indexes = (models.Index(fields=["of", "-id"], name="console_model_replay_of"),)
