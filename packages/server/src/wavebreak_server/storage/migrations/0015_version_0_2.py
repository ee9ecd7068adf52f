"""What version 0.2 added to the tables of 0.1."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from wavebreak_server.storage.migration_operations import WidenField

# Ids of accounts had at most 128 bytes in 0.1.
_WIDENED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("auditentry", "object", {}),
    ("quotaextension", "account", {}),
    ("ledgeropening", "account", {"default": ""}),
    ("erasure", "account", {}),
    ("decision", "account", {}),
    ("enforcementstate", "account", {"primary_key": True, "serialize": False}),
)
# These have come last since they were renamed.
_MOVED: tuple[tuple[str, str, Any], ...] = (
    ("webhook", "min_outcome", models.CharField(db_column="least", max_length=16)),
    ("delivery", "dead_lettered", models.BooleanField(db_column="dead", default=False)),
)


def _id() -> Any:
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


def _mac() -> Any:
    return models.BinaryField(max_length=32, null=True)


def _owner(apps: Any, _schema: Any) -> None:
    apps.get_model("service", "Owner").objects.create(id=1)


class Migration(migrations.Migration):
    """Platform messages, the owner, erasures, MACs and proofs, sources, changes of states.

    SQLite adds a column that may be null without a copy of the table. The next start makes the
    MACs and proofs for what is there, and seals changes of states.
    """

    replaces = tuple(
        ("service", name)
        for name in (
            "0004_names",
            "0005_platform_messages",
            "0006_owner",
            "0007_erasures",
            "0008_log_repair",
            "0009_row_macs",
            "0010_webhooks_and_keys",
            "0011_states_and_ids",
            "0012_webhook_kinds",
            "0013_sources",
            "0014_state_changes",
            "0015_sealed_state_changes",
        )
    )
    dependencies = (("service", "0003_version_0_1"),)
    operations = (
        # SQLite copies tables below, with their columns in the order in which Django knows them.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                operation
                for model, name, field in _MOVED
                for operation in (
                    migrations.RemoveField(model, name),
                    migrations.AddField(model, name, field),
                )
            ]
        ),
        migrations.CreateModel(
            name="PlatformMessage",
            fields=[
                ("id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("type", models.CharField(max_length=32)),
                ("data", models.BinaryField()),
                ("created_ms", models.BigIntegerField()),
            ],
            options={"db_table": "platform_message"},
        ),
        migrations.AlterField("Delivery", "number", models.BigIntegerField(null=True)),
        migrations.AddField(
            "Delivery",
            "message",
            models.ForeignKey(
                null=True,
                on_delete=models.CASCADE,
                related_name="deliveries",
                to="service.platformmessage",
            ),
        ),
        migrations.AddConstraint(
            "Delivery",
            models.UniqueConstraint(fields=["webhook", "message"], name="letter_message_once"),
        ),
        migrations.AddField("delivery", "state", models.BooleanField(default=False)),
        migrations.RemoveConstraint("delivery", "letter_once"),
        migrations.AddConstraint(
            "delivery",
            models.UniqueConstraint(fields=["webhook", "number", "state"], name="letter_once"),
        ),
        migrations.CreateModel(
            name="Owner",
            fields=[
                ("id", _id()),
                ("epoch", models.BigIntegerField(default=0)),
                ("holder", models.CharField(default="", max_length=128)),
                ("since_ms", models.BigIntegerField(default=0)),
            ],
            options={"db_table": "owner"},
        ),
        migrations.CreateModel(
            name="Erasure",
            fields=[
                ("id", _id()),
                ("account", models.CharField(max_length=128)),
                ("at_ms", models.BigIntegerField()),
                ("upto", models.BigIntegerField()),
                ("events", models.BigIntegerField(default=0)),
                ("openings", models.BigIntegerField(default=0)),
                ("erased", models.BooleanField(default=False)),
                ("sealed", models.BooleanField(default=False)),
            ],
            options={"db_table": "erasure"},
        ),
        migrations.CreateModel(
            name="LogRepair",
            fields=[
                ("id", _id()),
                ("at_ms", models.BigIntegerField()),
                ("position", models.BigIntegerField()),
                ("end", models.BigIntegerField()),
                ("events", models.BigIntegerField()),
                ("decisions", models.BigIntegerField()),
                ("done", models.BooleanField(default=False)),
            ],
            options={"db_table": "log_repair"},
        ),
        migrations.CreateModel(
            name="LogProof",
            fields=[
                ("first", models.BigIntegerField(primary_key=True, serialize=False)),
                ("salt", models.BinaryField(max_length=32)),
                ("leaf", models.BinaryField(max_length=32)),
                ("chain", models.BinaryField(max_length=32)),
                ("mac", models.BinaryField(max_length=32)),
                ("sealed", models.BooleanField(default=True)),
            ],
            options={
                "db_table": "log_proof",
                "indexes": [
                    models.Index(
                        condition=models.Q(("sealed", False)),
                        fields=["first"],
                        name="log_proof_unsealed",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="LogStart",
            fields=[
                ("id", _id()),
                ("position", models.BigIntegerField()),
                ("chain", models.BinaryField(max_length=32)),
                ("mac", models.BinaryField(max_length=32)),
            ],
            options={"db_table": "log_start"},
        ),
        migrations.CreateModel(
            name="Source",
            fields=[
                ("mac", _mac()),
                ("name", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("carries", models.TextField()),
                ("can", models.CharField(max_length=64)),
                ("created_ms", models.BigIntegerField()),
                ("changed_ms", models.BigIntegerField()),
            ],
            options={"db_table": "source"},
        ),
        migrations.CreateModel(
            name="StateChange",
            fields=[
                ("mac", _mac()),
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("account", models.CharField(max_length=255)),
                ("after", models.BigIntegerField()),
                ("decision", models.BigIntegerField()),
                ("lifted", models.BooleanField()),
                ("sent", models.BooleanField(default=False)),
                ("sealed", models.BooleanField(default=False)),
            ],
            options={
                "db_table": "state_change",
                "indexes": [
                    models.Index(fields=["after"], name="state_change_after"),
                    models.Index(
                        condition=models.Q(("sent", False)),
                        fields=["number"],
                        name="state_change_unsent",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="KeyActivity",
            fields=[
                ("prefix", models.CharField(max_length=8, primary_key=True, serialize=False)),
                ("seen_ms", models.BigIntegerField()),
                ("behind_ms", models.BigIntegerField()),
            ],
            options={"db_table": "key_activity"},
        ),
        *(migrations.AddField(name, "mac", _mac()) for name in ("apikey", "auditentry")),
        migrations.AddField(
            "auditentry", "sealed", models.BooleanField(default=False, db_index=True)
        ),
        *(migrations.AddField(name, "mac", _mac()) for name in ("decision", "webhook")),
        migrations.AddField("ledgerhead", "committed", models.BigIntegerField(default=-1)),
        migrations.AddField("webhook", "failing_since_ms", models.BigIntegerField(default=0)),
        migrations.AddField("webhook", "disabled_ms", models.BigIntegerField(default=0)),
        migrations.AddField("webhook", "own_key_from", models.IntegerField(default=0)),
        migrations.AddField(
            "webhook", "kinds", models.CharField(default="decisions", max_length=32)
        ),
        migrations.AddField("apikey", "owner", models.CharField(default="", max_length=8)),
        migrations.AddField("apikey", "source", models.CharField(default="", max_length=64)),
        migrations.AddField("apikey", "identifiers", models.BooleanField(default=False)),
        *(
            WidenField(model, name, models.CharField(max_length=255, **options))
            for model, name, options in _WIDENED
        ),
        migrations.AddIndex(
            "enforcementstate", models.Index(fields=["decision"], name="standing_decision")
        ),
        migrations.RunPython(_owner, migrations.RunPython.noop),
    )
