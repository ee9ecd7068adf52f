"""Sources, and the source that an API key belongs to."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Keys so far belong to no source, and none is declared."""

    dependencies = (("service", "0012_webhook_kinds"),)
    operations = (
        migrations.CreateModel(
            name="Source",
            fields=[
                ("mac", models.BinaryField(max_length=32, null=True)),
                (
                    "name",
                    models.CharField(max_length=64, primary_key=True, serialize=False),
                ),
                ("carries", models.TextField()),
                ("can", models.CharField(max_length=64)),
                ("created_ms", models.BigIntegerField()),
                ("changed_ms", models.BigIntegerField()),
            ],
            options={"db_table": "source"},
        ),
        migrations.AddField("apikey", "source", models.CharField(default="", max_length=64)),
    )
