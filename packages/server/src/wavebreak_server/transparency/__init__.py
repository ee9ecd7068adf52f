"""Transparency reports that a stranger can recount from the sealed ledger.

`read_history` reads the entries under a checkpoint, `build_report` counts a period, `write_report`
writes JSON, CSV, HTML, the accounts list and the DSA's CSV files. `recount` counts a published
report again. `export_decisions` streams all decisions as CSV. Nothing here knows the service.
"""

from wavebreak_server.transparency.accounts_list import AccountsList, list_accounts
from wavebreak_server.transparency.comparison import (
    DIFFERENT,
    EQUAL,
    NOT_RECOUNTED,
    Holdings,
    Recount,
    published_list,
    recount,
    recount_table,
)
from wavebreak_server.transparency.counts import build_report
from wavebreak_server.transparency.decision_export import export_decisions
from wavebreak_server.transparency.history import (
    Checkpoint,
    History,
    NoAccounts,
    OpenedAccounts,
    check_origin,
    history_of,
    last_checkpoint,
    read_history,
)
from wavebreak_server.transparency.periods import Period, parse_day, split_period
from wavebreak_server.transparency.publication import brief_report, read_report, write_report
from wavebreak_server.transparency.report import (
    Number,
    Publication,
    Report,
    Section,
    Sources,
    check_minimum,
    shown,
)

__all__ = [
    "DIFFERENT",
    "EQUAL",
    "NOT_RECOUNTED",
    "AccountsList",
    "Checkpoint",
    "History",
    "Holdings",
    "NoAccounts",
    "Number",
    "OpenedAccounts",
    "Period",
    "Publication",
    "Recount",
    "Report",
    "Section",
    "Sources",
    "brief_report",
    "build_report",
    "check_minimum",
    "check_origin",
    "export_decisions",
    "history_of",
    "last_checkpoint",
    "list_accounts",
    "parse_day",
    "published_list",
    "read_history",
    "read_report",
    "recount",
    "recount_table",
    "shown",
    "split_period",
    "write_report",
]
