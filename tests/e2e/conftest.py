"""Fixtures of more than one suite here."""

import json
import os
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.sites import CREDENTIALS, DEMO, Site, dev, ended, launched


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    bare = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    secret = {f"STOREFRONT_{name}": f"made-up-{name.lower()}" for name in CREDENTIALS}
    storefront, output = launched([sys.executable, "-m", "storefront", "--port", "0"], DEMO, bare | secret)
    url = json.loads(output.readline())["url"]
    running = dev(folder, bare, "--allow", url.removeprefix("http://"))
    yield Site(folder, url, running, {**bare, **secret, "STOREFRONT_URL": url})
    assert ended(running) == 0
    ended(storefront)


@pytest.fixture(scope="module")
def applied(site: Site) -> Site:
    """The site with the demo's files applied."""
    done = site("apply", "-f", str(DEMO / "apps"), "-f", str(DEMO / "workflows"), "--yes", "--json")
    assert done.code == 0, done.err
    assert done.json["applied"]
    return site
