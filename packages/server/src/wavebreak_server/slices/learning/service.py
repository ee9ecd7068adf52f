"""Learning at home in a service: learned every week, checked every day, promoted, rolled back.

`wavebreak learn HOME` does the work in a process of its own: it reads the log, learns or checks,
and notes the learned scores and the proposed ceilings of complaints in `HOME/learned/state.json`.
The service carries them out by the steps that every version has (`versions.service`): it registers
models, promotes a score that has held in shadow where the policy says so, and rolls back one that
failed. Ceilings become a version of the policy, which a person replays and approves.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import pyarrow as pa
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import transaction
from msgspec import Struct
from msgspec.structs import replace

from wavebreak import model
from wavebreak.durable_files import replace_file
from wavebreak.durations import duration_ms
from wavebreak.engine import Engine
from wavebreak.errors import WavebreakError
from wavebreak.evaluation import asked_labels, home_learning
from wavebreak.evaluation.asked_labels import Answers, Question
from wavebreak.evaluation.complaint_ceilings import Ceiling, propose_ceilings
from wavebreak.evaluation.home_learning import (
    CHECKED_STATES,
    Check,
    HomeDays,
    Lesson,
    State,
    Terms,
    state_after,
)
from wavebreak.features.descriptions import feature_title
from wavebreak.languages import msgid, msgids
from wavebreak.model import baseline
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.schema.events import Label, LabelAssigned
from wavebreak_server.http.app_context import (
    AppContext,
    closing_connection,
    run_background_query,
    write_audit_entry,
)
from wavebreak_server.http.operations import RequestContext
from wavebreak_server.pipeline.live_policy import live_policy
from wavebreak_server.pipeline.service import Service
from wavebreak_server.slices.lanes import service as lanes
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.versions import model_versions, policy_versions
from wavebreak_server.slices.versions.model_versions import MODEL
from wavebreak_server.slices.versions.policy_switch import PolicySwitch
from wavebreak_server.slices.versions.policy_versions import POLICY, directory_that_decides
from wavebreak_server.slices.versions.service import (
    go_live_measured,
    reject,
    roll_back,
    version_of,
)
from wavebreak_server.storage.models import LogBatch
from wavebreak_server.texts import page_language, translate, translate_count

CHECK_S, RETRY_S = 60.0, 3600
"""Seconds between two looks at what is due, and until a command that failed is tried again."""
USER = "learning"
"""The user who writes and releases learned models; nobody can sign in as it."""
MAX_QUESTIONS_KEPT = 5000
_STATE, _QUESTIONS = "state.json", "questions.json"
"""Files in `HOME/learned`. Only `ask` writes the second: what a week's learning writes when it ends
loses no question that was put meanwhile."""
_EVIDENCE = "evidence.toml"

WORDS: dict[State, str] = {
    "none": msgid("no line"),
    "shadow": msgid("in shadow: it acts on nobody"),
    "ready": msgid("held in shadow: it waits to act"),
    "on": msgid("on: it acts beside a complaint, or by itself where reviewers answered"),
    "failing": msgid("failed: it is being rolled back"),
    "ended": msgid("ended"),
}


class LearnedScore(Struct, frozen=True, kw_only=True):
    """A score that was learned from the own log, and what became of it.

    Attributes:
        number: Its place among all, and the name of its directory in `HOME/learned`.
        state: Whether it acts.
        why: Why it is in this state.
        lesson: What the days taught.
        model: The model's version; "" without a line.
        name: Its name among the versions of models.
        checks: What it met since, newest last.
    """

    number: int
    state: State
    why: str
    learned_ms: int
    lesson: Lesson
    model: str = ""
    name: str = ""
    checks: tuple[Check, ...] = ()


class CeilingProposal(Struct, frozen=True, kw_only=True):
    """Ceilings of complaints that the own log supports.

    Attributes:
        proposed_ms: The time of the proposal.
        policy: The version of the policy that decided then.
        ceilings: The ceilings, changed or not.
        version: The name of the policy version that has them ("": none yet).
    """

    proposed_ms: int
    policy: str
    ceilings: tuple[Ceiling, ...]
    version: str = ""

    @property
    def numbers(self) -> dict[str, float]:
        """The changed numbers by name."""
        return {ceiling.name: ceiling.proposed for ceiling in self.ceilings if ceiling.changed}


class LearnedState(Struct, frozen=True):
    """A service's learned scores, oldest first, their last check, and the proposed ceilings."""

    scores: tuple[LearnedScore, ...] = ()
    checked_ms: int = 0
    ceilings: CeilingProposal | None = None

    def with_score(self, score: LearnedScore) -> LearnedState:
        """Return the state with a score in its place."""
        others = [each for each in self.scores if each.number != score.number]
        return replace(self, scores=tuple(sorted([*others, score], key=lambda s: s.number)))


def learned_directory(home: Path) -> Path:
    """Return where a service's learned scores lie.

    >>> learned_directory(Path("var")).as_posix()
    'var/learned'
    """
    return home / "learned"


def read_state(home: Path) -> LearnedState:
    """Return what a service has learned; nothing where it never did."""
    path = learned_directory(home) / _STATE
    return (
        msgspec.json.decode(path.read_bytes(), type=LearnedState)
        if path.is_file()
        else LearnedState()
    )


def write_state(home: Path, state: LearnedState) -> None:
    """Write what a service has learned; the file changes at once or not at all."""
    _write(home, _STATE, state)


def read_questions(home: Path) -> tuple[Question, ...]:
    """Return what reviewers were asked, oldest first."""
    path = learned_directory(home) / _QUESTIONS
    if not path.is_file():
        return ()
    return msgspec.json.decode(path.read_bytes(), type=tuple[Question, ...])


def _write(home: Path, name: str, value: Any) -> None:
    learned_directory(home).mkdir(mode=0o700, exist_ok=True)
    replace_file(learned_directory(home) / name, msgspec.json.encode(value), mode=0o600)


# What the command does


def learn(
    home: Path, engine: Engine, log: Iterable[pa.RecordBatch], terms: Terms, fit: Any, now_ms: int
) -> LearnedState:
    """Learn from the own log, propose ceilings, and check the scores that are there.

    Args:
        home: The service's directory.
        engine: An engine as the service has it, without state, that records its points.
        log: Its log; what comes before the days of the terms gives the state alone.
        terms: The terms.
        fit: Fits trees (`home_learning.learn`).
        now_ms: The time.
    """
    days = _days(home, engine, log, terms)
    state = _checked(home, days, terms, now_ms)
    number = state.scores[-1].number + 1 if state.scores else 1
    lesson, learned, _ = home_learning.learn(days, terms, fit, name=f"home-{number}")
    for earlier in state.scores:
        if earlier.state in ("shadow", "ready"):
            state = state.with_score(
                replace(
                    earlier, state="ended", why=f"Learned anew before it acted (week {number})."
                )
            )
    score = LearnedScore(
        number=number, state="none", why=lesson.no_line, learned_ms=now_ms, lesson=lesson
    )
    if learned is not None:
        directory = learned_directory(home) / str(number)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)
        model.save(learned, directory)
        baseline.save(home_learning.own_scores(learned, days), directory)
        _, why = home_learning.verdict_in_shadow(_nothing_seen(days), terms)
        score = replace(score, state="shadow", why=why, model=learned.version)
    return replace(
        state.with_score(score),
        checked_ms=now_ms,
        ceilings=_ceilings(engine, terms, state.ceilings, now_ms),
    )


def _days(home: Path, engine: Engine, log: Iterable[pa.RecordBatch], terms: Terms) -> HomeDays:
    return home_learning.record_days(engine, log, read_questions(home)).newest(terms.days)


def ask(
    home: Path, engine: Engine, log: Iterable[pa.RecordBatch], terms: Terms, number: int
) -> tuple[Question, ...]:
    """Draw accounts to ask reviewers about, and note them; arguments as for `learn`.

    Beside them come second looks at the answers that the newest score contradicts most, each once.
    Nobody is drawn of whose operator somebody was asked about.
    """
    earlier, scores = read_questions(home), read_state(home).scores
    days = home_learning.record_days(engine, log).newest(terms.days)
    judged = {vote.account for vote in days.votes if vote.source in home_learning.TEACHERS}
    known = judged | {question.account for question in earlier}
    second_looks = {question.account for question in earlier if question.stratum == "again"}
    again = (
        Question(account=account, chance=0.0, stratum="again")
        for account in (scores[-1].lesson.contradicted if scores else ())
        if account not in second_looks
    )
    questions = (*again, *asked_labels.choose_questions(days, number, known=known))
    _write(home, _QUESTIONS, (*earlier, *questions)[-MAX_QUESTIONS_KEPT:])
    return questions


def store_answers(
    home: Path,
    edge: Pseudonymizer,
    answers: Mapping[str, str],
    *,
    now_ms: int,
    by: str,
    reason: str,
) -> None:
    """Put labels at the end of a stopped service's log, in the open transaction.

    The next start takes them; a running service takes them by POST /v1/labels. The caller owns the
    log.

    Args:
        home: Directory of the service.
        edge: Pseudonymizes the events as the service would.
        answers: Labels by account.
        now_ms: The clock.
        by: Who labels, for the audit log.
        reason: Why.
    """
    ts = lanes.time_in_log(lanes.newest_ms(home), now_ms)
    events = [
        LabelAssigned(
            ts=ts, id=f"label-{secrets.token_hex(12)}", account=account,
            label=cast("Label", label), source="sample",
        )
        for account, label in answers.items()
    ]  # fmt: skip
    lanes.append_stored(events, edge, now_ms)
    write_audit_entry(now_ms, by, "label", f"{len(answers)} labels", reason)


def _ceilings(
    engine: Engine, terms: Terms, earlier: CeilingProposal | None, now_ms: int
) -> CeilingProposal:
    """Propose ceilings; the same numbers for the same policy keep their version."""
    proposal = CeilingProposal(
        proposed_ms=now_ms,
        policy=engine.policy.version,
        ceilings=propose_ceilings(engine, terms.ceilings),
    )
    if earlier is None or (earlier.policy, earlier.numbers) != (proposal.policy, proposal.numbers):
        return proposal
    return replace(proposal, version=earlier.version)


def check(
    home: Path, engine: Engine, log: Iterable[pa.RecordBatch], terms: Terms, now_ms: int
) -> LearnedState:
    """Check the scores that are in shadow or on; the arguments are those of `learn`."""
    return _checked(home, _days(home, engine, log, terms), terms, now_ms)


def _checked(home: Path, days: HomeDays, terms: Terms, now_ms: int) -> LearnedState:
    state = replace(read_state(home), checked_ms=now_ms)
    for score in state.scores:
        if score.state in CHECKED_STATES:
            state = state.with_score(_with_check(home, score, days, terms))
    return state


def _with_check(home: Path, score: LearnedScore, days: HomeDays, terms: Terms) -> LearnedScore:
    """Return a score after a check of the days since it was learned."""
    directory, since = learned_directory(home) / str(score.number), score.lesson.end_ms
    loaded = model.load(directory)
    spread = baseline.load(directory)["score"]
    moved = home_learning.moved_since(loaded, spread, days, terms, since)
    newest = home_learning.check_score(loaded, days, terms, since, moved)
    score = replace(score, checks=(*score.checks, newest)[-30:])
    state, why = state_after(score.state, newest, terms)
    return replace(score, state=state, why=why or score.why)


def _nothing_seen(days: HomeDays) -> Check:
    return Check(
        end_ms=days.end_ms, days=0, first_messages=0, met=0, accounts=0, granted=0, moved=0.0,
        too_few="",
    )  # fmt: skip


def register(home: Path, state: LearnedState, now_ms: int) -> LearnedState:
    """Register learned models that are none of the versions yet, in the open transaction."""
    for score in state.scores:
        if score.model and not score.name and score.state in ("shadow", "ready"):
            version = model_versions.register_as(
                home,
                learned_directory(home) / str(score.number),
                learning_user(),
                f"learned at home, week {score.number}: {sum(score.lesson.labels.values())} labels",
                now_ms,
            )
            state = state.with_score(replace(score, name=version.name))
    return state


def learning_user() -> User:
    """Return the user who writes and releases learned models; nobody can sign in as it."""
    user: User
    user, made = User.objects.get_or_create(
        username=USER,
        defaults={
            "role": "data_scientist", "display_name": "Learning at home", "is_active": False,
        },
    )  # fmt: skip
    if made:
        user.set_unusable_password()
        user.save()
    return user


# What the service does


class LearningSchedule:
    """A background task: learns when it is due, and carries out what the learned scores need.

    Args:
        home: The service's directory.
        context: What the service's operations share.
        program: What runs a command.
    """

    def __init__(
        self,
        home: Path,
        terms: Terms,
        context: AppContext,
        program: Sequence[str] = (sys.executable, "-m", "wavebreak"),
    ) -> None:
        self._home, self._terms, self._context = home, terms, context
        self._program, self._failed_ms = tuple(program), 0

    async def __call__(self, service: Service) -> None:
        """Look every minute until cancelled."""
        while True:
            await self.look(service)
            await asyncio.sleep(CHECK_S)

    async def look(self, service: Service) -> None:
        """Learn or check where it is due, and promote or roll back what is to be."""
        first_ms = await run_background_query(first_received)
        if first_ms is not None and service.clock() - self._failed_ms >= RETRY_S * 1000:
            await self._run(service, first_ms)
        for line in await carry_out(self._home, self._terms, service, self._context):
            service.report(line)

    async def _run(self, service: Service, first_ms: int) -> None:
        state, now = await asyncio.to_thread(read_state, self._home), service.clock()
        learned_ms = state.scores[-1].learned_ms if state.scores else first_ms
        watched = any(score.state in CHECKED_STATES for score in state.scores)
        if self._terms.every and now - learned_ms >= duration_ms(self._terms.every):
            only_check = False
        elif watched and now - state.checked_ms >= duration_ms(self._terms.check):
            only_check = True
        else:
            return
        policy, switch = directory_that_decides(service), service.switch
        options = switch.options() if isinstance(switch, PolicySwitch) else ()
        process = await asyncio.create_subprocess_exec(
            *self._program, "learn", str(self._home), *options,
            *(["--policy", str(policy)] if policy else []), *["--check"] * only_check,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            _, errors = await process.communicate()
        except asyncio.CancelledError:
            process.terminate()
            raise
        if process.returncode:
            self._failed_ms = now
            reason = " ".join(errors.decode(errors="replace").strip().splitlines()[-1:])
            service.report(f"nothing was learned; it is tried again in an hour: {reason}")


async def carry_out(home: Path, terms: Terms, service: Service, context: AppContext) -> list[str]:
    """Register, promote and roll back learned scores as their states ask; return what was done."""
    carry = closing_connection(partial(_carry_out, home, terms, service, context))
    # A thread of its own, as a request has: nothing ends the connection of the common one.
    async with ThreadSensitiveContext():
        return await sync_to_async(carry)()


def _carry_out(home: Path, terms: Terms, service: Service, context: AppContext) -> list[str]:
    state, lines = read_state(home), list[str]()
    with transaction.atomic():
        registered = register(home, state, service.clock())
    proposal, line = _carry_out_ceilings(state.ceilings, _acting(service, context))
    lines += [line] * bool(line)
    registered = replace(registered, ceilings=proposal)
    if registered != state:
        write_state(home, state := registered)
    for score in state.scores:
        if not score.name:
            continue
        live = live_policy(home)
        acts = live is not None and live.model == score.name
        changed, line = score, ""
        try:
            if score.state in ("shadow", "ready", "ended") and acts:
                whose = "A rollback returned to it." if score.state == "ended" else ""
                changed = replace(score, state="on", why=whose or "A person promoted it.")
            elif score.state == "ready" and terms.promote == "automatic":
                _promote(score, service, context)
                changed = replace(score, state="on", why=f"It held in shadow. {score.why}")
                line = f"the learned score {score.name} acts from now on: {score.why}"
            elif score.state in ("on", "failing") and not acts:
                changed = replace(score, state="ended", why="Another model took its place.")
            elif score.state == "failing":
                roll_back(MODEL, _acting(service, context), score.why[:400], score.name)
                changed = replace(score, state="ended", why=f"Rolled back by itself. {score.why}")
                line = f"the learned score {score.name} was rolled back: {score.why}"
        except WavebreakError as error:
            lines.append(f"the learned score {score.name} stays as it is: {error.what}")
            continue
        if changed != score:
            state = state.with_score(changed)
            write_state(home, state)
            lines += [line] * bool(line)
    return lines


def _carry_out_ceilings(
    proposal: CeilingProposal | None, acting: ActingUser
) -> tuple[CeilingProposal | None, str]:
    """Write proposed ceilings as a version of the policy, in place of an earlier open one.

    Returns the proposal with the name of its version, and a line for the log.
    """
    live = policy_versions.live_policy_of(acting).version
    if proposal is None or proposal.version or not proposal.numbers or proposal.policy != live:
        return proposal, ""
    try:
        for earlier in policy_versions.open_versions_of(acting, 10):
            reject(POLICY, acting, earlier, "other ceilings are proposed by now")
        base = policy_versions.directory_that_decides(acting.service)
        text = with_ceilings(policy_versions.effective_text(base, _EVIDENCE), proposal.numbers)
        home = acting.service.settings.home
        files = policy_versions.version_files(base) | {_EVIDENCE: text}
        version = policy_versions.create_version(
            home, policy_versions.checked_upload(home, base, files), acting.user,
            "ceilings of complaints, learned at home", acting.now_ms,
        )  # fmt: skip
    except WavebreakError as error:
        return proposal, f"the proposed ceilings are no version yet: {error.what}"
    return replace(proposal, version=version.name), (
        f"ceilings of complaints are proposed as {version.name}: replay and approve it in the "
        "console, under Policy"
    )


def with_ceilings(text: str, numbers: Mapping[str, float]) -> str:
    r"""Return the text of `evidence.toml` with other numbers; comments and order stay.

    >>> with_ceilings("[evidence]\nreply = 0.2\ncomplaint = 0.03\n", {"complaint": 0.02})
    '[evidence]\nreply = 0.2\ncomplaint = 0.02\n'
    """
    for name, number in numbers.items():
        text, count = re.subn(rf"^{name} = .*$", f"{name} = {number:g}", text, flags=re.M)
        if not count:
            text = f"{text.rstrip()}\n{name} = {number:g}\n"
    return text


def first_received() -> int | None:
    """Return the time of the first event in the log, in milliseconds; None for an empty log."""
    first = LogBatch.objects.order_by("first").values_list("received_ms", flat=True).first()
    return None if first is None else int(first)


def _acting(service: Service, context: AppContext) -> ActingUser:
    user = learning_user()
    return ActingUser(user, RequestContext(service, context, user.actor))


def _promote(score: LearnedScore, service: Service, context: AppContext) -> None:
    version = version_of(MODEL, score.name)
    if version is None or version.state not in version.OPEN:
        raise WavebreakError("its model was withdrawn", fix="wait for the next week")
    go_live_measured(
        MODEL, _acting(service, context), version, f"held in shadow: {score.why}"[:500]
    )


# What a week taught, in words


_LABELS = (
    msgids("{n} account convicted by the tests.", "{n} accounts convicted by the tests."),
    msgids("{n} account convicted by traps.", "{n} accounts convicted by traps."),
    msgids("{n} account upheld by a reviewer.", "{n} accounts upheld by a reviewer."),
    msgids("{n} account answered by strangers.", "{n} accounts answered by strangers."),
    msgids(
        "{n} account cleared by a reviewer or an appeal.",
        "{n} accounts cleared by a reviewer or an appeal.",
    ),
    msgids(
        "{n} account convicted by reports of too few operators.",
        "{n} accounts convicted by reports of too few operators.",
    ),
    msgids(
        "{n} account neither convicted nor answered.",
        "{n} accounts neither convicted nor answered.",
    ),
)
_LABELS_BY_WORDS = {one.removeprefix("{n} account ")[:-1]: (one, many) for one, many in _LABELS}
"""By what a lesson calls them."""


def sentences(score: LearnedScore) -> list[tuple[str, list[str]]]:
    """Return what a week taught: headings, and sentences below each.

    What the lesson itself says, of labels and of why there is no line, is English as it is stored.
    """
    lesson = score.lesson
    moved = [
        f"{feature_title(name, page_language())} ({share:.0%})" for name, share in lesson.features
    ]
    learned_from = [
        translate(
            "{events} events of {days} days.", events=f"{lesson.events:,}", days=f"{lesson.days:g}"
        ),
        *_counted(lesson.labels),
        translate("The convicted accounts seem to be of {n} operators.", n=f"{lesson.operators:,}"),
    ]
    return [
        (translate("State"), [f"{translate(WORDS[score.state])}. {score.why}".strip()]),
        (translate("What it was learned from"), learned_from),
        *(
            [(translate("What reviewers answered"), _answers(lesson.answers))]
            if lesson.answers
            else []
        ),
        (translate("What was left out"), _counted(lesson.left_out) or [translate("Nothing.")]),
        (translate("Where the line stands"), [*_line(lesson), *map(_check, score.checks[-1:])]),
        (
            translate("What moved it most"),
            [", ".join(moved) + "."] if moved else [translate("Nothing was fitted.")],
        ),
    ]


def _counted(labels: Mapping[str, int]) -> list[str]:
    """Say how many accounts each label has; one of another version by its own words."""
    return [
        translate_count(*_LABELS_BY_WORDS[words], n)
        if words in _LABELS_BY_WORDS
        else f"{n:,} accounts {words}."
        for words, n in labels.items()
        if n
    ]


def _answers(answers: Answers) -> list[str]:
    """Say what the answers of reviewers say of everybody, with 95 % intervals."""
    return [
        translate(
            "{abusive} accounts abusive, {benign} not.",
            abusive=f"{answers.abusive:,}", benign=f"{answers.benign:,}",
        ),
        translate("Of active senders {share} are abusive.", share=answers.senders),
        translate(
            "Of the accounts that count as honest since strangers answer, {share} are abusive.",
            share=answers.answered,
        ),
        translate("Of first messages, abusers send {share}.", share=answers.first_messages),
        *([answers.too_few] if answers.too_few else []),
    ]  # fmt: skip


def _line(lesson: Lesson) -> list[str]:
    if lesson.line is None:
        return [lesson.no_line]
    met, caught, answers = f"{lesson.met:,}", f"{lesson.caught:,}", lesson.answers
    if answers is not None and answers.refused is not None:
        return [
            translate(
                "From {line} on the score limits by itself: it rests on answers of reviewers.",
                line=f"{lesson.line:.2f}",
            ),
            translate(
                "It takes {height} of first messages for abusive; above it lie about {met} of "
                "{messages} honest ones, of the honest reviewed accounts' own {refused}.",
                height=f"{answers.height or 0:.1%}", met=met, messages=f"{lesson.first_messages:,}",
                refused=answers.refused,
            ),
        ]  # fmt: skip
    return [
        translate(
            "From {line} log-odds on the score counts, beside a complaint by a stranger.",
            line=f"{lesson.line:.2f}",
        ),
        translate(
            "It meets {met} of {messages} first messages of answered accounts, by trees that saw "
            "nothing of their operator.",
            met=met,
            messages=f"{lesson.first_messages:,}",
        ),
        translate(
            "It meets {caught} of the accounts that the tests or a reviewer convicted.",
            caught=caught,
        ),
    ]


def _check(check: Check) -> str:
    return translate(
        "Since then: {met} of {messages} first messages of answered accounts that it was not "
        "learned from ({share}), and {accounts} accounts in all; {granted} appeals granted.",
        met=f"{check.met:,}",
        messages=f"{check.first_messages:,}",
        share=f"{check.share:.2%}",
        accounts=f"{check.accounts:,}",
        granted=f"{check.granted:,}",
    )
