"""A version of the policy from its upload to live, as people do it in the console."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from support.console_harness import SHEET, RunningConsole, Visitor
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.versions.models import PolicyReplay, PolicyVersion

FILE = "evidence.toml"
NOTHING_CHANGES = {"changed": 0, "accounts": 0, "moves": [], "refused": [0, 0]}
TEXT = "[evidence]\nreply = 0.1\n"


async def upload(owner: Visitor, files: Mapping[str, str | bytes], reason: str = "a figure") -> Any:
    """Send the form that uploads the files of a policy."""
    return await owner.client.post(
        "/console/policy/versions/upload",
        data={"csrfmiddlewaretoken": await owner.token(), "reason": reason},
        files=[("files", (name, text)) for name, text in files.items()],
    )


async def uploaded(console: RunningConsole) -> tuple[Visitor, PolicyVersion]:
    """Return a policy owner and their version of one file."""
    owner = await console.person("policy_owner")
    answer = await upload(owner, {FILE: TEXT})
    assert answer.status_code == 302, answer.text
    number = int(str(answer.headers["location"]).rpartition("/")[2])
    return owner, await stored(lambda: PolicyVersion.objects.get(id=number))


async def approved(console: RunningConsole, version: PolicyVersion) -> Visitor:
    """Have a version replayed, and approved by a lead, who is returned."""
    lead = await console.person("lead")
    live = console.service.responder.policy.version

    def replayed() -> None:
        PolicyReplay.objects.create(
            of=version, by=User.objects.get(username="policy-owner"), state=PolicyReplay.DONE,
            started_ms=1, digest=version.digest, live=live, result=NOTHING_CHANGES,
        )  # fmt: skip
        PolicyVersion.objects.filter(id=version.id).update(state=PolicyVersion.REPLAYED)

    await stored(replayed)
    path = f"/console/policy/versions/{version.id}/approve"
    answer = await lead.post(path, reason="read it", seen=version.digest)
    assert answer.status_code == 302, answer.text
    return lead


async def go_live(lead: Visitor, *numbers: int) -> list[int]:
    """Let versions go live, all at once; return the statuses of the answers."""
    fields, forms = {"csrfmiddlewaretoken": await lead.token(), "reason": "now"}, []
    for number in numbers:
        page = f"/console/policy/versions/{number}"
        found = SHEET.search((await lead.get(page)).text)
        forms.append((f"{page}/live", fields | {"sheet": found[1] if found else ""}))
    answers = await asyncio.gather(*(lead.client.post(path, data=form) for path, form in forms))
    return sorted(answer.status_code for answer in answers)
