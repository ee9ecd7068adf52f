"""Tables: the platform's log, ids that were taken with their answers, and portfolios of keys."""

from __future__ import annotations

from django.db import models

from wavebreak_server.storage.models import AuthenticatedModel

EVENTS, LIMITS = "events", "limits"
"""What a row of the log holds: events, one JSON object a line, or the limits from there on."""


class PlatformRow(AuthenticatedModel):
    """A row of the platform's log, numbered from 1 without gaps: its state is a function of them.

    People are pseudonyms in it, never what a request named.
    """

    AUTHENTICATED = ("number", "at_ms", "kind", "body")

    number = models.BigIntegerField(primary_key=True)
    at_ms = models.BigIntegerField()
    position = models.BigIntegerField(default=0)
    """Events of the log up to its end, so that a time leads to a position."""
    kind = models.CharField(max_length=8)
    body = models.BinaryField()

    class Meta:
        db_table = "business_row"
        verbose_name = "row of the platform's log"


class StandingRow(AuthenticatedModel):
    """A change of a portfolio's standing: what, by whom and why, and what it bars until when.

    `what` is one of `platform.STANDING`; `name` and `bars` are those of the step then, whatever the
    policy says later.
    """

    AUTHENTICATED = (
        "portfolio", "at_ms", "what", "step", "name", "bars", "begins_ms", "until_ms", "ground",
        "actor", "reason",
    )  # fmt: skip

    portfolio = models.CharField(max_length=200)
    at_ms = models.BigIntegerField()
    what = models.CharField(max_length=16)
    step = models.IntegerField()
    name = models.CharField(max_length=32)
    bars = models.CharField(max_length=16)
    begins_ms = models.BigIntegerField(null=True)
    until_ms = models.BigIntegerField(null=True)
    ground = models.CharField(max_length=16)
    actor = models.CharField(max_length=32)
    reason = models.TextField()

    class Meta:
        db_table = "business_standing"
        verbose_name = "change of a portfolio's standing"
        indexes = (models.Index(fields=["portfolio", "-id"], name="business_standing_newest"),)


class LogErasure(models.Model):
    """An erasure from the log: what was made of the log before it is made anew."""

    class Meta:
        db_table = "business_erasure"


class StatePart(AuthenticatedModel):
    """A part of the state at a row of the log, from which a start goes on where rows are gone.

    `position`: events of the log up to there; `parts`: how many there are of this state.
    """

    AUTHENTICATED = ("number", "at_ms", "position", "part", "parts", "body")

    number = models.BigIntegerField()
    at_ms = models.BigIntegerField()
    position = models.BigIntegerField()
    part = models.IntegerField()
    parts = models.IntegerField()
    body = models.BinaryField()

    class Meta:
        db_table = "business_state"
        verbose_name = "part of the platform's state at a row of its log"
        constraints = (
            models.UniqueConstraint(fields=["number", "part"], name="business_state_part_once"),
        )


class FollowedLog(AuthenticatedModel):
    """How far the platform has read the service's log: one row, of the number 1."""

    AUTHENTICATED = ("id", "position")

    position = models.BigIntegerField()

    class Meta:
        db_table = "business_followed"
        verbose_name = "position until which the platform has read the service's log"


class TakenId(models.Model):
    """An id that was taken, by a keyed hash: what it stood for, and the answer that it got.

    It is kept as long as an answer of the service is.
    """

    key = models.BinaryField(max_length=16, primary_key=True)
    stands_for = models.BinaryField(max_length=8)
    answer = models.BinaryField()
    at_ms = models.BigIntegerField(db_index=True)

    class Meta:
        db_table = "business_taken_id"


class KeyPortfolio(AuthenticatedModel):
    """A portfolio that an API key and its successors act for; `owner`: the first of these keys."""

    AUTHENTICATED = ("owner", "portfolio")

    owner = models.CharField(max_length=8)
    portfolio = models.CharField(max_length=64)

    class Meta:
        db_table = "business_key"
        verbose_name = "portfolio of an API key"
        constraints = (
            models.UniqueConstraint(fields=["owner", "portfolio"], name="business_key_once"),
        )
