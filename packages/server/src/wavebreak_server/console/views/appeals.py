"""Appeals: the list by deadline with figures, an appeal, and its answer."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from wavebreak.notices import get_language
from wavebreak_server.console import pages
from wavebreak_server.console.act_form import was_seen
from wavebreak_server.console.appeal_form import AnswerForm
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.accounts import service as account_facts
from wavebreak_server.slices.acts.effect_sheet import EffectSheet
from wavebreak_server.slices.appeals import answers
from wavebreak_server.slices.appeals import service as domain
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.help.service import help_trend
from wavebreak_server.slices.statements import service as statements
from wavebreak_server.texts import translate

STATES = (Appeal.OPEN, Appeal.DECIDED, Appeal.UNVERIFIED)
SHOWN_GROUPS = 20
COLUMNS = (
    "id", "account", "outcome", "rule", "model", "state", "opened_ms", "deadline_ms", "decided_ms",
    "result", "group", "together", "language",
)  # fmt: skip


@pages.page("view_appeals")
def appeals(request: HttpRequest) -> HttpResponse:
    """Show the appeals: those that wait by their deadline, the others newest first."""
    console = pages.console_of(request)
    state = request.GET.get("state", Appeal.OPEN)
    state = state if state in STATES else Appeal.OPEN
    chosen = {
        name: request.GET.get(name, "")
        for name in ("group", "outcome", "due", "result", "language")
    }
    rows = domain.listed(state, chosen, console.now_ms)
    if request.GET.get("format") == "csv":
        columns = rows.unverified().order_by("id").values_list(*COLUMNS)
        return pages.csv_response("appeals", COLUMNS, columns)
    at, _, last = request.GET.get("after", "").partition("-")
    after = (pages.number_of(at, 0, 2**62, 0), pages.number_of(last, 0, 2**62, 0)) if last else None
    found = list(domain.in_order(rows, state, after)[: pages.PAGE_SIZE + 1])
    return pages.show(
        request,
        "console/appeals.html",
        rows=pages.keyset(request, found, lambda row: f"{domain.ordered_by(row, state)}-{row.id}"),
        state=state,
        states=STATES,
        now=console.now_ms,
        counts=domain.waiting_counts(console.now_ms),
        groups=domain.waiting_groups(SHOWN_GROUPS),
        chosen=chosen,
        languages=[get_language(code) for code in domain.languages_of(state)],
        results=answers.RESULTS,
        by_rule=domain.figures("rule"),
        by_model=domain.figures("model"),
        help=help_trend(console.now_ms),
    )


@pages.page("view_appeals")
def appeal(request: HttpRequest, appeal_id: int) -> HttpResponse:
    """Show an appeal: its statement, the decision as it was, and what the holder was shown."""
    return _show_appeal(request, domain.find_appeal(appeal_id))


def _show_appeal(
    request: HttpRequest,
    found: Appeal,
    form: AnswerForm | None = None,
    sheet: EffectSheet | None = None,
) -> HttpResponse:
    console, language = pages.console_of(request), get_language(found.language)
    conflict = answers.conflict(found, console.user)
    may_read = console.user.may("decide_appeals") and not conflict
    statement = answers.read_for(console, found)
    decision = statements.stored_decision(found.decision) or {}
    others = answers.effect_of(console, found, answers.Answer(Appeal.UNCHANGED)).others
    if form is None:
        initial = {"version": found.version}
        form = AnswerForm(language=language, others=others, initial=initial)
    shown = None
    if decision:
        notices = console.context.app.holder_notices
        shown = statements.shown_statement(found.decision, found.language)
        shown = shown or statements.statement_of(notices, decision, language, console.now_ms)
    response = pages.show(
        request,
        "console/appeal.html",
        appeal=found,
        statement=statement,
        may_read=may_read,
        decision=account_facts.decision_shown(decision),
        shown=shown,
        language=language,
        account=account_facts.account_page(console, found.account),
        conflict=conflict,
        duplicates=list(domain.duplicates(found)[:20]),
        together=answers.others_together(found).count(),
        others=[
            account_facts.decision_shown(other)
            | {"same": answers.has_same_evidence(decision, other), "widget": widget}
            for other, widget in zip(others, form["lift"], strict=True)
        ],
        form=form,
        sheet=sheet,
        wrong_script=sheet and not answers.is_in_script_of(form.answer.text, language),
        now=console.now_ms,
    )
    response.status_code = 422 if form.errors else 200
    return response


@pages.page("decide_appeals", "POST")
def decide(request: HttpRequest, appeal_id: int) -> HttpResponse:
    """Show the effect sheet of an answer, then give it; who took part is refused."""
    console, found = pages.console_of(request), domain.find_appeal(appeal_id)
    if why := answers.conflict(found, console.user):
        return pages.error_page(
            request, 403, translate("You cannot decide this appeal. {why}", why=why),
            translate("It is decided by a colleague who took no part in the decision."),
        )  # fmt: skip
    others = answers.effect_of(console, found, answers.Answer(Appeal.UNCHANGED)).others
    form = AnswerForm(request.POST, language=get_language(found.language), others=others)
    if not form.is_valid():
        return _show_appeal(request, found, form)
    version, answer = form.cleaned_data["version"], form.answer
    together = form.cleaned_data["together"] and bool(found.group)
    try:
        answers.check_current(found, version)
        sheet = answers.sheet_of(console, found, answer, together=together)
        if not was_seen(request, sheet):
            return _show_appeal(request, found, form, sheet)
        fault = answers.decide(console, found, answer, version, sheet.record)
        faults = [fault] if fault else []
    except ApiError as error:
        if error.status != 409:
            raise
        pages.warn(request, f"{error.what[:1].upper()}{error.what[1:]}: {error.fix}.")
        return redirect("appeal", found.id)
    pages.say(
        request,
        translate(
            "Appeal {id}: {result}. The holder can read it.",
            id=found.id,
            result=translate(found.result.replace("_", " ")),
        ),
    )
    if together:
        group = answers.decide_together(console, found, answer, sheet.record)
        faults += group.faults
        pages.say(
            request,
            translate(
                "{count} more of the group were decided in the same way.", count=len(group.decided)
            ),
        )
        if group.left:
            pages.warn(
                request,
                translate(
                    "{count} were left: a colleague must decide them, or their language differs.",
                    count=len(group.left),
                ),
            )
    for fault in faults:
        pages.warn(request, fault)
    return redirect("appeals")
