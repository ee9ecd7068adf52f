"""The tables of the console as version 0.2 had them."""

from __future__ import annotations

from typing import Any

import django.contrib.auth.models
import django.core.validators
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from wavebreak_server.storage.migration_operations import WidenField


def _id() -> Any:
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


def _user(on_delete: Any, **options: Any) -> Any:
    return models.ForeignKey(
        on_delete=on_delete, related_name="+", to=settings.AUTH_USER_MODEL, **options
    )


class Migration(migrations.Migration):
    """Seven migrations in one; a database of 0.1 has none of them, one of 0.2 all."""

    initial = True
    replaces = tuple(
        ("console", name)
        for name in (
            "0001_initial",
            "0002_appeals",
            "0003_policy",
            "0004_models",
            "0005_golden_cases",
            "0006_account_ids",
            "0007_live_challengers",
        )
    )
    dependencies = (("auth", "0012_alter_user_first_name_max_length"),)
    operations = (
        migrations.CreateModel(
            name="IndexerState",
            fields=[
                ("id", _id()),
                ("cursor", models.BigIntegerField(default=0)),
                ("warned", models.BigIntegerField(default=0)),
            ],
            options={
                "db_table": "console_indexer",
            },
        ),
        migrations.CreateModel(
            name="User",
            fields=[
                ("id", _id()),
                ("password", models.CharField(max_length=128, verbose_name="password")),
                (
                    "last_login",
                    models.DateTimeField(blank=True, null=True, verbose_name="last login"),
                ),
                (
                    "is_superuser",
                    models.BooleanField(
                        default=False,
                        help_text="Designates that this user has all permissions without explicitly assigning them.",
                        verbose_name="superuser status",
                    ),
                ),
                (
                    "first_name",
                    models.CharField(blank=True, max_length=150, verbose_name="first name"),
                ),
                (
                    "last_name",
                    models.CharField(blank=True, max_length=150, verbose_name="last name"),
                ),
                (
                    "email",
                    models.EmailField(blank=True, max_length=254, verbose_name="email address"),
                ),
                (
                    "is_staff",
                    models.BooleanField(
                        default=False,
                        help_text="Designates whether the user can log into this admin site.",
                        verbose_name="staff status",
                    ),
                ),
                (
                    "is_active",
                    models.BooleanField(
                        default=True,
                        help_text="Designates whether this user should be treated as active. Unselect this instead of deleting accounts.",
                        verbose_name="active",
                    ),
                ),
                (
                    "date_joined",
                    models.DateTimeField(
                        default=django.utils.timezone.now, verbose_name="date joined"
                    ),
                ),
                (
                    "username",
                    models.CharField(
                        max_length=24,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z][a-z0-9._-]{1,23}$", "2 to 24 of a-z, 0-9, dot, dash"
                            )
                        ],
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("analyst", "Analyst"),
                            ("lead", "Lead analyst"),
                            ("policy_owner", "Policy owner"),
                            ("data_scientist", "Data scientist"),
                            ("counsel", "Counsel"),
                            ("auditor", "Auditor (read only)"),
                            ("admin", "Administrator"),
                        ],
                        default="auditor",
                        max_length=16,
                    ),
                ),
                ("display_name", models.CharField(blank=True, max_length=80)),
                ("key_map", models.JSONField(blank=True, default=dict)),
                ("keys_off", models.BooleanField(default=False)),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The groups this user belongs to. A user will get all permissions granted to each of their groups.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.group",
                        verbose_name="groups",
                    ),
                ),
                (
                    "user_permissions",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Specific permissions for this user.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.permission",
                        verbose_name="user permissions",
                    ),
                ),
            ],
            options={
                "db_table": "console_user",
            },
            managers=[
                ("objects", django.contrib.auth.models.UserManager()),
            ],
        ),
        migrations.CreateModel(
            name="Batch",
            fields=[
                ("id", models.CharField(max_length=24, primary_key=True, serialize=False)),
                ("at_ms", models.BigIntegerField()),
                ("what", models.CharField(max_length=64)),
                ("reason", models.CharField(max_length=500)),
                ("source", models.CharField(max_length=128)),
                ("count", models.IntegerField(default=0)),
                ("done", models.IntegerField(default=0)),
                ("undone_ms", models.BigIntegerField(null=True)),
                ("by", _user(models.PROTECT)),
                ("undone_by", _user(models.PROTECT, null=True)),
            ],
            options={
                "db_table": "console_batch",
            },
        ),
        migrations.CreateModel(
            name="DailyCount",
            fields=[
                ("id", _id()),
                ("day", models.IntegerField()),
                ("outcome", models.CharField(max_length=16)),
                ("stage", models.CharField(max_length=16)),
                ("automated", models.BooleanField()),
                ("count", models.BigIntegerField(default=0)),
            ],
            options={
                "db_table": "console_daily_count",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("day", "outcome", "stage", "automated"),
                        name="console_daily_count_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ReviewCase",
            fields=[
                ("id", _id()),
                ("account", models.CharField(max_length=255)),
                ("decision", models.BigIntegerField()),
                ("outcome", models.CharField(max_length=16)),
                ("rule", models.CharField(default="", max_length=64)),
                ("basis", models.CharField(default="", max_length=16)),
                ("score", models.FloatField(null=True)),
                ("decisions", models.IntegerField(default=1)),
                ("opened_ms", models.BigIntegerField()),
                ("changed_ms", models.BigIntegerField()),
                ("harm", models.FloatField()),
                ("uncertainty", models.FloatField()),
                ("priority", models.FloatField()),
                ("why", models.JSONField(default=list)),
                ("state", models.CharField(default="open", max_length=8)),
                ("golden", models.CharField(default="", max_length=16)),
                ("blind", models.BooleanField(default=False)),
                ("lease_until_ms", models.BigIntegerField(default=0)),
                ("claimed_ms", models.BigIntegerField(default=0)),
                ("note", models.CharField(blank=True, default="", max_length=500)),
                ("note_by", models.CharField(blank=True, default="", max_length=32)),
                ("closed_ms", models.BigIntegerField(null=True)),
                ("verdict", models.CharField(default="", max_length=16)),
                ("version", models.IntegerField(default=0)),
                ("claimed_by", _user(models.SET_NULL, null=True)),
                ("golden_reason", models.CharField(blank=True, default="", max_length=500)),
                (
                    "copy_of",
                    models.ForeignKey(
                        null=True,
                        on_delete=models.CASCADE,
                        related_name="copies",
                        to="console.reviewcase",
                    ),
                ),
            ],
            options={
                "db_table": "console_review_case",
                "indexes": [
                    models.Index(fields=["state", "-priority", "id"], name="console_case_priority"),
                    models.Index(fields=["state", "opened_ms"], name="console_case_age"),
                    models.Index(fields=["account"], name="console_case_account"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "open")),
                        fields=("account", "blind"),
                        name="console_one_open_case",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Review",
            fields=[
                ("id", _id()),
                ("kind", models.CharField(max_length=8)),
                ("verdict", models.CharField(max_length=16)),
                ("outcome", models.CharField(default="", max_length=16)),
                ("hold_s", models.BigIntegerField(null=True)),
                ("reason", models.CharField(max_length=500)),
                ("at_ms", models.BigIntegerField()),
                ("seconds", models.IntegerField(default=0)),
                ("batch", models.CharField(default="", max_length=24)),
                ("reviewer", _user(models.PROTECT)),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=models.CASCADE, related_name="reviews", to="console.reviewcase"
                    ),
                ),
            ],
            options={
                "db_table": "console_review",
                "indexes": [models.Index(fields=["reviewer", "at_ms"], name="console_review_by")],
            },
        ),
        migrations.CreateModel(
            name="CaseSkip",
            fields=[
                ("id", _id()),
                ("until_ms", models.BigIntegerField()),
                ("reviewer", _user(models.CASCADE)),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=models.CASCADE, related_name="skips", to="console.reviewcase"
                    ),
                ),
            ],
            options={
                "db_table": "console_case_skip",
            },
        ),
        migrations.CreateModel(
            name="SecondOpinion",
            fields=[
                ("id", _id()),
                ("question", models.CharField(max_length=500)),
                ("asked_ms", models.BigIntegerField()),
                ("answer", models.CharField(default="", max_length=500)),
                ("answered_ms", models.BigIntegerField(null=True)),
                ("answered_by", _user(models.PROTECT, null=True)),
                ("asked_by", _user(models.PROTECT)),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=models.CASCADE, related_name="opinions", to="console.reviewcase"
                    ),
                ),
            ],
            options={
                "db_table": "console_second_opinion",
            },
        ),
        migrations.CreateModel(
            name="PersonAct",
            fields=[
                ("id", _id()),
                ("account", models.CharField(max_length=255)),
                ("at_ms", models.BigIntegerField()),
                ("verdict", models.CharField(max_length=16)),
                ("outcome", models.CharField(max_length=16)),
                ("until_ms", models.BigIntegerField(null=True)),
                ("before", models.CharField(max_length=16)),
                ("before_until_ms", models.BigIntegerField(null=True)),
                ("reason", models.CharField(max_length=500)),
                ("event", models.CharField(max_length=64)),
                ("undone_ms", models.BigIntegerField(null=True)),
                ("undone_note", models.CharField(default="", max_length=200)),
                (
                    "batch",
                    models.ForeignKey(
                        null=True, on_delete=models.PROTECT, related_name="acts", to="console.batch"
                    ),
                ),
                ("by", _user(models.PROTECT)),
                ("undone_by", _user(models.PROTECT, null=True)),
            ],
            options={
                "db_table": "console_person_act",
                "indexes": [models.Index(fields=["account", "at_ms"], name="console_act_account")],
            },
        ),
        migrations.CreateModel(
            name="HelpAnswer",
            fields=[
                ("id", _id()),
                ("day", models.IntegerField()),
                ("page", models.CharField(max_length=16)),
                ("language", models.CharField(max_length=8)),
                ("helped", models.BooleanField()),
                ("reason", models.CharField(default="", max_length=16)),
                ("count", models.BigIntegerField(default=0)),
            ],
            options={
                "db_table": "console_help_answer",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("day", "page", "language", "helped", "reason"),
                        name="console_help_answer_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="NoticeState",
            fields=[
                ("id", _id()),
                ("decision", models.CharField(max_length=32)),
                ("account", models.CharField(max_length=128)),
                ("language", models.CharField(max_length=8)),
                ("shown_ms", models.BigIntegerField()),
                ("statement", models.BinaryField()),
            ],
            options={
                "db_table": "console_notice",
                "indexes": [models.Index(fields=["account"], name="console_notice_account")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("decision", "language"), name="console_notice_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Appeal",
            fields=[
                ("id", _id()),
                ("decision", models.CharField(max_length=32)),
                ("number", models.BigIntegerField()),
                ("position", models.BigIntegerField(null=True)),
                ("account", models.CharField(max_length=128)),
                ("outcome", models.CharField(max_length=16)),
                ("basis", models.CharField(default="", max_length=16)),
                ("rule", models.CharField(default="", max_length=64)),
                ("model", models.CharField(default="", max_length=128)),
                ("state", models.CharField(default="unverified", max_length=16)),
                ("via", models.CharField(max_length=16)),
                ("language", models.CharField(max_length=8)),
                ("created_ms", models.BigIntegerField()),
                ("opened_ms", models.BigIntegerField(null=True)),
                ("deadline_ms", models.BigIntegerField(null=True)),
                ("decided_ms", models.BigIntegerField(null=True)),
                ("statement", models.BinaryField(null=True)),
                ("erased_ms", models.BigIntegerField(null=True)),
                ("text_key", models.CharField(default="", max_length=32)),
                ("device_key", models.CharField(default="", max_length=32)),
                ("group", models.CharField(default="", max_length=48)),
                ("together", models.BooleanField(default=False)),
                ("code_message", models.CharField(default="", max_length=40)),
                ("code_expires_ms", models.BigIntegerField(default=0)),
                ("code_attempts", models.IntegerField(default=0)),
                ("codes_sent", models.IntegerField(default=0)),
                ("result", models.CharField(default="", max_length=20)),
                ("reason", models.CharField(default="", max_length=2000)),
                ("new_outcome", models.CharField(default="", max_length=16)),
                ("new_until_ms", models.BigIntegerField(null=True)),
                ("version", models.IntegerField(default=0)),
                ("decided_by", _user(models.PROTECT, null=True)),
            ],
            options={
                "db_table": "console_appeal",
                "indexes": [
                    models.Index(
                        fields=["state", "deadline_ms", "id"], name="console_appeal_deadline"
                    ),
                    models.Index(fields=["account"], name="console_appeal_account"),
                    models.Index(fields=["state", "group"], name="console_appeal_group"),
                    models.Index(fields=["text_key"], name="console_appeal_text"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "withdrawn"), _negated=True),
                        fields=("decision",),
                        name="console_one_appeal",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PolicyVersion",
            fields=[
                ("id", _id()),
                ("state", models.CharField(default="draft", max_length=8)),
                ("reason", models.CharField(max_length=500)),
                ("created_ms", models.BigIntegerField()),
                ("changed_ms", models.BigIntegerField()),
                ("digest", models.CharField(default="", max_length=64)),
                ("policy", models.CharField(default="", max_length=128)),
                ("problem", models.TextField(default="")),
                ("approved_ms", models.BigIntegerField(null=True)),
                ("approval", models.CharField(default="", max_length=500)),
                ("live_ms", models.BigIntegerField(null=True)),
                ("retired_ms", models.BigIntegerField(null=True)),
                ("note", models.CharField(default="", max_length=500)),
                ("version", models.IntegerField(default=0)),
                ("approved_by", _user(models.PROTECT, null=True)),
                ("author", _user(models.PROTECT)),
                ("live_by", _user(models.PROTECT, null=True)),
                (
                    "parent",
                    models.ForeignKey(
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="console.policyversion",
                    ),
                ),
            ],
            options={
                "db_table": "console_policy_version",
                "indexes": [models.Index(fields=["state", "-id"], name="console_policy_state")],
            },
        ),
        migrations.CreateModel(
            name="PolicyReplay",
            fields=[
                ("id", _id()),
                ("state", models.CharField(default="running", max_length=8)),
                ("started_ms", models.BigIntegerField()),
                ("ended_ms", models.BigIntegerField(null=True)),
                ("digest", models.CharField(max_length=64)),
                ("live", models.CharField(max_length=128)),
                ("result", models.JSONField(default=dict)),
                ("problem", models.CharField(default="", max_length=500)),
                ("by", _user(models.PROTECT)),
                (
                    "of",
                    models.ForeignKey(
                        on_delete=models.CASCADE, related_name="replays", to="console.policyversion"
                    ),
                ),
            ],
            options={
                "db_table": "console_policy_replay",
                "indexes": [models.Index(fields=["of", "-id"], name="console_policy_replay_of")],
            },
        ),
        migrations.CreateModel(
            name="ModelVersion",
            fields=[
                ("id", _id()),
                ("state", models.CharField(default="registered", max_length=10)),
                ("reason", models.CharField(max_length=500)),
                ("created_ms", models.BigIntegerField()),
                ("model", models.CharField(max_length=128)),
                ("features", models.JSONField(default=list)),
                ("approved_ms", models.BigIntegerField(null=True)),
                ("approval", models.CharField(default="", max_length=500)),
                ("live_ms", models.BigIntegerField(null=True)),
                ("retired_ms", models.BigIntegerField(null=True)),
                ("note", models.CharField(default="", max_length=500)),
                ("version", models.IntegerField(default=0)),
                ("approved_by", _user(models.PROTECT, null=True)),
                ("author", _user(models.PROTECT)),
                ("live_by", _user(models.PROTECT, null=True)),
                ("beside_ms", models.BigIntegerField(null=True)),
                ("beside_by", _user(models.PROTECT, null=True)),
            ],
            options={
                "db_table": "console_model_version",
                "indexes": [models.Index(fields=["state", "-id"], name="console_model_state")],
            },
        ),
        migrations.CreateModel(
            name="ModelReplay",
            fields=[
                ("id", _id()),
                ("state", models.CharField(default="running", max_length=8)),
                ("started_ms", models.BigIntegerField()),
                ("ended_ms", models.BigIntegerField(null=True)),
                ("champion", models.CharField(max_length=128)),
                ("policy", models.CharField(max_length=128)),
                ("days", models.IntegerField()),
                ("result", models.JSONField(default=dict)),
                ("problem", models.CharField(default="", max_length=500)),
                ("by", _user(models.PROTECT)),
                (
                    "of",
                    models.ForeignKey(
                        on_delete=models.CASCADE, related_name="replays", to="console.modelversion"
                    ),
                ),
            ],
            options={
                "db_table": "console_model_replay",
                "indexes": [models.Index(fields=["of", "-id"], name="console_model_replay_of")],
            },
        ),
        # SQLite keeps the width that a column was made with, so made here as in every database.
        WidenField("noticestate", "account", models.CharField(max_length=255)),
        WidenField("appeal", "account", models.CharField(max_length=255)),
    )
