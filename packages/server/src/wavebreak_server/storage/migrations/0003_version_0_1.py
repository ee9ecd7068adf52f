"""The tables of version 0.1, under today's names of models and fields."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def _id() -> Any:
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


def _head(apps: Any, _schema: Any) -> None:
    apps.get_model("service", "LedgerHead").objects.create(id=1)


class Migration(migrations.Migration):
    """The log and what was decided; what people and platforms set up; the ledger."""

    initial = True
    replaces = tuple(("service", name) for name in ("0001_initial", "0002_platform", "0003_ledger"))
    dependencies: tuple[Any, ...] = ()
    operations = (
        migrations.CreateModel(
            name="AppliedPosition",
            fields=[
                ("id", _id()),
                ("position", models.BigIntegerField(default=0)),
                ("decisions", models.BigIntegerField(default=0)),
                ("made_by", models.CharField(default="", max_length=256)),
            ],
            options={"db_table": "log_applied"},
        ),
        migrations.CreateModel(
            name="LogBatch",
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
                "indexes": [models.Index(fields=["account", "number"], name="decision_account")],
            },
        ),
        migrations.CreateModel(
            name="EnforcementState",
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
            name="AuditEntry",
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
            name="Webhook",
            fields=[
                ("id", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("url", models.CharField(max_length=2000)),
                ("min_outcome", models.CharField(db_column="least", max_length=16)),
                ("created_ms", models.BigIntegerField()),
                ("cursor", models.BigIntegerField()),
                ("generation", models.IntegerField(default=1)),
                ("former_ends_ms", models.BigIntegerField(default=0)),
            ],
            options={"db_table": "hook"},
        ),
        migrations.CreateModel(
            name="QuotaExtension",
            fields=[
                ("id", _id()),
                ("account", models.CharField(max_length=128)),
                ("at_ms", models.BigIntegerField()),
            ],
            options={
                "db_table": "extension",
                "indexes": [models.Index(fields=["account", "at_ms"], name="extension_account")],
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                ("id", _id()),
                ("number", models.BigIntegerField()),
                ("attempts", models.IntegerField(default=0)),
                ("next_ms", models.BigIntegerField()),
                ("dead_lettered", models.BooleanField(db_column="dead", default=False)),
                ("last_status", models.IntegerField(null=True)),
                ("last_error", models.CharField(default="", max_length=64)),
                (
                    "webhook",
                    models.ForeignKey(
                        db_column="hook_id", on_delete=models.CASCADE, to="service.webhook"
                    ),
                ),
            ],
            options={
                "db_table": "letter",
                "indexes": [models.Index(fields=["dead_lettered", "next_ms"], name="letter_due")],
                "constraints": [
                    models.UniqueConstraint(fields=("webhook", "number"), name="letter_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="LedgerHead",
            fields=[
                ("id", _id()),
                ("size", models.BigIntegerField(default=0)),
                ("note", models.BinaryField(default=b"")),
                ("receipted", models.BigIntegerField(default=0)),
                ("versions", models.CharField(default="", max_length=256)),
                ("differ", models.BigIntegerField(default=0)),
            ],
            options={"db_table": "ledger_head"},
        ),
        migrations.CreateModel(
            name="LedgerEntry",
            fields=[
                ("position", models.BigIntegerField(primary_key=True, serialize=False)),
                ("line", models.BinaryField()),
                ("nodes", models.BinaryField()),
            ],
            options={"db_table": "ledger_entry"},
        ),
        migrations.CreateModel(
            name="LedgerOpening",
            fields=[
                ("position", models.BigIntegerField(primary_key=True, serialize=False)),
                ("account", models.CharField(default="", max_length=128)),
                ("subject", models.CharField(default="", max_length=64)),
                ("openings", models.BinaryField(db_column="told")),
            ],
            options={
                "db_table": "ledger_opening",
                "indexes": [
                    models.Index(fields=["account"], name="ledger_opening_account"),
                    models.Index(fields=["subject"], name="ledger_opening_subject"),
                ],
            },
        ),
        migrations.CreateModel(
            name="LedgerCheckpoint",
            fields=[
                ("minute", models.BigIntegerField(primary_key=True, serialize=False)),
                ("size", models.BigIntegerField()),
                ("note", models.BinaryField()),
            ],
            options={"db_table": "ledger_checkpoint"},
        ),
        migrations.RunPython(_head, migrations.RunPython.noop),
    )
