"""Tables and columns that version 0.3 adds to the console of 0.2."""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def _id() -> Any:
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


def _reference(to: str, on_delete: Any, name: str = "+", **options: Any) -> Any:
    return models.ForeignKey(on_delete=on_delete, related_name=name, to=to, **options)


CASCADE, PROTECT = django.db.models.deletion.CASCADE, django.db.models.deletion.PROTECT
SET_NULL = django.db.models.deletion.SET_NULL


def _delete_second_looks(apps: Any, _editor: Any) -> None:
    """Delete second looks and copies of golden cases with their reviews: they acted on nobody."""
    apps.get_model("console", "ReviewCase").objects.filter(blind=True).delete()


class Migration(migrations.Migration):
    """Undo of acts, queue order, languages, saved views, links to cases; no second looks."""

    replaces = tuple(
        ("console", name)
        for name in (
            "0008_undone_acts",
            "0009_drawn_cases",
            "0010_waiting_cases",
            "0011_user_language",
            "0012_saved_views",
            "0013_routed_cases",
            "0014_shared_cases",
        )
    )
    dependencies = (("console", "0007_version_0_2"),)
    operations = (
        # Acts of earlier versions name no case; their undo opens none.
        migrations.AddField(
            "personact", "case", _reference("console.reviewcase", SET_NULL, "acts", null=True)
        ),
        migrations.AddField("personact", "undo_event", models.CharField(default="", max_length=64)),
        migrations.AddField("review", "undone_ms", models.BigIntegerField(null=True)),
        migrations.AddField("reviewcase", "reopened_at", models.BigIntegerField(default=0)),
        # Every open case is measured soon after the start, and waits until then.
        migrations.AddField("reviewcase", "idle", models.BooleanField(default=False)),
        migrations.AddField("reviewcase", "measured_ms", models.BigIntegerField(default=0)),
        migrations.RemoveIndex("reviewcase", "console_case_priority"),
        migrations.AddIndex(
            "reviewcase",
            models.Index(fields=["state", "idle", "-priority", "id"], name="console_case_waiting"),
        ),
        migrations.AddIndex(
            "reviewcase",
            models.Index(fields=["state", "measured_ms"], name="console_case_measured"),
        ),
        migrations.AddField("reviewcase", "abuse", models.CharField(default="", max_length=48)),
        migrations.AddField(
            "user", "language", models.CharField(blank=True, default="", max_length=8)
        ),
        migrations.CreateModel(
            name="SavedView",
            fields=[
                ("id", _id()),
                ("name", models.CharField(max_length=60)),
                ("criteria", models.JSONField(default=dict)),
                ("shared", models.BooleanField(default=False)),
                ("created_ms", models.BigIntegerField()),
                ("owner", _reference(settings.AUTH_USER_MODEL, CASCADE)),
            ],
            options={"db_table": "console_saved_view"},
        ),
        migrations.AddConstraint(
            "savedview",
            models.UniqueConstraint(fields=["owner", "name"], name="console_saved_view_once"),
        ),
        migrations.CreateModel(
            name="SharedCase",
            fields=[
                ("id", _id()),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("reason", models.CharField(max_length=500)),
                ("created_ms", models.BigIntegerField()),
                ("expires_ms", models.BigIntegerField()),
                ("revoked_ms", models.BigIntegerField(null=True)),
                ("opened_ms", models.BigIntegerField(null=True)),
                ("by", _reference(settings.AUTH_USER_MODEL, PROTECT)),
                ("case", _reference("console.reviewcase", CASCADE, "shares")),
            ],
            options={"db_table": "console_shared_case"},
        ),
        # Their columns go in the next migration: PostgreSQL alters no table in the transaction
        # that has deleted rows of it.
        migrations.RunPython(_delete_second_looks, migrations.RunPython.noop),
    )
