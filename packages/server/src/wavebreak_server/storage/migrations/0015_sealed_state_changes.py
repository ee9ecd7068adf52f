"""States that changed without a decision are sealed in the ledger."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """None of them is yet: the next start seals those that are there."""

    dependencies = (("service", "0014_state_changes"),)
    operations = (migrations.AddField("statechange", "sealed", models.BooleanField(default=False)),)
