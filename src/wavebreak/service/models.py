"""Tables beside the hot path's: what people and platforms set up, and the ledger.

The tables of the service. The hot path fills the first five; what they hold is fixed here.
"""

from __future__ import annotations

from django.db import models


class ApiKey(models.Model):
    """A key of the API: only a hash of it is kept. `ends_ms` is when it stops (null: never)."""

    prefix = models.CharField(max_length=8, primary_key=True)
    digest = models.BinaryField(max_length=32)
    name = models.CharField(max_length=100)
    scopes = models.CharField(max_length=64)
    rate = models.FloatField()
    burst = models.FloatField()
    created_ms = models.BigIntegerField()
    ends_ms = models.BigIntegerField(null=True)

    class Meta:
        """A plain name."""

        db_table = "api_key"


class Change(models.Model):
    """The audit: who (a key's prefix) changed what, when and why, and what came of it."""

    number = models.BigAutoField(primary_key=True)
    at_ms = models.BigIntegerField()
    key = models.CharField(max_length=32)
    action = models.CharField(max_length=32)
    object = models.CharField(max_length=128)
    reason = models.CharField(max_length=1100)
    outcome = models.CharField(max_length=16)

    class Meta:
        """A plain name."""

        db_table = "change"


class Hook(models.Model):
    """A webhook: decisions after `cursor`, from outcome `least` on, are to be sent to `url`.

    Its secret is derived (see `signing`) from `generation`; the former one signs too until
    `former_ends_ms`.
    """

    id = models.CharField(max_length=32, primary_key=True)
    url = models.CharField(max_length=2000)
    least = models.CharField(max_length=16)
    created_ms = models.BigIntegerField()
    cursor = models.BigIntegerField()
    generation = models.IntegerField(default=1)
    former_ends_ms = models.BigIntegerField(default=0)

    class Meta:
        """A plain name."""

        db_table = "hook"


class Letter(models.Model):
    """A decision on its way to a webhook: kept until it is delivered, or given up (`dead`)."""

    hook = models.ForeignKey(Hook, on_delete=models.CASCADE)
    number = models.BigIntegerField()
    attempts = models.IntegerField(default=0)
    next_ms = models.BigIntegerField()
    dead = models.BooleanField(default=False)
    last_status = models.IntegerField(null=True)
    last_error = models.CharField(max_length=64, default="")

    class Meta:
        """One a decision and webhook; found by when it is due."""

        db_table = "letter"
        constraints = (
            models.UniqueConstraint(fields=["hook", "number"], name="letter_once"),
        )  # fmt: skip
        indexes = (models.Index(fields=["dead", "next_ms"], name="letter_due"),)


class Extension(models.Model):
    """New chats given to an account beyond its quota, in the cycle that began at `at_ms`."""

    account = models.CharField(max_length=128)
    at_ms = models.BigIntegerField()

    class Meta:
        """Found by account, newest first."""

        db_table = "extension"
        indexes = (models.Index(fields=["account", "at_ms"], name="extension_account"),)


class LedgerHead(models.Model):
    """Where the ledger ends: one row, `id` 1, which whoever seals locks first.

    `size` entries under the signed `note` (empty: none yet). Decisions among the first `receipted`
    entries have their receipts. `versions` names what decided when it was last sealed, `differ` how
    many decisions before that would not have come to the same.
    """

    size = models.BigIntegerField(default=0)
    note = models.BinaryField(default=b"")
    receipted = models.BigIntegerField(default=0)
    versions = models.CharField(max_length=256, default="")
    differ = models.BigIntegerField(default=0)

    class Meta:
        """One row, named as what it is."""

        db_table = "ledger_head"


class LedgerEntry(models.Model):
    """An entry of the ledger as it is hashed, and the nodes of the tree that it adds."""

    position = models.BigIntegerField(primary_key=True)
    line = models.BinaryField()
    nodes = models.BinaryField()

    class Meta:
        """A plain name."""

        db_table = "ledger_entry"


class LedgerOpening(models.Model):
    """What an entry's commitments hide, until it is erased: salts and values.

    `account` and `subject` (the id of a decision or event) are those among them, to be found by.
    """

    position = models.BigIntegerField(primary_key=True)
    account = models.CharField(max_length=128, default="")
    subject = models.CharField(max_length=64, default="")
    told = models.BinaryField()

    class Meta:
        """Found by account, and by what it is of."""

        db_table = "ledger_opening"
        indexes = (
            models.Index(fields=["account"], name="ledger_opening_account"),
            models.Index(fields=["subject"], name="ledger_opening_subject"),
        )


class LedgerCheckpoint(models.Model):
    """The last signed checkpoint of each minute (since 1970) in which something was sealed."""

    minute = models.BigIntegerField(primary_key=True)
    size = models.BigIntegerField()
    note = models.BinaryField()

    class Meta:
        """A plain name."""

        db_table = "ledger_checkpoint"


__all__ = [
    "ApiKey", "Applied", "Batch", "Change", "Decision", "Extension", "Hook", "Idempotency",
    "LedgerCheckpoint", "LedgerEntry", "LedgerHead", "LedgerOpening", "Letter", "Standing",
]  # fmt: skip


class Batch(models.Model):
    """Some events of the log, contiguous: positions `first` to `first + count - 1`.

    `blob` is an Arrow IPC stream under zstd: those columns of LOG_SCHEMA in which something is
    given, after the privacy edge. `sha256` is of it.
    `received_ms` is this machine's clock, and no part of any decision.
    """

    first = models.BigIntegerField(primary_key=True)
    count = models.IntegerField()
    received_ms = models.BigIntegerField()
    sha256 = models.BinaryField(max_length=32)
    blob = models.BinaryField()

    class Meta:
        """A short name, since the hot path writes SQL."""

        db_table = "log_batch"


class Applied(models.Model):
    """How far the engine's answers are written down: one row, `id` 1.

    `position` is the log's position up to which every decision is in `Decision`, `decisions` how
    many there are; `made_by` are the versions of policy, model and features that made the newest.
    """

    position = models.BigIntegerField(default=0)
    decisions = models.BigIntegerField(default=0)
    made_by = models.CharField(max_length=256, default="")

    class Meta:
        """One row, named as what it is."""

        db_table = "log_applied"


class Decision(models.Model):
    """A decision, and so the outbox: `number` counts from 1 without gaps, in the log's order.

    `body` is its JSON as `wavebreak run` writes it, `reached` the log's position that was applied
    with it, in one transaction.
    """

    number = models.BigIntegerField(primary_key=True)
    id = models.CharField(max_length=32, unique=True)
    account = models.CharField(max_length=128)
    ts = models.BigIntegerField()
    stage = models.CharField(max_length=16)
    outcome = models.CharField(max_length=16)
    until = models.BigIntegerField(null=True)
    reached = models.BigIntegerField()
    body = models.BinaryField()

    class Meta:
        """Found by account, newest first."""

        db_table = "decision"
        indexes = (models.Index(fields=["account", "number"], name="decision_account"),)


class Standing(models.Model):
    """The newest decision of each account that has one; `until` (ms) ends it, null never."""

    account = models.CharField(max_length=128, primary_key=True)
    outcome = models.CharField(max_length=16)
    until = models.BigIntegerField(null=True)
    ts = models.BigIntegerField()
    decision = models.BigIntegerField()

    class Meta:
        """Found by what is in force."""

        db_table = "standing"
        indexes = (models.Index(fields=["outcome"], name="standing_outcome"),)


class Idempotency(models.Model):
    """The answer to a request that may come again: `key` is of the API key and the header.

    `key` and `body` are SHA-256; a repeated request is answered with `answer` as it stands.
    """

    key = models.BinaryField(max_length=32, primary_key=True)
    body = models.BinaryField(max_length=32)
    answer = models.BinaryField()
    at_ms = models.BigIntegerField(db_index=True)

    class Meta:
        """A short name, since the hot path writes SQL."""

        db_table = "idempotency"
