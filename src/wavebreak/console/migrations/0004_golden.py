"""Tables of golden cases (known answers), and of delayed notices that become due."""

from __future__ import annotations

import django.db.models.deletion as deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds `GoldenAnswer` and `NoticeDue`; a golden case names its answer instead of a word."""

    dependencies = (("console", "0003_policy"),)
    operations = (
        migrations.CreateModel(
            name="NoticeDue",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("account", models.CharField(max_length=128)),
                ("due_ms", models.BigIntegerField(db_index=True)),
            ],
            options={"db_table": "console_notice_due"},
        ),
        migrations.AddField(
            model_name="indexerstate", name="noticed", field=models.BigIntegerField(null=True)
        ),
        migrations.CreateModel(
            name="GoldenAnswer",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("account", models.CharField(max_length=128)),
                ("verdict", models.CharField(max_length=16)),
                ("why", models.CharField(max_length=500)),
                ("at_ms", models.BigIntegerField()),
                ("retired_ms", models.BigIntegerField(null=True)),
            ],
            options={"db_table": "console_golden_answer"},
        ),
        migrations.AddField(
            model_name="goldenanswer",
            name="by",
            field=models.ForeignKey(
                on_delete=deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="goldenanswer",
            name="case",
            field=models.ForeignKey(
                on_delete=deletion.PROTECT, related_name="+", to="console.reviewcase"
            ),
        ),
        migrations.AddConstraint(
            model_name="goldenanswer",
            constraint=models.UniqueConstraint(
                fields=("account",),
                condition=models.Q(retired_ms=None),
                name="console_golden_once",
            ),
        ),
        migrations.RemoveField(model_name="reviewcase", name="golden"),
        migrations.AddField(
            model_name="reviewcase",
            name="golden",
            field=models.ForeignKey(
                null=True,
                on_delete=deletion.PROTECT,
                related_name="shown",
                to="console.goldenanswer",
            ),
        ),
        migrations.RemoveConstraint(model_name="reviewcase", name="console_one_open_case"),
        migrations.AddConstraint(
            model_name="reviewcase",
            constraint=models.UniqueConstraint(
                fields=("account", "blind"),
                condition=models.Q(state="open", golden=None),
                name="console_one_open_case",
            ),
        ),
    )
