"""The tables that the hot path fills."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


class Migration(migrations.Migration):
    """Log, applied position, decisions, standings, answers to repeated requests."""

    initial = True
    dependencies: tuple[Any, ...] = ()
    operations = (
        migrations.CreateModel(
            name="Applied",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("position", models.BigIntegerField(default=0)),
                ("decisions", models.BigIntegerField(default=0)),
                ("made_by", models.CharField(default="", max_length=256)),
            ],
            options={"db_table": "log_applied"},
        ),
        migrations.CreateModel(
            name="Batch",
            fields=[
                ("first", models.BigIntegerField(primary_key=True, serialize=False)),
                ("count", models.IntegerField()),
                ("received_ms", models.BigIntegerField()),
                ("sha256", models.BinaryField(max_length=32)),
                ("blob", models.BinaryField()),
            ],
            options={"db_table": "log_batch"},
        ),
        migrations.CreateModel(
            name="Idempotency",
            fields=[
                ("key", models.BinaryField(max_length=32, primary_key=True, serialize=False)),
                ("body", models.BinaryField(max_length=32)),
                ("answer", models.BinaryField()),
                ("at_ms", models.BigIntegerField(db_index=True)),
            ],
            options={"db_table": "idempotency"},
        ),
        migrations.CreateModel(
            name="Decision",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("id", models.CharField(max_length=32, unique=True)),
                ("account", models.CharField(max_length=128)),
                ("ts", models.BigIntegerField()),
                ("stage", models.CharField(max_length=16)),
                ("outcome", models.CharField(max_length=16)),
                ("until", models.BigIntegerField(null=True)),
                ("reached", models.BigIntegerField()),
                ("body", models.BinaryField()),
            ],
            options={
                "db_table": "decision",
                "indexes": [
                    models.Index(fields=["account", "number"], name="decision_account"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Standing",
            fields=[
                ("account", models.CharField(max_length=128, primary_key=True, serialize=False)),
                ("outcome", models.CharField(max_length=16)),
                ("until", models.BigIntegerField(null=True)),
                ("ts", models.BigIntegerField()),
                ("decision", models.BigIntegerField()),
            ],
            options={
                "db_table": "standing",
                "indexes": [models.Index(fields=["outcome"], name="standing_outcome")],
            },
        ),
    )
