"""Which deployment a command talks to: flags before environment before file, and no file that others read."""

from pathlib import Path

import pytest
from headrace.errors import InvalidInput
from headrace_cli.profile import DEFAULT_URL, Choice, Profile, locate, resolve, write


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A profile file where it is looked for by default, and a working folder without one."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config" / "headrace" / "profiles.toml"
    path.parent.mkdir(parents=True)
    path.write_text(
        '[default]\nurl = "http://file:1/"\napi_key = "from-file"\n'
        '[other]\nurl = "https://other"\napi_key = "from-other"\n'
    )
    path.chmod(0o600)
    return path


def environment(file: Path, **more: str) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(file.parents[1]), **more}


def test_each_source_wins_over_the_next(file: Path) -> None:
    assert resolve(Choice(), environment(file)) == Profile("http://file:1", "from-file")
    named = environment(file, HEADRACE_URL="http://env:2", HEADRACE_API_KEY="from-env")
    assert resolve(Choice(), named) == Profile("http://env:2", "from-env")
    assert resolve(Choice(url="http://flag:3"), named) == Profile("http://flag:3", "from-env")
    assert resolve(Choice(api_key="from-flag"), named) == Profile("http://env:2", "from-flag")


def test_a_profile_is_named_by_flag_or_environment(file: Path) -> None:
    assert resolve(Choice(), environment(file, HEADRACE_PROFILE="other")).url == "https://other"
    by_both = environment(file, HEADRACE_PROFILE="nobody")
    assert resolve(Choice(profile="other"), by_both).api_key == "from-other"


def test_the_file_of_a_deployment_in_this_folder_is_found_first(file: Path) -> None:
    write(Path(".headrace/profiles.toml"), "default", Profile("http://here:4", "local"))
    assert resolve(Choice(), environment(file)) == Profile("http://here:4", "local")


def test_without_a_home_folder_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: type[Path]) -> Path:
        raise RuntimeError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "home", classmethod(nobody))
    assert resolve(Choice(api_key="key"), {}) == Profile(DEFAULT_URL, "key")
    with pytest.raises(InvalidInput, match="no home folder"):
        locate(Choice(), {}, new=True)


def test_a_home_folder_that_is_closed_to_us_holds_no_file_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(_: Path) -> bool:
        raise PermissionError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "is_file", closed)
    assert resolve(Choice(api_key="key"), {}) == Profile(DEFAULT_URL, "key")


def test_a_name_that_is_empty_names_no_file(file: Path) -> None:
    assert resolve(Choice(), environment(file, HEADRACE_PROFILE_FILE="")) == Profile(
        "http://file:1", "from-file"
    )
    with pytest.raises(InvalidInput) as told:
        resolve(Choice(), environment(file, HEADRACE_PROFILE_FILE="none"))
    assert told.value.problems[0].mend == "check HEADRACE_PROFILE_FILE"


def test_what_is_written_is_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "profiles.toml"
    path.write_text("old")
    write(path, "default", Profile("http://x", "key"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert resolve(Choice(profile_file=path), {}) == Profile("http://x", "key")


def test_a_key_alone_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nowhere = {"XDG_CONFIG_HOME": str(tmp_path), "HEADRACE_API_KEY": "key"}
    assert resolve(Choice(), nowhere) == Profile(DEFAULT_URL, "key")


def test_a_key_does_not_show_in_repr() -> None:
    assert "hidden" not in repr(Profile("http://x", "hidden"))


@pytest.mark.parametrize(
    ("choice", "named", "path"),
    [
        (Choice(profile="nobody"), {}, "profile"),
        (Choice(url="ftp://x", api_key="k"), {}, "url"),
        (Choice(profile_file=Path("missing.toml")), {}, "profileFile"),
        (Choice(), {"HEADRACE_PROFILE_FILE": "missing.toml"}, "profileFile"),
    ],
)
def test_wrong_settings_name_themselves(file: Path, choice: Choice, named: dict[str, str], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve(choice, environment(file, **named))
    assert [p.path for p in caught.value.problems] == [path]
    assert caught.value.problems[0].mend


def test_without_a_key_it_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        resolve(Choice(), {"XDG_CONFIG_HOME": str(tmp_path)})
    assert caught.value.problems[0].path == "apiKey"


def test_a_file_that_others_may_read_is_refused(file: Path) -> None:
    file.chmod(0o640)
    with pytest.raises(InvalidInput) as caught:
        resolve(Choice(), environment(file))
    assert "chmod 600" in caught.value.problems[0].mend


def test_a_file_that_is_no_toml_is_refused_without_quoting_it(file: Path) -> None:
    file.write_text('api_key = "secret-in-a-broken-file')
    with pytest.raises(InvalidInput) as caught:
        resolve(Choice(), environment(file))
    assert "secret-in-a-broken-file" not in str(caught.value)


def test_a_profiles_key_goes_to_its_own_address_alone(file: Path) -> None:
    assert resolve(Choice(url="http://file:1"), environment(file)).api_key == "from-file"
    for elsewhere in ("http://127.0.0.1:9009", "http://file:1.evil.example", "http://file:2"):
        with pytest.raises(InvalidInput):
            resolve(Choice(url=elsewhere), environment(file))
        with pytest.raises(InvalidInput):
            resolve(Choice(), environment(file, HEADRACE_URL=elsewhere))
