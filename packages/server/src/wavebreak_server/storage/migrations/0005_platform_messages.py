"""Messages to the platform beside decisions, delivered by the same dispatcher."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds the messages, and lets a delivery have one instead of a decision's number."""

    dependencies = (("service", "0004_names"),)
    operations = (
        migrations.CreateModel(
            name="PlatformMessage",
            fields=[
                ("id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("type", models.CharField(max_length=32)),
                ("data", models.BinaryField()),
                ("created_ms", models.BigIntegerField()),
            ],
            options={"db_table": "platform_message"},
        ),
        migrations.AlterField("Delivery", "number", models.BigIntegerField(null=True)),
        migrations.AddField(
            "Delivery",
            "message",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="deliveries",
                to="service.platformmessage",
            ),
        ),
        migrations.AddConstraint(
            "Delivery",
            models.UniqueConstraint(fields=["webhook", "message"], name="letter_message_once"),
        ),
    )
