"""Whose a case is and which kind of abuse it is about; the kinds that a person is offered first."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Open cases get their kind when they are measured next; nobody is assigned one yet."""

    dependencies = (("console", "0012_saved_views"),)
    operations = (
        migrations.AddField("reviewcase", "abuse", models.CharField(default="", max_length=48)),
        migrations.AddField(
            "reviewcase",
            "assigned_to",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField("user", "kinds", models.JSONField(blank=True, default=list)),
    )
