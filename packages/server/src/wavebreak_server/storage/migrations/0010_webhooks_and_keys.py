"""Failures and secrets of webhooks, and whose successor an API key is."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds columns; webhooks so far keep their secrets, and keys so far succeed no other."""

    dependencies = (("service", "0009_row_macs"),)
    operations = (
        migrations.AddField("Webhook", "failing_since_ms", models.BigIntegerField(default=0)),
        migrations.AddField("Webhook", "disabled_ms", models.BigIntegerField(default=0)),
        migrations.AddField("Webhook", "own_key_from", models.IntegerField(default=0)),
        migrations.AddField("ApiKey", "owner", models.CharField(default="", max_length=8)),
    )
