"""Notices for people: statements of reasons, help pages and warnings, in their own language.

The package neither decides nor delivers: stored decisions are the input, texts are the output.
"""

from wavebreak.languages import LANGUAGES, Language, get_language, negotiate
from wavebreak.notices.dsa import build_record, record_problems
from wavebreak.notices.help import HelpPage, business_page, help_page
from wavebreak.notices.platform import Platform, load_platform
from wavebreak.notices.short_texts import (
    ContactWarning,
    contact_warning,
    is_due,
    list_notices,
    near_limit_notices,
    notice_time,
    short_notice,
    short_notices,
)
from wavebreak.notices.statement import (
    Appeal,
    Circumstances,
    Correction,
    Links,
    Statement,
    appeal_deadline,
    build_statement,
    with_corrections,
)
from wavebreak.notices.texts import Link, Section

__all__ = [
    "LANGUAGES",
    "Appeal",
    "Circumstances",
    "ContactWarning",
    "Correction",
    "HelpPage",
    "Language",
    "Link",
    "Links",
    "Platform",
    "Section",
    "Statement",
    "appeal_deadline",
    "build_record",
    "build_statement",
    "business_page",
    "contact_warning",
    "get_language",
    "help_page",
    "is_due",
    "list_notices",
    "load_platform",
    "near_limit_notices",
    "negotiate",
    "notice_time",
    "record_problems",
    "short_notice",
    "short_notices",
    "with_corrections",
]
