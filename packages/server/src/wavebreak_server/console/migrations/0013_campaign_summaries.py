"""Figures of campaigns, so that the queue counts no cases."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """A row for each campaign; the indexer fills the table."""

    dependencies = (("console", "0012_campaigns"),)
    operations = (
        migrations.CreateModel(
            "CampaignSummary",
            [
                ("key", models.CharField(max_length=112, primary_key=True, serialize=False)),
                ("cases", models.IntegerField()),
                ("risk", models.FloatField()),
                ("due_ms", models.BigIntegerField()),
                ("figures", models.JSONField()),
            ],
            {
                "db_table": "console_campaign",
                "indexes": [models.Index(fields=["due_ms"], name="console_campaign_due")],
            },
        ),
    )
