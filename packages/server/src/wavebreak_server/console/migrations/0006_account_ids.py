"""Columns for account ids of 255 bytes."""

from __future__ import annotations

from django.db import migrations, models

from wavebreak_server.storage.migration_operations import WidenField


class Migration(migrations.Migration):
    """Ids so far have at most 128 bytes and stay as they are."""

    dependencies = (("console", "0005_golden_cases"),)
    operations = tuple(
        WidenField(model, "account", models.CharField(max_length=255))
        for model in ("reviewcase", "personact", "noticestate", "appeal")
    )
