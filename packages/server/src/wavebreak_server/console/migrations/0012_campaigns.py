"""Campaigns of cases, and the traits that a case is grouped by."""

from __future__ import annotations

from django.db import migrations, models


def _text(name: str, length: int) -> migrations.AddField:
    return migrations.AddField("reviewcase", name, models.CharField(default="", max_length=length))


class Migration(migrations.Migration):
    """Cases with the campaign that they are of; the indexer groups those that wait."""

    dependencies = (("console", "0011_appeal_device"),)
    operations = (
        _text("campaign", 112),
        _text("in_force", 16),
        _text("shape", 16),
        _text("operator", 24),
        _text("targets", 64),
        migrations.AddField("reviewcase", "reached", models.IntegerField(default=0)),
        migrations.AddField("reviewcase", "complained", models.IntegerField(default=0)),
        migrations.AddField("reviewcase", "network", models.BigIntegerField(default=0)),
        migrations.AddIndex(
            "reviewcase",
            models.Index(fields=["campaign", "state", "idle"], name="console_case_campaign"),
        ),
    )
