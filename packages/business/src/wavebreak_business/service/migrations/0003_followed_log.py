"""How far the platform has read the service's log."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Make it."""

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
    )
