"""Proofs of erasures: each row has a MAC from here on."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from wavebreak_server.storage.models import Erasure, adopt_rows


def _adopt(apps: Any, _editor: Any) -> None:
    """Prove the erasures of an earlier version as they are."""
    adopt_rows(Erasure, apps.get_model("service", "Erasure")._base_manager.all())


class Migration(migrations.Migration):
    """A MAC of each erasure."""

    dependencies = (("service", "0016_asked_declarations"),)
    operations = (
        migrations.AddField("erasure", "mac", models.BinaryField(max_length=32, null=True)),
        migrations.RunPython(_adopt, migrations.RunPython.noop),
    )
