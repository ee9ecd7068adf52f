"""The list of erasures."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def _id() -> Any:
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


class Migration(migrations.Migration):
    """Adds the list of erasures; those before it are in the audit alone."""

    dependencies = (("service", "0006_owner"),)
    operations = (
        migrations.CreateModel(
            name="Erasure",
            fields=[
                ("id", _id()),
                ("account", models.CharField(max_length=128)),
                ("at_ms", models.BigIntegerField()),
                ("upto", models.BigIntegerField()),
                ("events", models.BigIntegerField(default=0)),
                ("openings", models.BigIntegerField(default=0)),
                ("erased", models.BooleanField(default=False)),
                ("sealed", models.BooleanField(default=False)),
            ],
            options={"db_table": "erasure"},
        ),
    )
