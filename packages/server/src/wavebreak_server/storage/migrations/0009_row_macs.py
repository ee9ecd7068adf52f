"""MACs of rows, and the proofs of the log's rows; the next start makes them for what is there."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Columns that SQLite can add without copying a table, and two tables beside the log."""

    dependencies = (("service", "0008_log_repair"),)
    operations = (
        migrations.CreateModel(
            name="LogProof",
            fields=[
                ("first", models.BigIntegerField(primary_key=True, serialize=False)),
                ("salt", models.BinaryField(max_length=32)),
                ("leaf", models.BinaryField(max_length=32)),
                ("chain", models.BinaryField(max_length=32)),
                ("mac", models.BinaryField(max_length=32)),
                ("sealed", models.BooleanField(default=True)),
            ],
            options={
                "db_table": "log_proof",
                "indexes": [
                    models.Index(
                        condition=models.Q(("sealed", False)),
                        fields=["first"],
                        name="log_proof_unsealed",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="LogStart",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("position", models.BigIntegerField()),
                ("chain", models.BinaryField(max_length=32)),
                ("mac", models.BinaryField(max_length=32)),
            ],
            options={"db_table": "log_start"},
        ),
        migrations.AddField("apikey", "mac", models.BinaryField(max_length=32, null=True)),
        migrations.AddField("auditentry", "mac", models.BinaryField(max_length=32, null=True)),
        migrations.AddField(
            "auditentry", "sealed", models.BooleanField(default=False, db_index=True)
        ),
        migrations.AddField("decision", "mac", models.BinaryField(max_length=32, null=True)),
        migrations.AddField("webhook", "mac", models.BinaryField(max_length=32, null=True)),
        migrations.AddField("ledgerhead", "committed", models.BigIntegerField(default=-1)),
    )
