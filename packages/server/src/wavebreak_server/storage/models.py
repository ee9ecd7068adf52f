"""ORM models of the service: event log, decisions, enforcement states, webhooks, keys, ledger.

Table names are those of version 0.1, so that its databases open unchanged. The hot path writes
`LogBatch`, `AppliedPosition`, `Decision`, `EnforcementState` and `Idempotency` by SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, ClassVar, Self

import structlog
from django.apps import apps
from django.db import models, transaction
from django.db.models.query import ModelIterable

from wavebreak.errors import ServiceError
from wavebreak_server.errors import DomainError
from wavebreak_server.storage import row_macs
from wavebreak_server.storage.row_macs import is_authentic, row_mac

logger = structlog.stdlib.get_logger("wavebreak.authentication")

AUDIT_KEY = 32
"""Characters of an audit entry's key."""
ID_LENGTH = 255
"""Characters of an id that the platform has given: at most 255 bytes."""


DECISIONS, STATES = "decisions", "states"
"""What a webhook may receive of each decision."""


class NumberedQuerySet(models.QuerySet):
    """Rows that are numbered in the order in which they were written."""

    def after(self, number: int) -> NumberedQuerySet:
        """Return the rows with a higher number, in order."""
        newer: NumberedQuerySet = self.filter(number__gt=number).order_by("number")
        return newer


class AuthenticatedModel(models.Model):
    """A row with a MAC under the deployment's key over the columns `AUTHENTICATED`.

    `save` sets it. Null: written before there were MACs; empty: without a key.
    """

    AUTHENTICATED: ClassVar[tuple[str, ...]]

    mac = models.BinaryField(max_length=32, null=True)

    class Meta:
        abstract = True

    def authenticated_values(self) -> list[Any]:
        """Return what the MAC is over."""
        values = [
            self._meta.get_field(name).get_prep_value(getattr(self, name))
            for name in self.AUTHENTICATED
        ]
        return [bytes(v) if isinstance(v, memoryview) else v for v in values]

    @property
    def is_authentic(self) -> bool:
        """Whether the row is as the service wrote it; True while no key is bound."""
        return is_authentic(
            self._meta.db_table, self.authenticated_values(), bytes(self.mac or b"")
        )

    def authenticate(self) -> None:
        """Set the MAC to that of the row as it is."""
        self.mac = row_mac(self._meta.db_table, self.authenticated_values())

    def save(self, *arguments: Any, **options: Any) -> None:
        """Store the row with its MAC."""
        self.authenticate()
        if options.get("update_fields") is not None:
            options["update_fields"] = [*options["update_fields"], "mac"]
        super().save(*arguments, **options)


_marked_table: ContextVar[type[models.Model] | None] = ContextVar("marked_table", default=None)
"""The table whose rows are marked as they are loaded, where they lack their proof.

Loading such a row of another table fails, also where a join brings it.
"""


class _AllRows(ModelIterable):
    """Loads rows with a mark whether they are proven, for an audit."""

    def __iter__(self) -> Iterator[Any]:
        rows = super().__iter__()
        while True:
            # The mark holds while a row is loaded, and not while the caller works with it.
            token = _marked_table.set(self.queryset.model)
            try:
                row = next(rows, None)
            finally:
                _marked_table.reset(token)
            if row is None:
                return
            yield row


class _ProvenRows(_AllRows):
    """Loads rows; leaves out those that this service did not write, and logs each once."""

    def __iter__(self) -> Iterator[Any]:
        for row in super().__iter__():
            if row.is_proven:
                yield row
            else:
                _log_unproven(row._meta.db_table, row.pk)


@lru_cache(maxsize=1_000)
def _log_unproven(table: str, key: Any) -> None:
    logger.error("a row was changed or added in the database; it is not used", row=f"{table} {key}")


class VerifiedQuerySet(models.QuerySet):
    """Rows of a `VerifiedModel`: only proven ones are read, and what is written is proven."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._iterable_class = _ProvenRows

    def unverified(self) -> Self:
        """Return the rows without a check: for an audit, and where nothing is decided by them."""
        rows: Self = self._chain()
        rows._iterable_class = _AllRows
        return rows

    def values(self, *fields: Any, **expressions: Any) -> Any:
        """Return columns of unverified rows; raises TypeError for those that are verified."""
        self._require_unverified()
        return super().values(*fields, **expressions)

    def values_list(self, *fields: Any, **options: Any) -> Any:
        """Return columns of unverified rows; raises TypeError for those that are verified."""
        self._require_unverified()
        return super().values_list(*fields, **options)

    def _require_unverified(self) -> None:
        if self._iterable_class is _ProvenRows:
            raise TypeError("columns of a row cannot be verified: load rows, or use unverified()")

    def update(self, **fields: Any) -> int:
        """Change proven rows, and prove them anew where a column is authenticated."""
        columns = {name: self.model._meta.get_field(name).attname for name in fields}
        authenticated = [name for name in fields if columns[name] in self.model.AUTHENTICATED]
        if not authenticated:
            return int(super().update(**fields))
        with transaction.atomic():
            rows = list(self.select_for_update())
            for row in rows:
                for name in authenticated:
                    if hasattr(fields[name], "resolve_expression"):
                        raise TypeError(f"{name} is authenticated: give its value")
                    setattr(row, name, fields[name])
                row.authenticate()
                unchecked = models.QuerySet(self.model, using=self.db).filter(pk=row.pk)
                unchecked.update(**fields, mac=row.mac)
        return len(rows)

    def bulk_create(self, *_rows: Any, **_options: Any) -> Any:
        """Refuse: rows are created one at a time, each with its proof."""
        raise TypeError("create verified rows with save()")

    def bulk_update(self, *_rows: Any, **_options: Any) -> Any:
        """Refuse: rows are changed by `update`."""
        raise TypeError("change verified rows with update() or save()")


class VerifiedModel(AuthenticatedModel):
    """A row that grants a right or decides something: its MAC is verified wherever it is loaded.

    Managers leave out a row that this service did not write, as if it were not there. Loading one
    by a reference from another row raises DomainError.
    """

    objects = VerifiedQuerySet.as_manager()

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, db: Any, field_names: Any, values: Any) -> Self:
        """Load a row; raises DomainError for one that this service did not write."""
        row: Self = super().from_db(db, field_names, values)
        if row.get_deferred_fields() & {*cls.AUTHENTICATED, "mac"}:
            raise TypeError("a row is verified as a whole: do not defer its columns")
        row._state.unproven = not row.is_authentic
        if row._state.unproven and _marked_table.get() is not cls:
            raise DomainError("row-changed", row=f"{cls._meta.verbose_name} {row.pk}")
        return row

    @property
    def is_proven(self) -> bool:
        """Whether the row was as the service wrote it when it was loaded."""
        return not getattr(self._state, "unproven", False)

    def find_fault(self) -> str:
        """Return what was changed without the deployment's key; empty if nothing was."""
        name = f"{self._meta.verbose_name} {self.pk}"
        return "" if self.is_authentic else f"this service did not write its {name}"

    def save(self, *arguments: Any, **options: Any) -> None:
        """Store the row with its MAC; single columns go through the locked row of the database."""
        names = options.get("update_fields")
        if names is not None and self.pk is not None:
            changed = {name: getattr(self, name) for name in names}
            if not type(self)._default_manager.filter(pk=self.pk).update(**changed):
                raise DomainError("row-changed", row=f"{self._meta.verbose_name} {self.pk}")
        elif self.pk is None:
            with transaction.atomic():
                models.Model.save(self, *arguments, **options)
                self.authenticate()
                models.QuerySet(type(self)).filter(pk=self.pk).update(mac=self.mac)
        else:
            super().save(*arguments, **options)


def adopt_rows(table: type[models.Model], rows: Iterable[Any]) -> None:
    """Prove rows as they are, once, when the table of an earlier version is migrated or restored.

    Args:
        table: The table as it is now, a `VerifiedModel`.
        rows: Its rows, with the columns of that time.

    Raises:
        ServiceError: No key is bound.
    """
    for row in rows:
        if not row_macs.key_id():
            raise ServiceError(
                f"the deployment's key is needed to prove each {table._meta.verbose_name}",
                fix="give --key FILE, or WAVEBREAK_KEY, as the service has it",
            )
        proven = table(**{name: getattr(row, name) for name in table.AUTHENTICATED})
        proven.authenticate()
        models.QuerySet(type(row)).filter(pk=row.pk).update(mac=proven.mac)


def verified_models() -> list[type[VerifiedModel]]:
    """Return the tables whose rows are verified where they are read, also those of plug-ins."""
    return [model for model in apps.get_models() if issubclass(model, VerifiedModel)]


class ApiKey(AuthenticatedModel):
    """An API key, stored as a hash. `ends_ms` is when it expires (null: never).

    `owner` is the prefix of the first key of which it is a successor (empty: of none), `source` the
    name of the source that it belongs to (empty: to none). `identifiers`: ids that it sends may
    look like personal data.
    """

    AUTHENTICATED = (
        "prefix", "digest", "name", "scopes", "rate", "burst", "created_ms", "ends_ms", "owner",
    )  # fmt: skip

    prefix = models.CharField(max_length=8, primary_key=True)
    digest = models.BinaryField(max_length=32)
    name = models.CharField(max_length=100)
    scopes = models.CharField(max_length=64)
    rate = models.FloatField()
    burst = models.FloatField()
    created_ms = models.BigIntegerField()
    ends_ms = models.BigIntegerField(null=True)
    owner = models.CharField(max_length=8, default="")
    source = models.CharField(max_length=64, default="")
    identifiers = models.BooleanField(default=False)

    class Meta:
        db_table = "api_key"

    def authenticated_values(self) -> list[Any]:
        """Return what the MAC is over: also the source and its ids, where the key has either."""
        more = [self.source] * bool(self.source or self.identifiers)
        return super().authenticated_values() + more + [True] * self.identifiers


class KeyActivity(models.Model):
    """When a key last sent events, and how far their newest was behind the service's clock (ms).

    For operators to look at: nothing depends on it, so that it has no MAC.
    """

    prefix = models.CharField(max_length=8, primary_key=True)
    seen_ms = models.BigIntegerField()
    behind_ms = models.BigIntegerField()

    class Meta:
        db_table = "key_activity"


class Source(AuthenticatedModel):
    """What feeds the service: the types and fields that it carries, and what its platform can do.

    `carries` and `can` are names, separated by blanks (see `sources`); `carries` is empty where the
    first declaration waits. `asked_carries` and `asked_can` are those of the declaration that waits
    for an administrator since `asked_ms` (0: none does).
    """

    AUTHENTICATED = ("name", "carries", "can", "created_ms", "changed_ms")

    name = models.CharField(max_length=64, primary_key=True)
    carries = models.TextField()
    can = models.CharField(max_length=64)
    created_ms = models.BigIntegerField()
    changed_ms = models.BigIntegerField()
    asked_carries = models.TextField(default="")
    asked_can = models.CharField(max_length=64, default="")
    asked_ms = models.BigIntegerField(default=0)

    class Meta:
        db_table = "source"

    def authenticated_values(self) -> list[Any]:
        """Return what the MAC is over: also the declaration that waits, where one does."""
        asked = [self.asked_carries, self.asked_can, self.asked_ms] if self.asked_ms else []
        return super().authenticated_values() + asked


class AuditEntry(AuthenticatedModel):
    """An administrative change: which key changed what, when, why, and with which outcome.

    `sealed`: an entry of the ledger names it as it is (see `LedgerStore.seal_changes`).
    """

    AUTHENTICATED = ("number", "at_ms", "key", "action", "object", "reason", "outcome")

    number = models.BigAutoField(primary_key=True)
    at_ms = models.BigIntegerField()
    key = models.CharField(max_length=AUDIT_KEY)
    action = models.CharField(max_length=32)
    object = models.CharField(max_length=ID_LENGTH)
    reason = models.CharField(max_length=1100)
    outcome = models.CharField(max_length=16)
    sealed = models.BooleanField(default=False, db_index=True)

    objects = NumberedQuerySet.as_manager()

    class Meta:
        db_table = "change"

    def save(self, *arguments: Any, **options: Any) -> None:
        """Store the entry with its MAC, which is over its number too; it is to be sealed anew."""
        self.sealed = False
        if self.number is None:
            models.Model.save(self, *arguments, **options)
            arguments, options = (), {"update_fields": ["sealed"]}
        super().save(*arguments, **options)


class Webhook(AuthenticatedModel):
    """A webhook: receives decisions after number `cursor` whose outcome is `min_outcome` or above.

    Its secret is derived from `generation` (see `webhooks.webhook_secret`); the previous generation
    also signs until `former_ends_ms`. Generations from `own_key_from` on are derived from the key
    of webhooks, earlier ones (0: all) from the pseudonymization key, as they were before 0.3.

    `kinds` says what it receives of each: the decision, and the enforcement state that it left.

    `failing_since_ms` is the first failure since the last success (0: none). Nothing is sent to a
    webhook while `disabled_ms` is not 0. The MAC is not over what deliveries change: these two and
    `cursor`.
    """

    AUTHENTICATED = (
        "id", "url", "min_outcome", "created_ms", "generation", "former_ends_ms", "own_key_from",
    )  # fmt: skip

    id = models.CharField(max_length=32, primary_key=True)
    url = models.CharField(max_length=2000)
    min_outcome = models.CharField(max_length=16, db_column="least")
    created_ms = models.BigIntegerField()
    cursor = models.BigIntegerField()
    generation = models.IntegerField(default=1)
    former_ends_ms = models.BigIntegerField(default=0)
    own_key_from = models.IntegerField(default=0)
    kinds = models.CharField(max_length=32, default=DECISIONS)
    failing_since_ms = models.BigIntegerField(default=0)
    disabled_ms = models.BigIntegerField(default=0)

    class Meta:
        db_table = "hook"

    def authenticated_values(self) -> list[Any]:
        """Return what the MAC is over: also the kinds, where they are not those of before."""
        return super().authenticated_values() + [self.kinds] * (self.kinds != DECISIONS)


class PlatformMessage(models.Model):
    """A message to the platform that is no decision (see `platform_messages`).

    It is removed once every webhook has it. `data` is JSON; a one-time code is no part of it.
    """

    id = models.CharField(max_length=40, primary_key=True)
    type = models.CharField(max_length=32)
    data = models.BinaryField()
    created_ms = models.BigIntegerField()

    class Meta:
        db_table = "platform_message"


class Delivery(models.Model):
    """A decision (`number`), its enforcement state, or another message that is due for a webhook.

    It is removed when delivered, and kept when dead-lettered.
    """

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, db_column="hook_id")
    number = models.BigIntegerField(null=True)
    state = models.BooleanField(default=False)
    message = models.ForeignKey(
        PlatformMessage, on_delete=models.CASCADE, null=True, related_name="deliveries"
    )
    attempts = models.IntegerField(default=0)
    next_ms = models.BigIntegerField()
    dead_lettered = models.BooleanField(default=False, db_column="dead")
    last_status = models.IntegerField(null=True)
    last_error = models.CharField(max_length=64, default="")

    class Meta:
        db_table = "letter"
        constraints = (
            models.UniqueConstraint(fields=["webhook", "number", "state"], name="letter_once"),
            models.UniqueConstraint(fields=["webhook", "message"], name="letter_message_once"),
        )
        indexes = (models.Index(fields=["dead_lettered", "next_ms"], name="letter_due"),)


class QuotaExtension(models.Model):
    """Extra new chats granted to an account in the quota cycle that began at `at_ms`."""

    account = models.CharField(max_length=ID_LENGTH)
    at_ms = models.BigIntegerField()

    class Meta:
        db_table = "extension"
        indexes = (models.Index(fields=["account", "at_ms"], name="extension_account"),)


class LedgerHead(models.Model):
    """The end of the ledger: one row with `id` 1; every writer locks it first.

    `size` entries are covered by the signed `note` (empty: none yet). Decisions among the first
    `receipted` entries have their receipts. `versions` names the policy, model and features sealed
    last; `differ` counts earlier decisions that they would not reproduce. `committed` is the
    position of the newest entry that names the end of the log (-1: none yet).
    """

    size = models.BigIntegerField(default=0)
    note = models.BinaryField(default=b"")
    receipted = models.BigIntegerField(default=0)
    versions = models.CharField(max_length=256, default="")
    differ = models.BigIntegerField(default=0)
    committed = models.BigIntegerField(default=-1)

    class Meta:
        db_table = "ledger_head"


class LedgerEntry(models.Model):
    """A ledger entry as it is hashed, and the tree nodes that it adds."""

    position = models.BigIntegerField(primary_key=True)
    line = models.BinaryField()
    nodes = models.BinaryField()

    class Meta:
        db_table = "ledger_entry"


class LedgerOpening(models.Model):
    """The openings (salts and values) of an entry's commitments, until they are erased.

    `account` and `subject` (the id of a decision or event) are copies to search by.
    """

    position = models.BigIntegerField(primary_key=True)
    account = models.CharField(max_length=ID_LENGTH, default="")
    subject = models.CharField(max_length=64, default="")
    openings = models.BinaryField(db_column="told")

    class Meta:
        db_table = "ledger_opening"
        indexes = (
            models.Index(fields=["account"], name="ledger_opening_account"),
            models.Index(fields=["subject"], name="ledger_opening_subject"),
        )


class LedgerCheckpoint(models.Model):
    """The last signed checkpoint of each minute (since 1970) in which entries were added."""

    minute = models.BigIntegerField(primary_key=True)
    size = models.BigIntegerField()
    note = models.BinaryField()

    class Meta:
        db_table = "ledger_checkpoint"


class Owner(models.Model):
    """The server that owns the log (see `ownership`): one row with `id` 1.

    Each new owner raises `epoch`; a transaction of an earlier one then writes nothing.
    """

    epoch = models.BigIntegerField(default=0)
    holder = models.CharField(max_length=128, default="")
    since_ms = models.BigIntegerField(default=0)

    class Meta:
        db_table = "owner"


class Erasure(VerifiedModel):
    """An erasure of an account's pseudonyms and texts (see `erasure`).

    It covers the events before position `upto`. `erased` and `sealed` say how far it is; `events`
    and `openings` count what was removed.
    """

    AUTHENTICATED = ("id", "account", "at_ms", "upto", "events", "openings", "erased", "sealed")

    account = models.CharField(max_length=ID_LENGTH)
    at_ms = models.BigIntegerField()
    upto = models.BigIntegerField()
    events = models.BigIntegerField(default=0)
    openings = models.BigIntegerField(default=0)
    erased = models.BooleanField(default=False)
    sealed = models.BooleanField(default=False)

    class Meta:
        db_table = "erasure"


class LogBatch(models.Model):
    """Contiguous events of the log: positions `first` to `first + count - 1`.

    `blob` is an Arrow IPC stream compressed with zstd: the columns of LOG_SCHEMA that have values,
    after pseudonymization. `sha256` is its digest. `received_ms` is this machine's clock; no
    decision depends on it.
    """

    first = models.BigIntegerField(primary_key=True)
    count = models.IntegerField()
    received_ms = models.BigIntegerField()
    sha256 = models.BinaryField(max_length=32)
    blob = models.BinaryField()

    class Meta:
        db_table = "log_batch"


class LogProof(models.Model):
    """What authenticates the row of the log at `first`; see `log_proofs.LogRowProof`.

    Not `sealed`: an erasure rewrote the row, and the ledger does not name its commitment yet.
    """

    first = models.BigIntegerField(primary_key=True)
    salt = models.BinaryField(max_length=32)
    leaf = models.BinaryField(max_length=32)
    chain = models.BinaryField(max_length=32)
    mac = models.BinaryField(max_length=32)
    sealed = models.BooleanField(default=True)

    class Meta:
        db_table = "log_proof"
        indexes = (
            models.Index(
                fields=["first"], name="log_proof_unsealed", condition=models.Q(sealed=False)
            ),
        )


class LogStart(models.Model):
    """Where the log begins once earlier rows were removed: one row with `id` 1.

    `chain` is that before the row at `position`.
    """

    position = models.BigIntegerField()
    chain = models.BinaryField(max_length=32)
    mac = models.BinaryField(max_length=32)

    class Meta:
        db_table = "log_start"


class AppliedPosition(models.Model):
    """The log position up to which all decisions are stored: one row with `id` 1.

    `decisions` counts them; `made_by` holds the versions of policy, model and features that made
    the newest.
    """

    position = models.BigIntegerField(default=0)
    decisions = models.BigIntegerField(default=0)
    made_by = models.CharField(max_length=256, default="")

    class Meta:
        db_table = "log_applied"


class LogRepair(models.Model):
    """A repair of the log from a position on, when it had `end` events and so many decisions.

    `done` is set by the start that replays the repaired part; see `log_repair`.
    """

    at_ms = models.BigIntegerField()
    position = models.BigIntegerField()
    end = models.BigIntegerField()
    events = models.BigIntegerField()
    decisions = models.BigIntegerField()
    done = models.BooleanField(default=False)

    class Meta:
        db_table = "log_repair"


class Decision(AuthenticatedModel):
    """A decision; the table is also the outbox of webhooks.

    `number` counts from 1 without gaps, in the order of the log. `body` is the JSON that
    `wavebreak run` writes, `reached` the log position committed in the same transaction.
    """

    AUTHENTICATED = (
        "number", "id", "account", "ts", "stage", "outcome", "until", "body", "reached",
    )  # fmt: skip

    number = models.BigIntegerField(primary_key=True)
    id = models.CharField(max_length=32, unique=True)
    account = models.CharField(max_length=ID_LENGTH)
    ts = models.BigIntegerField()
    stage = models.CharField(max_length=16)
    outcome = models.CharField(max_length=16)
    until = models.BigIntegerField(null=True)
    reached = models.BigIntegerField()
    body = models.BinaryField()

    objects = NumberedQuerySet.as_manager()

    class Meta:
        db_table = "decision"
        indexes = (models.Index(fields=["account", "number"], name="decision_account"),)


class EnforcementState(models.Model):
    """The newest decision of each account that has one; `until` (ms) is its end (null: none)."""

    account = models.CharField(max_length=ID_LENGTH, primary_key=True)
    outcome = models.CharField(max_length=16)
    until = models.BigIntegerField(null=True)
    ts = models.BigIntegerField()
    decision = models.BigIntegerField()

    class Meta:
        db_table = "standing"
        indexes = (
            models.Index(fields=["outcome"], name="standing_outcome"),
            models.Index(fields=["decision"], name="standing_decision"),
        )


class StateChange(AuthenticatedModel):
    """An enforcement state that changed without a decision; see `state_changes`.

    It changed when decision `after` was the newest. `decision` is the account's newest then:
    `lifted`, or in force otherwise than before. `sent`: webhooks have their deliveries. `sealed`:
    an entry of the ledger names it (see `LedgerStore.seal_states`).
    """

    AUTHENTICATED = ("number", "account", "after", "decision", "lifted")

    number = models.BigIntegerField(primary_key=True)
    account = models.CharField(max_length=ID_LENGTH)
    after = models.BigIntegerField()
    decision = models.BigIntegerField()
    lifted = models.BooleanField()
    sent = models.BooleanField(default=False)
    sealed = models.BooleanField(default=False)

    objects = NumberedQuerySet.as_manager()

    class Meta:
        db_table = "state_change"
        indexes = (
            models.Index(fields=["after"], name="state_change_after"),
            models.Index(
                fields=["number"], name="state_change_unsent", condition=models.Q(sent=False)
            ),
        )


class Idempotency(models.Model):
    """The stored response to a request with an Idempotency-Key.

    `key` is the SHA-256 of the sender and the header, `body` that of the request body. A repeated
    request gets `answer` unchanged.
    """

    key = models.BinaryField(max_length=32, primary_key=True)
    body = models.BinaryField(max_length=32)
    answer = models.BinaryField()
    at_ms = models.BigIntegerField(db_index=True)

    class Meta:
        db_table = "idempotency"
