"""Tables of the platform for businesses."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def _id() -> Any:
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


def _mac() -> Any:
    return models.BinaryField(max_length=32, null=True)


class Migration(migrations.Migration):
    """Log and state of the platform, taken ids, keys of portfolios, history of enforcement."""

    initial = True
    replaces = tuple(
        ("business", name)
        for name in ("0001_business_platform", "0002_standing", "0003_followed_log")
    )
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="PlatformRow",
            fields=[
                ("mac", _mac()),
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("at_ms", models.BigIntegerField()),
                ("kind", models.CharField(max_length=8)),
                ("body", models.BinaryField()),
                ("position", models.BigIntegerField(default=0)),
            ],
            options={"db_table": "business_row", "verbose_name": "row of the platform's log"},
        ),
        migrations.CreateModel(
            name="TakenId",
            fields=[
                ("key", models.BinaryField(max_length=16, primary_key=True, serialize=False)),
                ("stands_for", models.BinaryField(max_length=8)),
                ("answer", models.BinaryField()),
                ("at_ms", models.BigIntegerField(db_index=True)),
            ],
            options={"db_table": "business_taken_id"},
        ),
        migrations.CreateModel(
            name="KeyPortfolio",
            fields=[
                ("id", _id()),
                ("mac", _mac()),
                ("owner", models.CharField(max_length=8)),
                ("portfolio", models.CharField(max_length=64)),
            ],
            options={
                "db_table": "business_key",
                "verbose_name": "portfolio of an API key",
                "constraints": [
                    models.UniqueConstraint(fields=("owner", "portfolio"), name="business_key_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="LogErasure",
            fields=[("id", _id())],
            options={"db_table": "business_erasure"},
        ),
        migrations.CreateModel(
            name="StandingRow",
            fields=[
                ("id", _id()),
                ("mac", _mac()),
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
        migrations.CreateModel(
            name="FollowedLog",
            fields=[
                ("id", _id()),
                ("mac", _mac()),
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
                ("id", _id()),
                ("mac", _mac()),
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
