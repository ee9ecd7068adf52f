"""Columns for what an undo takes back: the case that an act closed, and the verdicts on it."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Acts of earlier releases name no case; their undo opens none."""

    dependencies = (("console", "0007_version_0_2"),)
    operations = (
        migrations.AddField(
            "personact",
            "case",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="acts",
                to="console.reviewcase",
            ),
        ),
        migrations.AddField("personact", "undo_event", models.CharField(default="", max_length=64)),
        migrations.AddField("review", "undone_ms", models.BigIntegerField(null=True)),
        migrations.AddField("reviewcase", "reopened_at", models.BigIntegerField(default=0)),
    )
