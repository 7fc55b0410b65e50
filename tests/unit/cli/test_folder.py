"""The data folder of `headrace dev`: what it refuses before anything is written or started."""

from pathlib import Path

import pytest
from headrace.errors import Conflict, InvalidInput
from headrace_cli.dev.folder import DataFolder


def test_a_lost_master_key_is_not_replaced_beside_sealed_data(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.opened():
        folder.postgres.mkdir()
    folder.master_key.unlink()
    with pytest.raises(Conflict, match="is gone"), folder.opened():
        pass
    assert not folder.master_key.exists()


@pytest.mark.parametrize("place", ["foo:bar:baz", "", "10.0.0.0/33"])
def test_a_place_that_is_none_is_refused_and_not_kept(tmp_path: Path, place: str) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.opened(), pytest.raises(InvalidInput, match="allow"):
        folder.allow([place])
    assert not folder.egress_policy.exists()
