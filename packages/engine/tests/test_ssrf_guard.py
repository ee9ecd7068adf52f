"""Where our requests may go."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import HTTPServer
from ipaddress import IPv4Address, IPv6Address

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.webhook_receiver import Answer, listening
from wavebreak.ssrf_guard import ForbiddenAddressError, PinnedTransport, is_public, resolve_target

NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.168.0.1",
    "198.18.0.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1", "100::1", "2001::1", "2001:db8::1", "2002:a00:1::", "2002:c0a8:1::1",
    "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "not an address",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_public_is_refused_as_name_and_as_literal(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(ForbiddenAddressError, match="public internet"):
        resolve_target("http://shop.example/", resolver=lambda host, port: ["1.1.1.1", address])


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_reached(address: str) -> None:
    assert is_public(address)
    assert (
        resolve_target("https://a.example", resolver=lambda host, port: [address]).address
        == address
    )


@given(st.ip_addresses(v=4).map(IPv4Address))
def test_a_wrapped_address_is_judged_as_what_it_wraps(address: IPv4Address) -> None:
    for high in (0xFFFF << 32, 0x64FF9B << 96):
        assert is_public(str(IPv6Address(high | int(address)))) == is_public(str(address))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://a.example/", "not http or https"), ("file:///etc/passwd", "not http or https"),
        ("gopher://a.example", "not http or https"), ("a.example/x", "not http or https"),
        ("http://user@a.example/", "credentials"), ("http://u:p@a.example/", "credentials"),
        ("http://@a.example/", "credentials"), ("http:///x", "no host"),
        ("http://a.example:99999/", "cannot be read"), ("http://[::1", "cannot be read"),
        ("http://a.example/\r\nX: y", "characters"),
        ("http://a.example\\@b.example/", "characters"),
        ("http://a.example/" + "x" * 5000, "too long"),
        ("http://2130706433/", "public"), ("http://0x7f.1/", "public"),
        ("http://127.1/", "public"),
        ("http://[::ffff:127.0.0.1]/", "public"), ("http://[fe80::1%25eth0]/", "public"),
        ("http://127.0.0.1./", "public"), ("http://①②⑦.⓪.⓪.①/", "public"),
    ],
)  # fmt: skip
def test_a_url_that_must_not_be_followed_is_refused_with_its_reason(url: str, said: str) -> None:
    with pytest.raises(ForbiddenAddressError, match=said):
        resolve_target(url, resolver=lambda host, port: ["127.0.0.1"])


def test_a_port_that_is_not_listed_is_refused() -> None:
    with pytest.raises(ForbiddenAddressError, match="port 22"):
        resolve_target("http://1.1.1.1:22/", ports=frozenset({80, 443}))
    assert resolve_target("http://1.1.1.1:8080/").port == 8080


def test_a_host_without_address_is_refused() -> None:
    with pytest.raises(ForbiddenAddressError, match="no address"):
        resolve_target("http://a.example/", resolver=lambda host, port: [])


class Told(Answer):
    def answer(self) -> None:
        body = f"{self.headers['Host']} {self.path}".encode()
        if self.path == "/away":
            self.whole(body, status=302, Location="http://metadata.example/secret")
        else:
            self.whole(body)


@pytest.fixture
def port() -> Iterator[int]:
    with listening(HTTPServer(("127.0.0.1", 0), Told)) as server:
        yield server.server_port


def test_the_transport_connects_to_the_judged_address_under_the_name(port: int) -> None:
    asked = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    transport = PinnedTransport(resolver=resolver, allow_private=True)
    with httpx.Client(transport=transport) as client:
        assert client.get(f"http://hook.example:{port}/x").text == f"hook.example:{port} /x"
    assert asked == ["hook.example"]


def test_a_redirect_to_a_private_name_is_refused(port: int) -> None:
    def resolver(host: str, port: int) -> list[str]:
        if host == "metadata.example":
            raise ForbiddenAddressError("asked again")
        return ["127.0.0.1"]

    transport = PinnedTransport(resolver=resolver, allow_private=True)
    with (
        httpx.Client(transport=transport, follow_redirects=True) as client,
        pytest.raises(ForbiddenAddressError, match="asked again"),
    ):
        client.get(f"http://hook.example:{port}/away")
