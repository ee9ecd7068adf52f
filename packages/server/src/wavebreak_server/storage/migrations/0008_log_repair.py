"""Adds the record of log repairs."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds the repairs of the log, which recovery reads."""

    dependencies = (("service", "0007_erasures"),)
    operations = (
        migrations.CreateModel(
            name="LogRepair",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at_ms", models.BigIntegerField()),
                ("position", models.BigIntegerField()),
                ("end", models.BigIntegerField()),
                ("events", models.BigIntegerField()),
                ("decisions", models.BigIntegerField()),
                ("done", models.BooleanField(default=False)),
            ],
            options={"db_table": "log_repair"},
        ),
    )
