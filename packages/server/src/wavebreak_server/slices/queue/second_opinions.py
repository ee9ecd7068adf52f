"""Second opinions: a reviewer's question to a colleague about a case, and its answer."""

from __future__ import annotations

from wavebreak_server.errors import ApiError
from wavebreak_server.slices.queue import service as review_queue
from wavebreak_server.slices.queue.models import ReviewCase, SecondOpinion
from wavebreak_server.slices.users.acting_user import ActingUser


def ask(acting: ActingUser, case: ReviewCase, question: str) -> None:
    """Ask a colleague about a case, which is free for them meanwhile."""
    SecondOpinion.objects.create(
        case=case, asked_by=acting.user, question=question, asked_ms=acting.now_ms
    )
    review_queue.release(case.id, acting.user, f"Second opinion asked: {question}")


def open_question(acting: ActingUser, opinion_id: int) -> SecondOpinion:
    """Return a question that a person may answer; raises ApiError (404) where there is none."""
    found: SecondOpinion | None = SecondOpinion.objects.filter(
        id=opinion_id, answered_by=None
    ).first()
    if found is None or found.asked_by_id == acting.user.id:
        raise ApiError(404, "there is no such open question for you", fix="open the case anew")
    return found


def answer(acting: ActingUser, opinion: SecondOpinion, text: str) -> None:
    """Answer an open question."""
    opinion.answer, opinion.answered_by, opinion.answered_ms = text, acting.user, acting.now_ms
    opinion.save()
