"""Digests of devices by which appeals were grouped, which 0.3 drops."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    """Appeals without the digest of the device that they came from."""

    dependencies = (("console", "0010_verified_users"),)
    operations = (migrations.RemoveField("appeal", "device_key"),)
