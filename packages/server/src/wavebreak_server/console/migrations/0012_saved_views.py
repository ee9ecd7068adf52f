"""Views of a query over accounts."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Nobody has saved one yet."""

    dependencies = (("console", "0011_user_language"),)
    operations = (
        migrations.CreateModel(
            name="SavedView",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=60)),
                ("criteria", models.JSONField(default=dict)),
                ("shared", models.BooleanField(default=False)),
                ("created_ms", models.BigIntegerField()),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"db_table": "console_saved_view"},
        ),
        migrations.AddConstraint(
            "savedview",
            models.UniqueConstraint(fields=["owner", "name"], name="console_saved_view_once"),
        ),
    )
