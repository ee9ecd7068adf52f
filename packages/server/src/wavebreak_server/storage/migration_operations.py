"""Operations of migrations that the service and the console share."""

from __future__ import annotations

from typing import Any

from django.db import migrations


class WidenField(migrations.AlterField):
    """Widens a text column; SQLite bounds none, and would copy the whole table."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Widen the column, unless the database is SQLite."""
        if schema_editor.connection.vendor != "sqlite":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
