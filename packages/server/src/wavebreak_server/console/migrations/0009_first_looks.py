"""Columns and the table of second looks, golden cases and second opinions, which 0.3 drops."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """One open case an account; a review is of its case, without a kind."""

    dependencies = (("console", "0008_version_0_3"),)
    operations = (
        migrations.DeleteModel("SecondOpinion"),
        migrations.RemoveConstraint("reviewcase", "console_one_open_case"),
        migrations.RemoveField("reviewcase", "blind"),
        migrations.RemoveField("reviewcase", "golden"),
        migrations.RemoveField("reviewcase", "golden_reason"),
        migrations.RemoveField("reviewcase", "copy_of"),
        migrations.AddConstraint(
            "reviewcase",
            models.UniqueConstraint(
                fields=["account"], condition=models.Q(state="open"), name="console_one_open_case"
            ),
        ),
        migrations.RemoveField("review", "kind"),
    )
