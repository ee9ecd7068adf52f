"""History of the ladder, and positions of the log's rows."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def count_events(apps: Any, _editor: Any) -> None:
    """Give rows of before their positions."""
    rows, position = apps.get_model("business", "PlatformRow").objects, 0
    for row in rows.order_by("number").iterator(chunk_size=100):
        position += bytes(row.body).count(b"\n") + 1 if row.kind == "events" else 0
        rows.filter(number=row.number).update(position=position)


class Migration(migrations.Migration):
    """Make them."""

    dependencies = (("business", "0001_business_platform"),)
    operations = (
        migrations.AddField("PlatformRow", "position", models.BigIntegerField(default=0)),
        migrations.RunPython(count_events, migrations.RunPython.noop),
        migrations.CreateModel(
            name="LogErasure",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
            ],
            options={"db_table": "business_erasure"},
        ),
        migrations.CreateModel(
            name="StandingRow",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("mac", models.BinaryField(max_length=32, null=True)),
                ("portfolio", models.CharField(max_length=200)),
                ("at_ms", models.BigIntegerField()),
                ("what", models.CharField(max_length=16)),
                ("step", models.IntegerField()),
                ("name", models.CharField(max_length=32)),
                ("bars", models.CharField(max_length=16)),
                ("begins_ms", models.BigIntegerField(null=True)),
                ("until_ms", models.BigIntegerField(null=True)),
                ("ground", models.CharField(max_length=16)),
                ("actor", models.CharField(max_length=32)),
                ("reason", models.TextField()),
            ],
            options={
                "db_table": "business_standing",
                "verbose_name": "change of a portfolio's standing",
                "indexes": [
                    models.Index(fields=["portfolio", "-id"], name="business_standing_newest")
                ],
            },
        ),
    )
