"""A small OpenID Connect provider: authorization code flow with PKCE, for one person at a time.

It checks what a provider must: client, secret, redirect URI, one-time codes, and the verifier of
the code challenge. Whoever asks is signed in as `person` at once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from support.webhook_receiver import Answer

CLIENT, SECRET = "wavebreak", "a client secret for tests"


class OpenIdProvider(ThreadingHTTPServer):
    """A provider on a free port; `person` are the claims of whoever signs in.

    `end_session` is where it says that its own session ends ("": nowhere).
    `redirects` are the redirect URIs that are registered, `asked` the authorization requests. What
    `id_token_changes` holds replaces claims of the ID token, as an attacker might; None leaves out;
    `userinfo_changes` those of the user information.
    """

    def __init__(self, redirects: tuple[str, ...]) -> None:
        super().__init__(("127.0.0.1", 0), _Endpoint)
        self.redirects, self.person = redirects, dict[str, Any]()
        self.asked: list[dict[str, str]] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, dict[str, Any]] = {}
        self.id_token_changes = dict[str, Any]()
        self.userinfo_changes = dict[str, Any]()
        self.end_session = ""
        self.key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)

    @property
    def url(self) -> str:
        """The issuer."""
        return f"http://127.0.0.1:{self.server_port}"

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the settings that the console takes, as its file has them."""
        return {
            "provider_id": "company", "name": "Company account", "client_id": CLIENT,
            "secret": SECRET, "settings": {"server_url": self.url} | more,
        }  # fmt: skip

    def as_toml(self, **more: Any) -> str:
        """Return the same as a file."""
        given = self.settings(**more)
        own = given.pop("settings")
        lines = [f"{name} = {json.dumps(value)}" for name, value in given.items()]
        roles = own.pop("roles", {})
        lines += ["[settings]", *(f"{name} = {json.dumps(value)}" for name, value in own.items())]
        lines += ["[settings.roles]", *(f'"{name}" = "{role}"' for name, role in roles.items())]
        return "\n".join(lines)

    def id_token(self, person: dict[str, Any], nonce: str) -> str:
        """Return a signed token about a person."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300} | person
        key: Any = self.key
        more = {"nonce": nonce} if nonce else {}
        named = {k: v for k, v in (claims | more | self.id_token_changes).items() if v is not None}
        return jwt.encode(named, key, "RS256", headers={"kid": "one"})


class _Endpoint(Answer):
    server: OpenIdProvider

    def answer(self) -> None:
        """Answer by the path."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match parts.path:
            case "/.well-known/openid-configuration":
                self._json(self._configuration())
            case "/authorize":
                self._authorize(query)
            case "/token":
                form = parse_qs(self.body().decode())
                self._token({name: values[0] for name, values in form.items()})
            case "/userinfo":
                self._userinfo()
            case "/jwks":
                key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.server.key.public_key()))
                self._json({"keys": [key | {"kid": "one", "use": "sig", "alg": "RS256"}]})
            case _:
                self.whole(status=404)

    def _json(self, content: Any, status: int = 200) -> None:
        self.whole(json.dumps(content).encode(), "application/json", status)

    def _configuration(self) -> dict[str, Any]:
        at = self.server.url
        ends = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
        return {
            "issuer": at, "jwks_uri": f"{at}/jwks",
            **{f"{name}_endpoint": f"{at}/{path}" for name, path in ends.items()},
            **({"end_session_endpoint": end} if (end := self.server.end_session) else {}),
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }  # fmt: skip

    def _authorize(self, query: dict[str, str]) -> None:
        self.server.asked.append(query)
        known = query.get("client_id") == CLIENT
        if not known or query.get("redirect_uri") not in self.server.redirects:
            self._json({"error": "invalid_request"}, 400)
            return
        code = secrets.token_urlsafe(16)
        self.server.codes[code] = query
        back = urlencode({"code": code, "state": query.get("state", "")})
        self.whole(status=302, Location=f"{query['redirect_uri']}?{back}")

    def _token(self, form: dict[str, str]) -> None:
        query = self.server.codes.pop(form.get("code", ""), None)
        client = (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)
        if query is None or not client or form.get("redirect_uri") != query["redirect_uri"]:
            self._json({"error": "invalid_grant"}, 400)
            return
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if query.get("code_challenge_method") != "S256" or challenge != query["code_challenge"]:
            self._json({"error": "invalid_grant"}, 400)
            return
        token, person = secrets.token_urlsafe(16), dict(self.server.person)
        self.server.tokens[token] = person
        named = self.server.id_token(person, query.get("nonce", ""))
        self._json({"access_token": token, "token_type": "Bearer", "id_token": named})

    def _userinfo(self) -> None:
        token = self.headers.get("authorization", "").removeprefix("Bearer ")
        person = self.server.tokens.get(token)
        if person:
            changed = person | self.server.userinfo_changes
            person = {name: value for name, value in changed.items() if value is not None}
        self._json(person or {"error": "invalid_token"}, 200 if person else 401)
