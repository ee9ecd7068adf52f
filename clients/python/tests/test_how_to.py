"""The Python code that the how-to guide shows runs, against a service of the test's own."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fake_service import fake_service

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "protect-your-own-chat.md"


class RefusedError(Exception):
    """What the chat of the guide raises."""


def test_code_of_the_guide_sends_and_refuses(tmp_path: Path) -> None:
    shown = re.findall(
        r"^```python\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(shown) == 3
    sent: list[Any] = []
    with fake_service() as service:
        code = "\n".join(shown[:2]).replace("http://127.0.0.1:8480", service.url)
        code = code.replace("/var/lib/chat", str(tmp_path)).replace('    mode="shadow",', "    ")
        chat: dict[str, Any] = {
            "key": service.key,
            "deliver": sent.append,
            "chat_exists": lambda _account, _peer: False,
            "has_contact": lambda _account, _peer: False,
            "RefusedError": RefusedError,
        }
        exec(code, chat)
        chat["on_registered"](SimpleNamespace(id="a"), "198.51.100.7")
        message = SimpleNamespace(id="m1", sender="a", to="b", ciphertext=b"secret")
        chat["send"](message)
        chat["on_delivered"](message)
        chat["on_reported"]("b", "a")
        service.verdict = {"outcome": "limit", "allowed": False, "retry_after_ms": 60_000}
        with pytest.raises(RefusedError):
            chat["send"](message)
        exec(shown[2], {**chat, "account": SimpleNamespace(id="a")})
        assert chat["wavebreak"].close(20)
        types = [each["type"] for each in service.log]
    assert sent == [message]
    assert types == ["account.registered", "message.sent", "message.delivered", "user.reported"]
    assert service.log[1]["id"] == "m1"
    assert "secret" not in str(service.log)
