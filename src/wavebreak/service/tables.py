"""Tables of what people and platforms set up: keys, webhooks, what was changed, quotas given."""

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
