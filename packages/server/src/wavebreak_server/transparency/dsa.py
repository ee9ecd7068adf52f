"""The report in the columns of the DSA's templates: Implementing Regulation 2024/2835, Annex I.

Private messaging is outside the DSA's rules on online platforms; the templates are used voluntarily
and each row says so. Parts 3, 4, 9 and 10 are about orders, notices, staff and recipients, of which
a ledger knows nothing. CSV as RFC 4180 has it, in UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wavebreak.csv_files import encode_csv
from wavebreak_server.transparency.report import Number, Report, shown
from wavebreak_server.transparency.review_counts import CLASSIFIERS

APPLICABILITY = "Voluntary"
CATEGORY = "STATEMENT_CATEGORY_OTHER_VIOLATION_TC"
KEYWORD = "KEYWORD_OTHER"
DESCRIPTION = "Unauthorised automated or bulk messaging"
_BEGIN = ("Applicability", "Service", "Reporting period")
_RESTRICTIONS = (
    "Visibility restriction Removal",
    "Visibility restriction Disable",
    "Visibility restriction Demoted",
    "Visibility restriction Age restricted",
    "Visibility restriction Interaction restricted",
    "Visibility restriction Labelled",
    "Visibility restriction Other",
    "Monetary restriction Suspension",
    "Monetary restriction Termination",
    "Monetary restriction Other",
    "Provision of the service Suspension",
    "Provision of the service Termination",
    "Account restriction Suspension",
    "Account restriction Termination",
)
_OWN = "Number of measures taken at the provider's own initiative"
_DETECTED = "Number of measures taken after detection with solely automated means"
_MEASURES = (_OWN, _DETECTED, *_RESTRICTIONS)
_NUMBERS = {
    _OWN: "decisions.measures",
    _DETECTED: "automation.detected",
    "Provision of the service Suspension": "decisions.provision",
    "Account restriction Suspension": "decisions.suspend",
    "Account restriction Termination": "decisions.ban",
}
_COMPLAINTS = "Number of complaints submitted to the internal-complaints mechanism"
_KINDS = {
    "": _COMPLAINTS,
    "provision.": f"{_COMPLAINTS} - Provision of the service",
    "account.": f"{_COMPLAINTS} - Account restriction",
}
_SCOPES = {
    "received": "Total number",
    "unchanged": "Decisions upheld",
    "partially_reversed": "Decisions partially reversed",
    "reversed": "Decisions reversed",
    "median_hours": "Median time",
    "open": "Decision omitted",
}
_AUTOMATED = "Use of automated means for content moderation"
_TEXTS = {
    "Summary of the content moderation engaged in at the providers' own initiative": (
        "Accounts that send bulk, automated or other non-personal messages against the terms are "
        "challenged, limited, restricted, suspended or banned. Decisions rest on metadata: what an "
        "account sends, to whom, how often, and how people respond. No message content is read."
    ),
    "Qualitative description of the automated means": (
        "Rules over counts and sequential tests of an account's behaviour, and a model that gives "
        "a score. A score alone leads to a limit at most. Each decision names the rules, the "
        "numbers that they read, and the versions of policy and model."
    ),
    "Specification of the precise purposes to apply automated means": (
        "To find accounts that send unauthorised bulk or automated messages, and to act on them "
        "before they reach many people."
    ),
    "Safeguards applied to the use of automated means": (
        "Doubt slows and evidence silences: what rests on doubt never blocks. Each decision is "
        "sealed in a tamper-evident ledger before it takes effect. It can be appealed, free of "
        "charge, to a person who took no part in it, and a reversal restores the account at once."
    ),
}


def annex_files(report: Report) -> dict[str, bytes]:
    """Return the CSV files of a report by name: parts 1, 2, 5, 6, 7, 8 and 11.

    Returns:
        The content of each file.
    """
    numbers = report.numbers()
    return {
        "1_report_identification.csv": _identification(report),
        "2_categories_names.csv": _categories(),
        "5_own_initiative_illegal.csv": _own_initiative(report, {}, illegal=True),
        "6_own_initiative_TC.csv": _own_initiative(report, numbers, illegal=False),
        "7_appeals_and_recidivism.csv": _appeals(report, numbers),
        "8_automated_means.csv": _automated_means(report, numbers),
        "11_qualitative.csv": _csv(
            (*_BEGIN, "Indicator", "Value"),
            [(*_begin(report), indicator, text) for indicator, text in _TEXTS.items()],
        ),
    }


def _csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    return encode_csv([columns, *rows]).encode()


def _begin(report: Report) -> tuple[str, str, str]:
    return APPLICABILITY, report.service, f"{report.period.start}/{report.period.last_day}"


def _value(number: Number, report: Report) -> tuple[str, str]:
    """Return a number's value, and what explains it where there is none."""
    if number.value is not None:
        return str(number.value), ""
    text = shown(number, report.minimum)
    if text.startswith("<"):
        return "", f"Fewer than {report.minimum}; the number is withheld."
    if text == "withheld":
        return "", "Withheld, so that small numbers cannot be derived."
    return "", f"{text.capitalize()}."


def _identification(report: Report) -> bytes:
    rows = {
        "Name of the service provider": report.provider,
        "Date of the publication of the report": str(report.published),
        "Date of the publication of the latest previous report": str(report.previous or ""),
        "Starting date of reporting period": str(report.period.start),
        "Ending date of reporting period": str(report.period.last_day),
    }
    columns = ("Applicability", "Service", "Indicator", "Value")
    return _csv(columns, [(APPLICABILITY, report.service, *row) for row in rows.items()])


def _categories() -> bytes:
    code = "Category of illegal content / incompatible with the terms and conditions"
    context = "Bulk, automated or other non-personal messaging that the terms do not allow."
    return _csv(
        ("Category label", "Category description", code, "Contextual information"),
        [
            ("15", "Other violation of provider's terms and conditions", CATEGORY, ""),
            ("15", DESCRIPTION, KEYWORD, context),
        ],
    )


def _own_initiative(report: Report, numbers: dict[str, Number], *, illegal: bool) -> bytes:
    """Write part 5, which has no measures since none rests on illegality, or part 6."""
    category = (
        "Category of illegal content"
        if illegal
        else "Category of incompatibility with the provider's terms and conditions"
    )
    columns = (
        *_BEGIN,
        category,
        'Description of the sub-category "Other"',
        *_MEASURES,
        *(f"Contextual Information on {name}" for name in _MEASURES),
    )
    values = [
        _value(numbers[_NUMBERS[name]], report) if name in _NUMBERS and numbers else ("0", "")
        for name in _MEASURES
    ]
    if illegal:
        values[0] = ("0", "Measures rest on the terms, not on illegality: see part 6.")
    cells = (*(value for value, _ in values), *(context for _, context in values))
    rows = [(*_begin(report), "TOTAL", "", *cells)]
    if not illegal:
        rows += [
            (*_begin(report), CATEGORY, "", *cells),
            (*_begin(report), KEYWORD, DESCRIPTION, *cells),
        ]
    return _csv(columns, rows)


def _appeals(report: Report, numbers: dict[str, Number]) -> bytes:
    rows = []
    for kind, indicator in _KINDS.items():
        for name, scope in _SCOPES.items():
            number = numbers[f"appeals.{kind}{name}"]
            value, withheld = _value(number, report)
            context = withheld or number.definition
            rows.append(
                (*_begin(report), "Internal complaints mechanism", indicator, scope, value, context)
            )
    columns = (*_BEGIN, "Section", "Indicator", "Scope", "Value", "Contextual Information")
    return _csv(columns, rows)


def _automated_means(report: Report, numbers: dict[str, Number]) -> bytes:
    measures = {
        "Number of measures solely taken by automated means": "automation.solely",
        "Number of measures not taken by automated means": "automation.not_solely",
    }
    lines = [
        (indicator, scope, numbers[name])
        for indicator, name in measures.items()
        for scope in ("Total number", "Own-initiative")
    ]
    lines += [
        (
            f"Accuracy of the automated means - {measure.capitalize()}",
            classifier,
            numbers[f"classifier.{name}.{measure}"],
        )
        for name, classifier in CLASSIFIERS.items()
        for measure in ("accuracy", "precision", "recall")
    ]
    rows = []
    for indicator, scope, number in lines:
        value, withheld = _value(number, report)
        context = f"{withheld} {number.definition}".strip()
        rows.append((*_begin(report), _AUTOMATED, indicator, scope, value, context))
    columns = (*_BEGIN, "Section", "Indicator", "Scope", "Value", "Contextual Information")
    return _csv(columns, rows)
