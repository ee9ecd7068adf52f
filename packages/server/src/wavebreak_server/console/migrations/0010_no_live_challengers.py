"""Columns of models that followed the live stream, which 0.3 drops."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    """A model is compared on the log alone."""

    dependencies = (("console", "0009_first_looks"),)
    operations = (
        migrations.RemoveField("modelversion", "beside_ms"),
        migrations.RemoveField("modelversion", "beside_by"),
    )
