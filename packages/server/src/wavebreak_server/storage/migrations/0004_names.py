"""Names of models and fields; no table or column changes."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Renames models and fields in Django's state only; databases of 0.1 stay as they are."""

    dependencies = (("service", "0003_ledger"),)
    operations = (
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RenameModel("Batch", "LogBatch"),
                migrations.RenameModel("Applied", "AppliedPosition"),
                migrations.RenameModel("Standing", "EnforcementState"),
                migrations.RenameModel("Change", "AuditEntry"),
                migrations.RenameModel("Extension", "QuotaExtension"),
                migrations.RenameModel("Hook", "Webhook"),
                migrations.RenameModel("Letter", "Delivery"),
                # These two name fields that are renamed; they are added back below.
                migrations.RemoveConstraint("Delivery", "letter_once"),
                migrations.RemoveIndex("Delivery", "letter_due"),
                migrations.RenameField("Webhook", "least", "min_outcome"),
                migrations.RenameField("Delivery", "hook", "webhook"),
                migrations.RenameField("Delivery", "dead", "dead_lettered"),
                migrations.RenameField("LedgerOpening", "told", "openings"),
                migrations.AlterField(
                    "Webhook", "min_outcome", models.CharField(max_length=16, db_column="least")
                ),
                migrations.AlterField(
                    "Delivery",
                    "webhook",
                    models.ForeignKey(
                        db_column="hook_id",
                        on_delete=django.db.models.deletion.CASCADE,
                        to="service.webhook",
                    ),
                ),
                migrations.AlterField(
                    "Delivery",
                    "dead_lettered",
                    models.BooleanField(default=False, db_column="dead"),
                ),
                migrations.AlterField(
                    "LedgerOpening", "openings", models.BinaryField(db_column="told")
                ),
                migrations.AddIndex(
                    "Delivery",
                    models.Index(fields=["dead_lettered", "next_ms"], name="letter_due"),
                ),
                migrations.AddConstraint(
                    "Delivery",
                    models.UniqueConstraint(fields=["webhook", "number"], name="letter_once"),
                ),
            ],
        ),
    )
