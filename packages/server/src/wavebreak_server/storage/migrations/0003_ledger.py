"""The ledger: what was decided, said and done, sealed."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def _head(apps: Any, _schema: Any) -> None:
    apps.get_model("service", "LedgerHead").objects.create(id=1)


class Migration(migrations.Migration):
    """Entries with their tree, what opens them, checkpoints; decisions before it are not sealed."""

    dependencies = (("service", "0002_platform"),)
    operations = (
        migrations.CreateModel(
            name="LedgerHead",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
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
                ("told", models.BinaryField()),
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
