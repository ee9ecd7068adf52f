"""An index of enforcement states by decision, and columns for ids of 255 bytes."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

_COLUMNS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("auditentry", "object", {}),
    ("quotaextension", "account", {}),
    ("ledgeropening", "account", {"default": ""}),
    ("erasure", "account", {}),
    ("decision", "account", {}),
    ("enforcementstate", "account", {"primary_key": True, "serialize": False}),
)


class WidenField(migrations.AlterField):
    """Widens a text column; SQLite bounds none, and would copy the whole table."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Widen the column, unless the database is SQLite."""
        if schema_editor.connection.vendor != "sqlite":
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    """Ids so far have at most 128 bytes and stay as they are."""

    dependencies = (("service", "0010_webhooks_and_keys"),)
    operations = (
        *(
            WidenField(model, name, models.CharField(max_length=255, **options))
            for model, name, options in _COLUMNS
        ),
        migrations.AddIndex(
            "enforcementstate", models.Index(fields=["decision"], name="standing_decision")
        ),
    )
