"""Proofs of versions, appeals and links to cases: each row has a MAC from here on."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.shares.models import SharedCase
from wavebreak_server.slices.versions.models import ModelVersion, PolicyVersion
from wavebreak_server.storage.models import adopt_rows

_TABLES = (PolicyVersion, ModelVersion, Appeal, SharedCase)


def _adopt(apps: Any, _editor: Any) -> None:
    """Prove the rows of an earlier version as they are."""
    for table in _TABLES:
        adopt_rows(table, apps.get_model("console", table.__name__)._base_manager.all())


class Migration(migrations.Migration):
    """A MAC of each row that decides."""

    dependencies = (("console", "0013_campaign_summaries"),)
    operations = (
        *(
            migrations.AddField(
                table.__name__.lower(), "mac", models.BinaryField(max_length=32, null=True)
            )
            for table in _TABLES
        ),
        migrations.RunPython(_adopt, migrations.RunPython.noop),
    )
