"""A column for cases that were drawn at random, by which wrong actions are estimated."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Cases of earlier releases were taken by priority alone."""

    dependencies = (("console", "0008_undone_acts"),)
    operations = (
        migrations.AddField("reviewcase", "drawn", models.BooleanField(default=False)),
        migrations.AddIndex(
            "reviewcase", models.Index(fields=["drawn", "state", "id"], name="console_case_drawn")
        ),
    )
