"""Links that show one case to somebody without an account."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Nobody has made one yet."""

    dependencies = (("console", "0013_routed_cases"),)
    operations = (
        migrations.CreateModel(
            name="SharedCase",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("reason", models.CharField(max_length=500)),
                ("created_ms", models.BigIntegerField()),
                ("expires_ms", models.BigIntegerField()),
                ("revoked_ms", models.BigIntegerField(null=True)),
                ("opened_ms", models.BigIntegerField(null=True)),
                (
                    "by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="shares",
                        to="console.reviewcase",
                    ),
                ),
            ],
            options={"db_table": "console_shared_case"},
        ),
    )
