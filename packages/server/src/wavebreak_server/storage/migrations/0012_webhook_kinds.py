"""What a webhook receives of each decision, and deliveries of enforcement states."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Webhooks so far receive decisions alone."""

    dependencies = (("service", "0011_states_and_ids"),)
    operations = (
        migrations.AddField(
            "webhook", "kinds", models.CharField(default="decisions", max_length=32)
        ),
        migrations.AddField("delivery", "state", models.BooleanField(default=False)),
        migrations.RemoveConstraint("delivery", "letter_once"),
        migrations.AddConstraint(
            "delivery",
            models.UniqueConstraint(fields=["webhook", "number", "state"], name="letter_once"),
        ),
    )
