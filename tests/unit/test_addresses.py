"""Which addresses the site may be sent to by a URL."""

import pytest

from archive.addresses import is_public, is_within, reached
from archive.errors import BadRequest
from archive.webhooks import LONGEST_URL, check_url


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "0.0.0.0", "255.255.255.255", "224.0.0.1"),
        *(
            "100.64.0.1",
            "198.18.0.1",
            "240.0.0.1",
            "::1",
            "::",
            "fd00::1",
            "fe80::1",
            "fe80::1%eth0",
            "ff02::1",
        ),
        *("169.254.169.254", "fd00:ec2::254"),  # where clouds keep their metadata
        *("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "2001:0:4136:e378:8000:63bf:f5ff:fffe"),
        *("fec0::1", "64:ff9b:1::a00:1"),
    ],
)
def test_what_is_not_public(address: str) -> None:
    assert not is_public(reached(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_what_is_public(address: str) -> None:
    assert is_public(reached(address))


def test_networks_name_what_may_be_reached_all_the_same() -> None:
    networks = ["10.20.0.0/16", "fd00::/8"]
    assert is_within(reached("::ffff:10.20.1.1"), networks) and is_within(reached("fd00::1"), networks)
    assert not is_within(reached("10.21.0.1"), networks)


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.org/", "http://10.0.0.1/", "ftp://example.org/", "https:///x", "example.org", ""),
        *("https://user@example.org/", "https://example.org/#x", "https://example.org:x/", "https://a b/"),
        *("https://exämple.org/", "https://example.org/\n", "https://example.org/" + "a" * LONGEST_URL),
    ],
)
def test_what_no_webhook_has_as_its_url(url: str) -> None:
    with pytest.raises(BadRequest):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    ["https://example.org", "https://example.org:8443/a?b=c", "http://127.0.0.1:8080/", "http://[::1]/x"],
)
def test_what_a_webhook_may_have_as_its_url(url: str) -> None:
    check_url(url)
