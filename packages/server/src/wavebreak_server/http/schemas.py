"""What several slices take and return: types of fields, a page, the reason of a change.

A slice declares its own structs beside its operations. A body and a query string are refused if
they have a field that is not declared, or a value of another type; a response is encoded as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from wavebreak.durations import DAY_S

SCHEMAS = "#/components/schemas/"
"""Where the OpenAPI document has the schemas of structs."""
# PostgreSQL text cannot hold NUL; other control characters have no use here either.
NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"
MAX_ID_BYTES = 255
MIN_REASON = 8

AccountId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ID_BYTES,
        pattern=NO_CONTROL,
        description="the account, as the platform names it: at most 255 bytes",
    ),
]
Reason = Annotated[
    str,
    Meta(
        min_length=MIN_REASON, max_length=1000, pattern=NO_CONTROL, description="for the audit log"
    ),
]
DecisionNumber = Annotated[int, Meta(ge=0, le=2**53 - 1, description="a decision's number, from 1")]
DecisionId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$", description="the decision's id")]


class Request(Struct, forbid_unknown_fields=True):
    """What a request has in its body or its query string."""


class Response(Struct):
    """The body of a response. What is `UNSET` is left out."""


def check_account_ids(accounts: Iterable[str]) -> None:
    """Raise ValueError for an id that has too many bytes in UTF-8."""
    if any(len(account.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES for account in accounts):
        raise ValueError(f"the id of an account has more than {MAX_ID_BYTES} bytes")


def check_reason(reason: str) -> None:
    """Raise ValueError for a reason of blanks."""
    if len(reason.strip()) < MIN_REASON:
        raise ValueError(f"reason: expected at least {MIN_REASON} characters")


def padded_reason(reason: str) -> str:
    """Return the reason of a form, which may be a word, as long as the API asks for."""
    return reason if len(reason) >= MIN_REASON else f"reason: {reason}"


def encoded(struct: type[Struct]) -> Meta:
    """Return the description of stored JSON that a struct describes, and that is not decoded."""
    return Meta(extra_json_schema={"$ref": f"{SCHEMAS}{struct.__name__}"})


class Justification(Request):
    """The reason of a change, for the audit log."""

    reason: Reason

    def __post_init__(self) -> None:
        """Raise ValueError for a reason of blanks."""
        check_reason(self.reason)


class Rotation(Justification):
    """How long the old secret or key stays valid beside its successor, in seconds."""

    grace_s: Annotated[int, Meta(ge=0, le=30 * DAY_S)] = DAY_S


class StreamQuery(Request):
    """Where a stream starts; the header Last-Event-ID takes precedence."""

    since: DecisionNumber = 0


class PageQuery(Request):
    """A page: items with a number above `since`, at most `limit`."""

    since: DecisionNumber = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100

    def next_page(self, numbers: Iterable[int]) -> int:
        """Return the `since` of the next page, from the numbers of the items on this one."""
        return max(numbers, default=self.since)
