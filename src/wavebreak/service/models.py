"""The tables of the service. The hot path fills the first five; what they hold is fixed here."""

from __future__ import annotations

from django.db import models

from wavebreak.service.tables import (
    ApiKey,
    Change,
    Extension,
    Hook,
    LedgerCheckpoint,
    LedgerEntry,
    LedgerHead,
    LedgerOpening,
    Letter,
)

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
