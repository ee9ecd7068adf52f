"""An index of enforcement states by decision, and columns for ids of 255 bytes."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from wavebreak_server.storage.migration_operations import WidenField

_COLUMNS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("auditentry", "object", {}),
    ("quotaextension", "account", {}),
    ("ledgeropening", "account", {"default": ""}),
    ("erasure", "account", {}),
    ("decision", "account", {}),
    ("enforcementstate", "account", {"primary_key": True, "serialize": False}),
)


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
