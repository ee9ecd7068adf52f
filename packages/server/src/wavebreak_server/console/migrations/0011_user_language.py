"""The language of a person's pages."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Nobody has chosen one yet: pages are in the language of the browser."""

    dependencies = (("console", "0010_waiting_cases"),)
    operations = (
        migrations.AddField(
            "user", "language", models.CharField(blank=True, default="", max_length=8)
        ),
    )
