"""Tables of the platform for businesses."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Make them."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="PlatformRow",
            fields=[
                ("mac", models.BinaryField(max_length=32, null=True)),
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("at_ms", models.BigIntegerField()),
                ("kind", models.CharField(max_length=8)),
                ("body", models.BinaryField()),
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
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("mac", models.BinaryField(max_length=32, null=True)),
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
    )
