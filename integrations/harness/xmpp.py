"""Accounts that chat, by slixmpp."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import warnings
from typing import Any
from xml.etree import ElementTree as ET

from integrations import setup

if str(setup.PYTHON) not in sys.path:
    sys.path.append(str(setup.PYTHON))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import slixmpp
    from slixmpp.exceptions import IqError, IqTimeout

STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
LANG = "{http://www.w3.org/XML/1998/namespace}lang"


class RefusedError(Exception):
    """A registration was refused: condition, text."""


class Account(slixmpp.ClientXMPP):  # type: ignore[misc]
    """One account, connected without TLS to a server of this machine."""

    def __init__(
        self, jid: str, port: int, *, register: bool = True, resource: str = "", lang: str = "en"
    ) -> None:
        super().__init__(f"{jid}/{resource}" if resource else jid, "secret", lang=lang)
        if register:
            self.plugin.enable("xep_0077")
            self.plugin["xep_0077"].force_registration = True
        self.port_ = port
        self.enable_plaintext = True
        self.enable_starttls = False
        self.enable_direct_tls = False
        mechanisms = self.plugin["feature_mechanisms"]
        mechanisms.unencrypted_plain = mechanisms.unencrypted_scram = True
        self.auto_authorize = None
        self.auto_subscribe = False
        self.got: list[Any] = []
        self.errors: list[Any] = []
        self.presences: list[Any] = []
        self.messages: list[Any] = []
        self.results: list[Any] = []
        self._online = asyncio.get_event_loop().create_future()
        self._register_id = ""
        self.add_event_handler("session_start", self._started)
        self.add_event_handler("register", self._register)
        self.add_filter("in", self._seen)
        self.add_event_handler("message", self._message)
        self.add_event_handler("message_error", lambda stanza: self.errors.append(stanza))
        self.add_event_handler("presence_error", lambda stanza: self.errors.append(stanza))
        self.add_event_handler("presence_subscribe", lambda stanza: self.presences.append(stanza))
        self.add_event_handler("presence_subscribed", lambda stanza: self.presences.append(stanza))
        self.add_event_handler(
            "failed_all_auth", lambda _: self._fail(RefusedError("not-authorized", ""))
        )

    def _fail(self, error: Exception) -> None:
        if not self._online.done():
            self._online.set_exception(error)

    async def _register(self, _form: Any) -> None:
        request = self.Iq()
        request["type"] = "set"
        request["register"]["username"] = self.boundjid.user
        request["register"]["password"] = self.password
        self._register_id = request["id"]
        with contextlib.suppress(IqError, IqTimeout):
            await request.send(timeout=10)

    def _seen(self, stanza: Any) -> Any:
        """Read what slixmpp has no event for: a registration's `policy-violation`, an archive."""
        if isinstance(stanza, slixmpp.Message):
            self.messages.append(stanza.xml)
            self.results += stanza.xml.findall("{urn:xmpp:mam:2}result")
        elif isinstance(stanza, slixmpp.Iq) and (
            (stanza["id"], stanza["type"]) == (self._register_id, "error")
        ):
            tag = stanza.xml.find("{jabber:client}error")
            text = tag.findtext(f"{{{STANZAS}}}text") or ""
            names = [child.tag for child in tag if child.tag != f"{{{STANZAS}}}text"]
            self._fail(RefusedError(names[0].split("}")[1], text))
        return stanza

    async def _started(self, _event: Any) -> None:
        self.send_presence()
        await self.get_roster()
        if not self._online.done():
            self._online.set_result(None)

    def _message(self, stanza: Any) -> None:
        if stanza["type"] != "error":
            self.got.append(stanza)

    async def online(self, seconds: float = 20) -> Account:
        """Connect; return once the roster has come."""
        self.connect("127.0.0.1", self.port_)
        try:
            await asyncio.wait_for(asyncio.shield(self._online), seconds)
        except BaseException:
            self.abort()
            raise
        return self

    async def offline(self) -> None:
        """Leave."""
        await self.disconnect(wait=0.3)

    def say(self, to: str, text: str = "hello", **attributes: str) -> str:
        """Send a message; return the stanza's id."""
        stanza = self.make_message(to, mbody=text, mtype=attributes.pop("type", "chat"))
        stanza["id"] = attributes.pop("id", "") or self.new_id()
        if lang := attributes.pop("lang", ""):
            stanza["lang"] = lang
        stanza.send()
        return str(stanza["id"])

    def send_xml(self, text: str) -> None:
        """Send a stanza as it is written."""
        self.send_raw(text)

    async def iq(self, text: str, kind: str = "set", to: str = "") -> Any:
        """Send a query with this payload; return the answer."""
        stanza = self.Iq()
        stanza["type"] = kind
        if to:
            stanza["to"] = to
        stanza.xml.append(ET.fromstring(text))
        return await stanza.send(timeout=60)

    async def archived(self) -> int:
        """Return how many messages the account's archive has."""
        query = "<query xmlns='urn:xmpp:mam:2' queryid='q'/>"
        before = len(self.results)
        await self.iq(query)
        return len(self.results) - before

    def wait_for_presence(self, sender: str) -> asyncio.Future[Any]:
        """Return what is done when a presence of this address, or one of its occupants, comes."""
        came = asyncio.get_event_loop().create_future()

        def seen(stanza: Any) -> None:
            if stanza["from"].bare == sender and not came.done():
                came.set_result(stanza)

        self.add_event_handler("presence_available", seen)
        return asyncio.ensure_future(asyncio.wait_for(came, 30))

    async def settled(self) -> None:
        """Return once the server has handled what was sent, and its errors have come.

        It handles the stanzas of a session in their order, and answers this query last.
        """
        query = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
        await self.iq(query, "get", self.boundjid.domain)

    async def expect(self, condition: Any, seconds: float = 30) -> Any:
        """Wait until a condition holds."""
        end = asyncio.get_event_loop().time() + seconds
        while not (result := condition()):
            assert asyncio.get_event_loop().time() < end, "it does not hold"
            await asyncio.sleep(0.02)
        return result

    def from_server(self) -> list[dict[str, str]]:
        """Return the messages of the account's server itself: their texts by language."""
        return [
            {body.get(LANG, "en"): body.text for body in message.findall("{jabber:client}body")}
            for message in self.messages
            if message.get("from") == self.boundjid.domain
        ]

    def refusals(self) -> list[tuple[str, str, str, str]]:
        """Return the errors that came: type, condition, text, language of the text."""
        found = []
        for stanza in self.errors:
            tag = stanza.xml.find("{jabber:client}error")
            text = tag.find(f"{{{STANZAS}}}text")
            name = next(
                c.tag.split("}")[1]
                for c in tag
                if c is not text and c.tag.startswith(f"{{{STANZAS}}}")
            )
            lang = "" if text is None else text.get(LANG, "")
            found.append((tag.get("type"), name, "" if text is None else text.text, lang))
        return found


async def registered(jid: str, port: int, **more: Any) -> Account:
    """Register an account; again where Wavebreak was too slow, since registrations fail closed."""
    for _ in range(10):
        try:
            return await Account(jid, port, **more).online(40)
        except (RefusedError, TimeoutError):
            await asyncio.sleep(2)
    raise AssertionError("a registration is refused again and again")
