"""Columns for cases on which a decision could change nothing, and reasons that a lead edits."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Every open case is measured soon after the start; until then it waits as before."""

    dependencies = (("console", "0009_drawn_cases"),)
    operations = (
        migrations.AddField("reviewcase", "idle", models.BooleanField(default=False)),
        migrations.AddField("reviewcase", "measured_ms", models.BigIntegerField(default=0)),
        migrations.RemoveIndex("reviewcase", "console_case_priority"),
        migrations.AddIndex(
            "reviewcase",
            models.Index(fields=["state", "idle", "-priority", "id"], name="console_case_waiting"),
        ),
        migrations.AddIndex(
            "reviewcase",
            models.Index(fields=["state", "measured_ms"], name="console_case_measured"),
        ),
        migrations.CreateModel(
            name="ReasonPresets",
            fields=[
                ("verdict", models.CharField(max_length=16, primary_key=True, serialize=False)),
                ("reasons", models.JSONField(default=list)),
            ],
            options={"db_table": "console_reason_presets"},
        ),
    )
