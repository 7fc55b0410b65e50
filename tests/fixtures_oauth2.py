"""An OAuth2 server for tests."""

from collections.abc import Iterator

import pytest
import servers


@pytest.fixture(scope="session")
def oauth2_url() -> Iterator[str]:
    """HEADRACE_TEST_OAUTH2_URL, else the oidc-provider of deploy/local."""
    with servers.running("oauth2") as url:
        yield url
