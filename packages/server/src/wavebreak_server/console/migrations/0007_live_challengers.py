"""Columns for a challenger that is followed on the live stream."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """No model is followed so far."""

    dependencies = (("console", "0006_account_ids"),)
    operations = (
        migrations.AddField("modelversion", "beside_ms", models.BigIntegerField(null=True)),
        migrations.AddField(
            "modelversion",
            "beside_by",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
    )
