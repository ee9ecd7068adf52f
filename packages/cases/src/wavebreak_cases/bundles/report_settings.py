"""What a report says beside its case: language, operator, who prepared it, forms.

It is kept in a bundle as `report.json`, so that the report can be typeset again from the bundle
alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from wavebreak import config
from wavebreak.errors import UsageError
from wavebreak.languages import LANGUAGES, SOURCE_LANGUAGE, get_language
from wavebreak_cases.cases.notices import Language

FILE = "report.json"
Line = Annotated[str, Meta(max_length=300)]


class CertificateForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A form of a certificate in one language, for a person to complete and sign, or not.

    Where `digests` is set its schedule names every file of the exhibits with its SHA-256. A lawyer
    of its `jurisdiction` reviews it before it is used; its `attestation` a second person signs.
    """

    id: Line
    language: Language
    title: Line
    lead: str
    paragraphs: tuple[str, ...]
    declaration: str
    digests: bool = False
    jurisdiction: Line = ""
    attestation: str = ""


class CertificateForms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All forms, from `cases/certificates.toml`."""

    form: tuple[CertificateForm, ...]

    def in_language(self, language: Language) -> tuple[CertificateForm, ...]:
        """Return the forms in a language: the policy's own, and those that are translated."""
        own = {form.id: form for form in self.form if form.language == language}
        speech = get_language(language)
        for form in self.form:
            fields = msgspec.to_builtins(form)
            apart = {name: fields.pop(name) for name in ("id", "language", "digests")}
            texts = {name: words for name, words in fields.items() if words}
            context = f"certificates.form.{form.id}"
            shipped = form.language == SOURCE_LANGUAGE and speech.code == language
            if form.id not in own and shipped and speech.translates(context, texts):
                words = speech.translate_table(context, texts)
                own[form.id] = msgspec.convert(
                    apart | {"language": language} | words, CertificateForm
                )
        return tuple(own.values())


class Operator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who publishes reports and writes notices, from `cases/operator.toml`: its letterhead.

    `calendar` names the calendar by which days to answer are counted; `paper` is what report, forms
    and letters are set for: US Letter for courts of the United States.
    """

    name: Line = ""
    address: Annotated[tuple[Line, ...], Meta(max_length=8)] = ()
    registration: Line = ""
    contact: Line = ""
    calendar: Line = ""
    paper: Literal["a4", "us-letter"] = "a4"


class Sealing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who stamps and who signs the ledger of a packed case, from `cases/sealing.toml` ("": nobody).

    In `witness_url` {case} stands for the case, whose ledger is a log of its own.
    """

    time_stamp_url: Line = ""
    time_stamp_authority: Line = ""
    witness_url: Line = ""
    witness_key: Line = ""

    @property
    def stamped_by(self) -> str:
        """The host of the authority ("": none)."""
        return urlsplit(self.time_stamp_url).netloc

    @property
    def witnessed_by(self) -> str:
        """The name of the witness ("": none)."""
        return self.witness_key.partition("+")[0]


def load_sealing(policy: Path | None = None) -> Sealing:
    """Return who stamps and signs; the authority's certificate as a path that can be read.

    Raises:
        UsageError: One of the two is named by half.

    >>> load_sealing()
    Sealing(time_stamp_url='', time_stamp_authority='', witness_url='', witness_key='')
    """
    path = config.resolve_path("cases/sealing.toml", policy)
    given = config.load_config(path, Sealing)
    for what, parts, both in (
        (
            "an authority of time stamps",
            (given.time_stamp_url, given.time_stamp_authority),
            "where it answers, and the file of its certificate",
        ),
        (
            "a witness",
            (given.witness_url, given.witness_key),
            "where it answers, and its verifier key",
        ),
    ):
        if any(parts) and not all(parts):
            raise UsageError(f"{path.name} names {what} by half", fix=f"give both: {both}")
    if not given.time_stamp_authority:
        return given
    certificate = str(path.parent / given.time_stamp_authority)
    return msgspec.structs.replace(given, time_stamp_authority=certificate)


class ReportSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a report says beside its case.

    Attributes:
        language: The language of report and forms.
        operator: Who publishes it.
        prepared_by: Who prepared it ("": who opened the case).
        authenticated: How that person was authenticated: signed in to the console, by a key that
            the case names (its fingerprint), or "": the name was typed.
        issued: The date of issue, 2026-03-02 ("": that of the case's last step).
        forms: The certificate forms in that language.
        stamped_by: Who is asked for a time stamp when the case is packed ("": nobody).
        witnessed_by: Which witness is asked to sign its ledger then ("": none).
    """

    language: Language = "en"
    operator: Operator = Operator()
    prepared_by: Line = ""
    authenticated: Line = ""
    issued: Annotated[str, Meta(pattern=r"^(\d{4}-\d\d-\d\d)?$")] = ""
    forms: tuple[CertificateForm, ...] = ()
    stamped_by: Line = ""
    witnessed_by: Line = ""

    def __post_init__(self) -> None:
        """Refuse a language that there are no texts in."""
        for language in (self.language, *(form.language for form in self.forms)):
            if language not in LANGUAGES:
                raise ValueError(f"this version has no language {language}")


def load_operator(policy: Path | None = None) -> Operator:
    """Read who the operator is: shipped empty, or `cases/operator.toml` of a local policy.

    >>> load_operator().name
    ''
    """
    return config.load_config(config.resolve_path("cases/operator.toml", policy), Operator)


def load_settings(
    language: Language = "en",
    *,
    policy: Path | None = None,
    prepared_by: str = "",
    authenticated: str = "",
    issued: str = "",
) -> ReportSettings:
    """Return the settings of a report in a language, with operator and forms of a policy.

    Args:
        language: The report's language.
        policy: A local policy.
        prepared_by: Who prepared it.
        authenticated: How that person was authenticated: "console", a key's fingerprint, or "".
        issued: The date of issue, 2026-03-02.

    Raises:
        UsageError: The date is none, or the policy has no form in that language.

    >>> [form.id for form in load_settings("he").forms]
    ['us_fre_902_11', 'us_fre_902_13', 'us_fre_902_14', 'il_affidavit', 'il_institutional_record', \
'il_expert_opinion', 'in_bsa_63', 'declaration']
    """
    path = config.resolve_path("cases/certificates.toml", policy)
    own = config.load_config(path, CertificateForms).in_language(language)
    if not own:
        raise UsageError(
            f"{path.name} has no form in {language}",
            fix=f'add a [[form]] with language = "{language}"',
        )
    sealing = load_sealing(policy)
    made = ReportSettings(
        language, load_operator(policy), prepared_by, authenticated, issued, own,
        sealing.stamped_by, sealing.witnessed_by,
    )  # fmt: skip
    try:
        return msgspec.convert(msgspec.to_builtins(made), ReportSettings)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"the report's settings are not well formed: {error}",
            fix="give the date of issue as 2026-03-02, and lines of at most 300 characters",
        ) from None


def encode_settings(settings: ReportSettings) -> bytes:
    """Write settings as a bundle holds them."""
    return msgspec.json.encode(settings, order="deterministic") + b"\n"
