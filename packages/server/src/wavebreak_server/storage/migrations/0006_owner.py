"""Which server owns the log."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def _first(apps: Any, _schema: Any) -> None:
    apps.get_model("service", "Owner").objects.create(id=1)


class Migration(migrations.Migration):
    """Adds the epoch of the owner, which every new owner raises."""

    dependencies = (("service", "0005_platform_messages"),)
    operations = (
        migrations.CreateModel(
            name="Owner",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("epoch", models.BigIntegerField(default=0)),
                ("holder", models.CharField(default="", max_length=128)),
                ("since_ms", models.BigIntegerField(default=0)),
            ],
            options={"db_table": "owner"},
        ),
        migrations.RunPython(_first, migrations.RunPython.noop),
    )
