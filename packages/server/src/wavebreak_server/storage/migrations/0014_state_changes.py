"""States that changed without a decision, when keys sent events, and which ids they may send."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """None so far; no key may send ids that look like personal data."""

    dependencies = (("service", "0013_sources"),)
    operations = (
        migrations.CreateModel(
            name="StateChange",
            fields=[
                ("mac", models.BinaryField(max_length=32, null=True)),
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("account", models.CharField(max_length=255)),
                ("after", models.BigIntegerField()),
                ("decision", models.BigIntegerField()),
                ("lifted", models.BooleanField()),
                ("sent", models.BooleanField(default=False)),
            ],
            options={
                "db_table": "state_change",
                "indexes": [
                    models.Index(fields=["after"], name="state_change_after"),
                    models.Index(
                        condition=models.Q(("sent", False)),
                        fields=["number"],
                        name="state_change_unsent",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="KeyActivity",
            fields=[
                (
                    "prefix",
                    models.CharField(max_length=8, primary_key=True, serialize=False),
                ),
                ("seen_ms", models.BigIntegerField()),
                ("behind_ms", models.BigIntegerField()),
            ],
            options={"db_table": "key_activity"},
        ),
        migrations.AddField("apikey", "identifiers", models.BooleanField(default=False)),
    )
