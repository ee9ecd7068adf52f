"""How far the platform has read the service's log, and its state where its own was trimmed."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Make them."""

    dependencies = (("business", "0002_standing"),)
    operations = (
        migrations.CreateModel(
            name="FollowedLog",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("mac", models.BinaryField(max_length=32, null=True)),
                ("position", models.BigIntegerField()),
            ],
            options={
                "db_table": "business_followed",
                "verbose_name": "position until which the platform has read the service's log",
            },
        ),
        migrations.CreateModel(
            name="StatePart",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("mac", models.BinaryField(max_length=32, null=True)),
                ("number", models.BigIntegerField()),
                ("at_ms", models.BigIntegerField()),
                ("position", models.BigIntegerField()),
                ("part", models.IntegerField()),
                ("parts", models.IntegerField()),
                ("body", models.BinaryField()),
            ],
            options={
                "db_table": "business_state",
                "verbose_name": "part of the platform's state at a row of its log",
                "constraints": [
                    models.UniqueConstraint(
                        fields=["number", "part"], name="business_state_part_once"
                    )
                ],
            },
        ),
    )
