"""The data folder of `headrace dev`: what it refuses before anything is written or started."""

import socket
import stat
from pathlib import Path

import pytest
import yaml
from headrace.errors import Conflict, InvalidInput
from headrace_cli.dev.folder import DataFolder
from headrace_cli.main import app
from typer.testing import CliRunner


def test_a_lost_master_key_is_not_replaced_beside_sealed_data(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.opened():
        folder.postgres.mkdir()
    folder.master_key.unlink()
    with pytest.raises(Conflict, match="is gone"), folder.opened():
        pass
    assert not folder.master_key.exists()


def test_started_twice_in_a_folder_it_says_so_and_not_that_a_port_is_taken(tmp_path: Path) -> None:
    with DataFolder(tmp_path).opened(), socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        done = CliRunner().invoke(app, ["dev", "--data", str(tmp_path), "--port", port])
    assert (done.exit_code, "runs on" in done.stderr) == (2, True), done.stderr


def test_secrets_are_their_owner_s_alone_and_made_once(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    files = (folder.master_key, folder.path / "runner.token")
    with folder.opened():
        made = [file.read_bytes() for file in files]
    with folder.opened():
        assert [file.read_bytes() for file in files] == made
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("master.key", b"no key", "a key of 32 bytes"),
        ("master.key", b"\xff\xfe", "can not be read"),
        ("master.key", b"", "a key of 32 bytes"),
        ("egress.yaml", b"allow: [", "neither YAML nor JSON"),
        ("egress.yaml", b"allow: [foo:bar:baz]", "not a network"),
        ("runner.token", b"\xff\xfe", "can not be read"),
    ],
)
def test_a_file_that_is_spoilt_is_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.opened():
        folder.allow([])
        folder.check()
    (folder.path / name).write_bytes(content)
    with folder.opened(), pytest.raises(Conflict, match=words) as told:
        folder.check()
    assert f"{folder.path / name}" in told.value.message


def test_places_take_the_place_of_those_before_and_spare_tenants_own(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    own = {"0198aa00-0000-7000-8000-000000000000": {"allow": ["10.0.0.1"]}}
    with folder.opened():
        folder.allow([])
        assert folder.allowed() == []
        folder.egress_policy.write_text(yaml.safe_dump({"allow": ["10.0.0.0/8"], "tenants": own}))
        folder.allow([])
        assert folder.allowed() == ["10.0.0.0/8"]
        folder.allow(["127.0.0.1:9000", "localhost"])
        assert folder.allowed() == ["127.0.0.1:9000", "localhost"]
    assert yaml.safe_load(folder.egress_policy.read_text())["tenants"] == own


@pytest.mark.parametrize("place", ["foo:bar:baz", "", "10.0.0.0/33"])
def test_a_place_that_is_none_is_refused_and_not_kept(tmp_path: Path, place: str) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.opened(), pytest.raises(InvalidInput, match="allow"):
        folder.allow([place])
    assert not folder.egress_policy.exists()
