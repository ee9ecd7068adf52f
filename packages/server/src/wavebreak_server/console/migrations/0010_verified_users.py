"""Proofs of the people who sign in: each row has a MAC from here on."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from wavebreak.errors import ServiceError
from wavebreak_server.slices.users.credentials import adopt_users
from wavebreak_server.storage import row_macs


def _adopt(apps: Any, _editor: Any) -> None:
    """Prove the people of an earlier version as they are; sessions end, people sign in anew."""
    rows = list(apps.get_model("console", "User")._base_manager.all())
    if not rows:
        return
    if not row_macs.key_id():
        raise ServiceError(
            "the deployment's key is needed to prove the people of the console",
            fix="give --key FILE, or WAVEBREAK_KEY, as the service has it",
        )
    adopt_users(rows)


class Migration(migrations.Migration):
    """A MAC of each person, over a digest of their credentials too."""

    dependencies = (
        ("console", "0009_first_looks"),
        ("mfa", "0003_authenticator_type_uniq"),
        ("socialaccount", "0006_alter_socialaccount_extra_data"),
    )
    operations = (
        migrations.AlterModelManagers("user", []),
        migrations.AddField("user", "mac", models.BinaryField(max_length=32, null=True)),
        migrations.AddField("user", "credentials", models.BinaryField(default=b"", max_length=32)),
        migrations.RunPython(_adopt, migrations.RunPython.noop),
    )
