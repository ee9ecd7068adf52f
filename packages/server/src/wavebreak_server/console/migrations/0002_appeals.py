import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("console", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="indexerstate",
            name="warned",
            field=models.BigIntegerField(default=0),
        ),
        migrations.CreateModel(
            name="HelpAnswer",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
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
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
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
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
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
                (
                    "decided_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
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
    ]
