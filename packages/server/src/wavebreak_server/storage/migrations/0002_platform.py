"""The tables of what people and platforms set up."""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.db import migrations, models


def _id() -> Any:
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


class Migration(migrations.Migration):
    """Keys, the audit, webhooks and their letters, quotas given."""

    dependencies = (("service", "0001_initial"),)
    operations = (
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                ("prefix", models.CharField(max_length=8, primary_key=True, serialize=False)),
                ("digest", models.BinaryField(max_length=32)),
                ("name", models.CharField(max_length=100)),
                ("scopes", models.CharField(max_length=64)),
                ("rate", models.FloatField()),
                ("burst", models.FloatField()),
                ("created_ms", models.BigIntegerField()),
                ("ends_ms", models.BigIntegerField(null=True)),
            ],
            options={"db_table": "api_key"},
        ),
        migrations.CreateModel(
            name="Change",
            fields=[
                ("number", models.BigAutoField(primary_key=True, serialize=False)),
                ("at_ms", models.BigIntegerField()),
                ("key", models.CharField(max_length=32)),
                ("action", models.CharField(max_length=32)),
                ("object", models.CharField(max_length=128)),
                ("reason", models.CharField(max_length=1100)),
                ("outcome", models.CharField(max_length=16)),
            ],
            options={"db_table": "change"},
        ),
        migrations.CreateModel(
            name="Hook",
            fields=[
                ("id", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("url", models.CharField(max_length=2000)),
                ("least", models.CharField(max_length=16)),
                ("created_ms", models.BigIntegerField()),
                ("cursor", models.BigIntegerField()),
                ("generation", models.IntegerField(default=1)),
                ("former_ends_ms", models.BigIntegerField(default=0)),
            ],
            options={"db_table": "hook"},
        ),
        migrations.CreateModel(
            name="Extension",
            fields=[
                ("id", _id()),
                ("account", models.CharField(max_length=128)),
                ("at_ms", models.BigIntegerField()),
            ],
            options={
                "db_table": "extension",
                "indexes": [
                    models.Index(fields=["account", "at_ms"], name="extension_account"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Letter",
            fields=[
                ("id", _id()),
                ("number", models.BigIntegerField()),
                ("attempts", models.IntegerField(default=0)),
                ("next_ms", models.BigIntegerField()),
                ("dead", models.BooleanField(default=False)),
                ("last_status", models.IntegerField(null=True)),
                ("last_error", models.CharField(default="", max_length=64)),
                (
                    "hook",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="service.hook"
                    ),
                ),
            ],
            options={
                "db_table": "letter",
                "indexes": [models.Index(fields=["dead", "next_ms"], name="letter_due")],
                "constraints": [
                    models.UniqueConstraint(fields=("hook", "number"), name="letter_once"),
                ],
            },
        ),
    )
