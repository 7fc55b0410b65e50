"""The egress policy: which addresses calls may go to."""

import ipaddress
from pathlib import Path

import pytest
from headrace.errors import InvalidInput
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.policy_file import load_policy
from hypothesis import given
from hypothesis import strategies as st

CLOSED = EgressPolicy()
TENANT = "0190a0a0-0000-7000-8000-000000000001"


def opened(*entries: str) -> EgressPolicy:
    return EgressPolicy(tuple(Opening.parse(entry) for entry in entries))


def denied(policy: EgressPolicy, address: str, port: int = 443, host: str = "h.example") -> str | None:
    verdict = policy.check(address, port, host)
    return verdict.kind if verdict else None


DENIED = [
    ("0.0.0.0", "UNSPECIFIED"),
    ("0.1.2.3", "UNSPECIFIED"),
    ("10.0.0.1", "PRIVATE"),
    ("172.16.0.1", "PRIVATE"),
    ("172.31.255.255", "PRIVATE"),
    ("192.168.1.1", "PRIVATE"),
    ("127.0.0.1", "LOOPBACK"),
    ("127.255.255.254", "LOOPBACK"),
    ("169.254.1.1", "LINK_LOCAL"),
    ("100.64.0.1", "SHARED"),
    ("198.18.0.1", "BENCHMARKING"),
    ("192.0.2.1", "DOCUMENTATION"),
    ("198.51.100.1", "DOCUMENTATION"),
    ("203.0.113.1", "DOCUMENTATION"),
    ("192.0.0.8", "RESERVED"),
    ("192.88.99.1", "TRANSLATED"),
    ("224.0.0.1", "MULTICAST"),
    ("240.0.0.1", "RESERVED"),
    ("255.255.255.255", "RESERVED"),
    ("169.254.169.254", "METADATA"),
    ("169.254.170.2", "METADATA"),
    ("168.63.129.16", "METADATA"),
    ("100.100.100.200", "METADATA"),
    ("192.0.0.192", "METADATA"),
    ("fd00:ec2::254", "METADATA"),
    ("fd20:ce::254", "METADATA"),
    ("::", "UNSPECIFIED"),
    ("::1", "LOOPBACK"),
    ("::127.0.0.1", "TRANSLATED"),
    ("::8.8.8.8", "TRANSLATED"),
    ("::ffff:127.0.0.1", "LOOPBACK"),
    ("::ffff:169.254.169.254", "METADATA"),
    ("::ffff:0:10.0.0.1", "TRANSLATED"),
    ("64:ff9b::8.8.8.8", "TRANSLATED"),
    ("64:ff9b::a9fe:a9fe", "TRANSLATED"),
    ("64:ff9b:1::1", "TRANSLATED"),
    ("2002:7f00:1::", "TRANSLATED"),
    ("2002:808:808::1", "TRANSLATED"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "TRANSLATED"),
    ("2001:2::1", "BENCHMARKING"),
    ("2001:10::1", "RESERVED"),
    ("2001:db8::1", "DOCUMENTATION"),
    ("3fff::1", "DOCUMENTATION"),
    ("fc00::1", "PRIVATE"),
    ("fd12:3456::1", "PRIVATE"),
    ("fe80::1", "LINK_LOCAL"),
    ("fe80::1%eth0", "LINK_LOCAL"),
    ("fec0::1", "PRIVATE"),
    ("ff02::1", "MULTICAST"),
    ("100::1", "RESERVED"),
    ("5f00::1", "RESERVED"),
    ("4000::1", "RESERVED"),
    ("2606:4700::5efe:7f00:1", "LOOPBACK"),
    ("2606:4700::200:5efe:a00:1", "PRIVATE"),
]


@pytest.mark.parametrize(("address", "kind"), DENIED)
def test_the_closed_policy_denies(address: str, kind: str) -> None:
    assert denied(CLOSED, address) == kind


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]
)
def test_the_closed_policy_permits_the_internet(address: str) -> None:
    assert denied(CLOSED, address) is None


@given(st.ip_addresses())
def test_nothing_that_is_not_global_is_permitted(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if CLOSED.check(address, 443, "h.example") is None:
        assert (inner or address).is_global
        assert not address.is_multicast


def test_openings_are_by_network_address_host_and_port() -> None:
    policy = opened("127.0.0.0/8", "10.1.2.3:8080", "[fd12::/16]:443", "billing.internal:8443", "::1")
    assert denied(policy, "127.9.9.9", 1) is None
    assert denied(policy, "::ffff:127.0.0.1", 1) is None
    assert denied(policy, "10.1.2.3", 8080) is None
    assert denied(policy, "10.1.2.3", 8081) == "PRIVATE"
    assert denied(policy, "fd12::5", 443) is None
    assert denied(policy, "fd12::5", 444) == "PRIVATE"
    assert denied(policy, "::1", 9) is None
    assert denied(policy, "192.168.0.1", 8443, "billing.internal") is None
    assert denied(policy, "192.168.0.1", 8443, "other.internal") == "PRIVATE"
    assert denied(policy, "192.168.0.1", 443, "billing.internal") == "PRIVATE"


@pytest.mark.parametrize("entry", ["0.0.0.0/0", "169.254.0.0/16", "h.example", "169.254.169.254/31"])
def test_metadata_opens_only_by_its_own_address(entry: str) -> None:
    assert denied(opened(entry), "169.254.169.254", 80) == "METADATA"
    assert denied(opened(entry, "169.254.169.254:80"), "169.254.169.254", 80) is None


def test_a_translated_address_needs_what_is_inside_it_permitted_too() -> None:
    policy = opened("64:ff9b::/96", "2002::/16")
    assert denied(policy, "64:ff9b::8.8.8.8") is None
    assert denied(policy, "64:ff9b::a9fe:a9fe") == "METADATA"
    assert denied(policy, "64:ff9b::a00:1") == "PRIVATE"
    assert denied(policy, "2002:7f00:1::") == "LOOPBACK"
    assert denied(policy, "2002:808:808::") is None
    assert denied(opened("::/0"), "::ffff:127.0.0.1") == "LOOPBACK"
    assert denied(opened("::/0"), "::127.0.0.1") == "LOOPBACK"


def test_a_tenant_has_the_deployments_openings_and_its_own(tmp_path: Path) -> None:
    path = tmp_path / "egress.yaml"
    path.write_text(f"allow: ['127.0.0.0/8']\ntenants:\n  {TENANT.upper()}:\n    allow: [10.0.0.0/8]\n")
    policy = load_policy(path)
    assert denied(policy.for_tenant(TENANT), "10.0.0.1") is None
    assert denied(policy.for_tenant(TENANT), "127.0.0.1") is None
    assert denied(policy.for_tenant("another"), "10.0.0.1") == "PRIVATE"
    assert denied(policy.for_tenant("another"), "127.0.0.1") is None
    assert denied(policy, "10.0.0.1") == "PRIVATE"


def test_json_is_a_policy_file_and_none_is_the_closed_policy(tmp_path: Path) -> None:
    path = tmp_path / "egress.json"
    path.write_text('{"allow": ["127.0.0.0/8"]}')
    assert load_policy(path) == opened("127.0.0.0/8")
    assert load_policy(None) == CLOSED


def test_a_wrong_policy_file_names_every_place(tmp_path: Path) -> None:
    path = tmp_path / "egress.yaml"
    path.write_text(
        "allow: [10.0.0.1/8, 'http://x/', 5, 'h:99999', '[::1']\ndeny: []\ntenants: {x: {}, "
        f"{TENANT}: {{permit: [], allow: ok}}}}\n"
    )
    with pytest.raises(InvalidInput) as caught:
        load_policy(path)
    assert {problem.path for problem in caught.value.problems} == {
        *(f"allow[{index}]" for index in range(5)),
        "deny",
        "tenants.x",
        f"tenants.{TENANT}.permit",
        f"tenants.{TENANT}.allow",
    }


@pytest.mark.parametrize("text", ["[1, 2]", "allow: [", "\x00"])
def test_what_is_no_policy_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "egress.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        load_policy(path)
    with pytest.raises(InvalidInput):
        load_policy(tmp_path / "absent.yaml")
