"""Declarations of sources that wait for an administrator."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """What sources have declared so far decides on, and nothing waits."""

    dependencies = (("service", "0015_version_0_2"),)
    operations = (
        migrations.AddField("source", "asked_carries", models.TextField(default="")),
        migrations.AddField("source", "asked_can", models.CharField(default="", max_length=64)),
        migrations.AddField("source", "asked_ms", models.BigIntegerField(default=0)),
    )
