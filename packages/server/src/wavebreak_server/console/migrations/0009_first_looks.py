"""Second looks, golden cases, second opinions and live challengers, which 0.3 drops."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """One open case an account, a review of its case, and models that are compared on the log."""

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
        migrations.RemoveField("modelversion", "beside_ms"),
        migrations.RemoveField("modelversion", "beside_by"),
    )
