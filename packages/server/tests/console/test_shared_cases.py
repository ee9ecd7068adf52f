"""Links of a case: one that proposes a verdict to a colleague, one that an auditor reads."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

from support.console_harness import RunningConsole, Visitor, console_test
from support.service_harness import abuser
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.shares.models import SharedCase
from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import AuditEntry


async def _abuser(console: RunningConsole) -> None:
    await console.running.send([*abuser(account="ann"), *abuser(account="bob")])
    await console.index()


visits = console_test(_abuser)


async def number(account: str = "ann") -> int:
    return int(await stored(lambda: ReviewCase.objects.get(account=account).id))


async def shared(lead: Visitor, case: int) -> str:
    """Make a link to a case; return its path."""
    answer = await lead.post(f"/console/queue/{case}/share", days="7", reason="the yearly audit")
    assert answer.status_code == 200, answer.text
    found = re.search(r"/console/shared/[\w-]{43}", answer.text)
    assert found
    return found[0]


@visits
async def test_link_fills_the_verdict_in_and_decides_nothing(console: RunningConsole) -> None:
    analyst, case = await console.person("analyst"), await number()
    query = "verdict=undetermined&outcome=restrict&hold=3d&reason=%22%3E%3Cb%3E+slowly"
    path = f"/console/queue/{case}?{query}"
    free = (await analyst.get(path)).text
    assert 'name="reason" value="&quot;&gt;&lt;b&gt; slowly"' in free
    # A claim keeps what the link proposes.
    fields = {"verdict": "undetermined", "outcome": "restrict", "hold": "3d", "reason": "slowly"}
    claimed = await analyst.post(f"/console/queue/{case}/claim", **fields)
    assert claimed.headers["location"].endswith(
        "?verdict=undetermined&outcome=restrict&hold=3d&reason=slowly"
    )
    page = (await analyst.get(path)).text
    assert 'value="undetermined" checked' in page
    assert '<option value="restrict" selected>' in page
    assert '<option value="3d" selected>' in page
    assert "Nothing is decided before you press" in page
    wrong = (await analyst.get(f"/console/queue/{case}?verdict=hang&reason=x")).text
    assert "Nothing is decided before you press" not in wrong
    assert await stored(PersonAct.objects.count) == 0
    assert await stored(lambda: ReviewCase.objects.get(id=case).state) == "open"


@visits
async def test_case_is_read_by_its_link_alone(console: RunningConsole) -> None:
    lead, case = await console.person("lead"), await number()
    path = await shared(lead, case)
    secret = path.rpartition("/")[2]
    kept = await stored(lambda: SharedCase.objects.get())
    assert secret not in (kept.digest, kept.reason)
    visitor = console.anybody()
    answer = await visitor.get(path)
    assert answer.status_code == 200
    assert "ann" in answer.text
    assert "bob" not in answer.text
    assert "<form" not in answer.text
    assert "set-cookie" not in answer.headers
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    hebrew = (await visitor.get(path, headers={"accept-language": "he"})).text
    assert 'dir="rtl"' in hebrew
    # It opens nothing else, and takes nothing.
    assert (await visitor.get(f"/console/queue/{case}")).status_code == 302
    assert (await visitor.client.post(path)).status_code == 405
    wrong = await visitor.get("/console/shared/" + "A" * 43)
    assert wrong.status_code == 404
    await visitor.get(path)
    rows = AuditEntry.objects.values_list("action", "key")
    acts = await stored(lambda: [row for row in rows if "share" in row[0]])
    assert acts == [("share_case", "user:lead"), ("open_shared_case", f"link:{kept.id}")]


@visits
async def test_link_ends_by_time_revocation_and_with_its_maker(console: RunningConsole) -> None:
    lead, case = await console.person("lead"), await number()
    analyst, visitor = await console.person("analyst"), console.anybody()
    share = f"/console/queue/{case}/share"
    assert (await analyst.post(share, days="7", reason="x")).status_code == 403
    assert (await lead.post(share, days="3650", reason="x")).status_code == 422
    assert (await lead.post(share, days="7", reason=" ")).status_code == 422
    ended, revoked, orphan = [await shared(lead, case) for _ in range(3)]
    first, second, _ = await stored(lambda: list(SharedCase.objects.order_by("id")))
    await stored(lambda: SharedCase.objects.filter(id=first.id).update(expires_ms=1))
    assert (await visitor.get(ended)).status_code == 404
    withdrawn = f"/console/queue/shares/{second.id}/revoke"
    assert (await lead.post(withdrawn)).status_code == 302
    assert (await lead.post(withdrawn)).status_code == 404
    assert (await visitor.get(revoked)).status_code == 404
    assert (await visitor.get(orphan)).status_code == 200
    await stored(lambda: User.objects.filter(username="lead").update(role="auditor"))
    assert (await visitor.get(orphan)).status_code == 404


@visits
async def test_entries_lead_to_the_root_of_the_checkpoint(console: RunningConsole) -> None:
    lead, case = await console.person("lead"), await number()
    page = (await console.anybody().get(await shared(lead, case))).text
    found = re.search(r'<script id="proofs" type="application/json">(.*?)</script>', page)
    assert found
    proofs: dict[str, Any] = json.loads(found[1])
    size, root = proofs["checkpoint"].split("\n")[1:3]
    assert len(proofs["entries"]) >= 1
    for entry in proofs["entries"]:
        assert _root(entry, int(size)) == base64.b64decode(root)
    digest = hashlib.sha256(proofs["checkpoint"].encode()).hexdigest()
    assert digest in page


def _root(entry: dict[str, Any], size: int) -> bytes:
    """RFC 9162, section 2.1.3.2, as the page's script does it."""
    node, last = entry["position"], size - 1
    root = hashlib.sha256(b"\0" + entry["line"].encode()).digest()
    for each in map(base64.b64decode, entry["path"]):
        if node % 2 or node == last:
            root = hashlib.sha256(b"\1" + each + root).digest()
            while not node % 2 and node:
                node, last = node // 2, last // 2
        else:
            root = hashlib.sha256(b"\1" + root + each).digest()
        node, last = node // 2, last // 2
    assert last == 0
    return root
