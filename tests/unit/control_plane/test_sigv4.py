"""Signatures are those of the published examples, and of AWS's own signer."""

from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from headrace_control.vault.sigv4 import AwsCredentials, Scope, signed_headers
from hypothesis import given
from hypothesis import strategies as st

EXAMPLE = AwsCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
FORM = "application/x-www-form-urlencoded; charset=utf-8"


# Of AWS's documentation ("Signature Version 4 signing process") and its test suite (aws-sig-v4-test-suite).
@pytest.mark.parametrize(
    ("service", "method", "query", "headers", "signature"),
    [
        (
            "iam",
            "GET",
            "Action=ListUsers&Version=2010-05-08",
            {"content-type": FORM, "host": "iam.amazonaws.com"},
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
        (
            "service",
            "GET",
            "",
            {"host": "example.amazonaws.com"},
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "service",
            "POST",
            "",
            {"host": "example.amazonaws.com"},
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "service",
            "GET",
            "Param1=value1&Param2=value2",
            {"host": "example.amazonaws.com"},
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
    ],
    ids=["list-users", "get-vanilla", "post-vanilla", "get-vanilla-query-order-key-case"],
)
def test_a_published_example_is_signed_as_published(
    service: str, method: str, query: str, headers: dict[str, str], signature: str
) -> None:
    signed = signed_headers(method, "/", query, headers, b"", EXAMPLE, Scope("us-east-1", service), NOW)
    assert signed["authorization"].endswith(f"Signature={signature}")


@given(st.binary(max_size=200), st.one_of(st.none(), st.text("abcXYZ/+=019", min_size=1)))
def test_a_request_is_signed_as_by_awss_own_signer(body: bytes, token: str | None) -> None:
    ours = signed_headers(
        "POST",
        "/",
        "",
        {"content-type": "application/x-amz-json-1.1", "host": "kms.eu-central-1.amazonaws.com"},
        body,
        AwsCredentials(EXAMPLE.access_key_id, EXAMPLE.secret_access_key, token),
        Scope("eu-central-1", "kms"),
        NOW,
    )
    request = AWSRequest(
        "POST",
        "https://kms.eu-central-1.amazonaws.com/",
        {"content-type": "application/x-amz-json-1.1"},
        body,
    )
    signer = SigV4Auth(
        Credentials(EXAMPLE.access_key_id, EXAMPLE.secret_access_key, token), "kms", "eu-central-1"
    )
    # Its add_auth takes the time from the clock: the same steps, at the examples' time.
    request.context["timestamp"] = ours["x-amz-date"]
    signer._modify_request_before_signing(request)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert ours["authorization"].endswith(f"Signature={signer.signature(text, request)}")
