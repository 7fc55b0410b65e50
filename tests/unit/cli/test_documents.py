"""Reading what `apply` gets: every kind, secrets from outside, and every problem at once with its place."""

import json
from pathlib import Path

import pytest
from headrace.errors import InvalidInput, Problem
from headrace_cli.apply.documents import Declared, Kind, read
from headrace_cli.apply.shape import shape_problems

APP = "kind: App\nname: shop\nbaseUrl: ${SHOP_URL}\nauth: {kind: API_KEY}\n"
CONNECTION = "kind: Connection\nname: shop-main\napp: shop\nsecrets: {key: '${SHOP_KEY}'}\n"
ACTION = "kind: Action\napp: shop\nname: get-order\nmethod: GET\nendpointTemplate: /orders/${id}\n"
WORKFLOW = "workflow: refund\nsteps: [{key: a, type: transform, input: '${NOT_A_VARIABLE}'}]\n"
NAMES = {"SHOP_URL": "http://127.0.0.1:1", "SHOP_KEY": "k-123"}


def put(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def problems(*paths: Path, environment: dict[str, str] | None = None) -> list[Problem]:
    with pytest.raises(InvalidInput) as caught:
        read(paths, environment or {})
    return list(caught.value.problems)


def by_kind(found: list[Declared]) -> dict[Kind, Declared]:
    return {declared.kind: declared for declared in found}


def test_a_folder_is_read_in_the_order_to_apply(tmp_path: Path) -> None:
    put(tmp_path, a_workflow=WORKFLOW, b_connection=CONNECTION, c_action=ACTION, d_app=APP)
    found = read([tmp_path], NAMES)
    assert [(d.kind, d.name) for d in found] == [
        (Kind.APP, "shop"),
        (Kind.ACTION, "shop/get-order"),
        (Kind.CONNECTION, "shop-main"),
        (Kind.WORKFLOW, "refund"),
    ]


def test_what_begins_with_a_dot_is_left_out_unless_it_is_named(tmp_path: Path) -> None:
    """So `-f .` takes no file of the deployment's that `headrace dev` keeps there."""
    hidden = tmp_path / ".headrace"
    hidden.mkdir()
    put(hidden, egress="allow: [127.0.0.1]")
    put(tmp_path, **{"app": "kind: App\nname: shop\nbaseUrl: http://x", ".draft": "kind: None"})
    assert [one.name for one in read([tmp_path], NAMES)] == ["shop"]
    assert [problem.path for problem in problems(hidden)] == [f"{hidden / 'egress.yaml'}.kind"]


def test_a_variable_that_is_no_text_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    put(tmp_path, secret="kind: Secret\nname: pin\nvalue: ${PIN}")
    (told,) = problems(tmp_path, environment={"PIN": "\udcff"})
    assert (told.message, told.mend) == ("PIN is not UTF-8", "write it in UTF-8")


def test_several_documents_in_a_file_and_none_that_is_empty(tmp_path: Path) -> None:
    put(tmp_path, all=f"---\n{APP}---\n---\n{CONNECTION}")
    assert [d.name for d in read([tmp_path / "all.yaml"], NAMES)] == ["shop", "shop-main"]


def test_variables_stand_in_apps_connections_and_secrets_alone(tmp_path: Path) -> None:
    put(tmp_path, all=f"{APP}---\n{CONNECTION}---\n{ACTION}---\n{WORKFLOW}")
    found = by_kind(read([tmp_path], NAMES))
    assert found[Kind.APP].fields["baseUrl"] == "http://127.0.0.1:1"
    assert found[Kind.CONNECTION].fields["secrets"] == {"key": "k-123"}
    assert found[Kind.ACTION].fields["endpointTemplate"] == "/orders/${id}"
    assert "${NOT_A_VARIABLE}" in str(found[Kind.WORKFLOW].fields)


def test_a_secret_may_come_from_a_file_beside_the_document(tmp_path: Path) -> None:
    (tmp_path / "pin.txt").write_text("a pin\n")
    put(tmp_path, secret="kind: Secret\nname: pin\nvalue: {file: pin.txt}\n")
    assert read([tmp_path / "secret.yaml"], {})[0].fields["value"] == "a pin"


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_byte_order_mark_takes_nothing_away(tmp_path: Path, line_end: str) -> None:
    text = "kind: Secret\nname: a\nvalue: ${TOKEN}\n---\nkind: Secret\nname: b\nvalue: {file: pin.txt}\n"
    text += "---\nkind: Secret\nname: c\nvalue: a 123456"
    (tmp_path / "pin.txt").write_bytes(b"\xef\xbb\xbfa pin\n")
    (tmp_path / "all.yaml").write_bytes(("\ufeff" + text.replace("\n", line_end)).encode())
    found = read([tmp_path], {"TOKEN": "a token"})
    assert [declared.fields["value"] for declared in found] == ["a token", "a pin", "a 123456"]
    (tmp_path / "workflow.json").write_text("\ufeff" + json.dumps({"workflow": "w", "steps": []}))
    assert read([tmp_path / "workflow.json"], {})[0].source == '{"workflow": "w", "steps": []}'


def test_json_is_read_as_json(tmp_path: Path) -> None:
    secret = {"kind": "Secret", "name": "smile", "value": "\N{GRINNING FACE}"}
    file = tmp_path / "secret.json"
    file.write_text(json.dumps(secret))
    assert "\\ud83d\\ude00" in file.read_text()
    assert read([file], {})[0].fields["value"] == secret["value"]
    for text, message in (
        (json.dumps({**secret, "value": "\ud83d"}), "the text holds a NUL or half a character"),
        ('{"kind": "Secret", "name": "a", "name": "b"}', "a name stands twice in one object"),
        ('{"kind": ' + "[" * 5000 + "]" * 5000 + "}", "values nest more than 64 levels"),
        ("[]", "not a mapping"),
    ):
        file.write_text(text)
        assert [problem.message for problem in problems(file)] == [message]


def test_every_problem_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    put(
        tmp_path,
        a=f"{APP}---\n{CONNECTION}",
        b="kind: Gadget\nname: x\n",
        c="- a list\n",
        d="kind: Action\nname: without-app\n",
        e="a: [b\n",
        f="kind: Secret\nname: s\nvalue: {file: nowhere}\n",
        g="kind: App\nname: shop2\n---\nkind: App\nname: twice\nname: again\n",
    )
    found = {p.path.removeprefix(f"{tmp_path}/"): p for p in problems(tmp_path)}
    assert set(found) == {
        "a.yaml[0].baseUrl",
        "a.yaml[1].secrets.key",
        "b.yaml.kind",
        "c.yaml",
        "d.yaml",
        "e.yaml",
        "f.yaml.value",
        "g.yaml[1]",
    }
    assert "SHOP_KEY" in found["a.yaml[1].secrets.key"].mend
    assert "App" in found["b.yaml.kind"].mend
    assert "line 4" in found["g.yaml[1]"].message
    assert all(p.mend for p in found.values())


def test_what_is_declared_twice_is_refused(tmp_path: Path) -> None:
    put(tmp_path, a=ACTION, b=ACTION)
    (problem,) = problems(tmp_path)
    assert "b.yaml" in problem.path
    assert "a.yaml" in problem.mend


def test_nothing_to_apply_is_said(tmp_path: Path) -> None:
    assert [p.message for p in problems(tmp_path)] == ["nothing to apply"]
    (tmp_path / "notes.txt").write_text("x")
    assert [p.message for p in problems(tmp_path / "notes.txt")] == ["not a YAML or JSON file"]
    assert "FileNotFoundError" in problems(tmp_path / "missing.yaml")[0].message


def test_words_that_older_yaml_takes_for_something_else_stay_words(tmp_path: Path) -> None:
    put(tmp_path, app="kind: App\nname: shop\ntitle: no\nsince: 2026-01-01\nauth: {on: off}\n")
    assert read([tmp_path], {})[0].fields == {
        "name": "shop",
        "title": "no",
        "since": "2026-01-01",
        "auth": {"on": "off"},
    }


def test_a_plain_workflow_keeps_its_text(tmp_path: Path) -> None:
    put(tmp_path, plain=f"# why\n{WORKFLOW}", marked=f"kind: Workflow\n{WORKFLOW.replace('refund', 'other')}")
    sources = {d.name: d.source for d in read([tmp_path], {})}
    assert sources == {"refund": f"# why\n{WORKFLOW}".strip(), "other": None}


def test_problems_of_shape_are_told_with_those_of_reading(tmp_path: Path) -> None:
    put(
        tmp_path,
        app="kind: App\nname: shop\nbaseURL: http://127.0.0.1:1\nauth: {kind: API_KEYS}\n",
        action="kind: Action\napp: shop\nname: get\nmethod: FETCH\nendpointTemplate: /\n",
        connection="kind: Connection\nname: main\nsecrets: none\n",
        secret="kind: Secret\nname: pin\nvalue: 7\n",
        unread="a: [b\n",
        workflow="workflow: w\nsteps: [{key: a, typ: transform}]\n",
    )
    with pytest.raises(InvalidInput) as caught:
        read([tmp_path], {}, shape_problems)
    found = {p.path.removeprefix(f"{tmp_path}/") for p in caught.value.problems}
    assert found >= {
        "app.yaml.baseURL",
        "app.yaml.baseUrl",
        "app.yaml: auth.kind",
        "action.yaml: method",
        "connection.yaml.app",
        "connection.yaml.secrets",
        "secret.yaml.value",
        "unread.yaml",
        "workflow.yaml: steps[0].typ",
    }, found
    assert all(p.mend for p in caught.value.problems)


def test_workflows_come_after_those_that_they_run(tmp_path: Path) -> None:
    def running(name: str, *children: str) -> str:
        steps = ", ".join(f"{{key: s{n}, type: workflow, workflow: {one}}}" for n, one in enumerate(children))
        return f"workflow: {name}\nsteps: [{steps or '{key: a, type: wait, wait: {forMs: 1}}'}]\n"

    put(
        tmp_path,
        a=running("year", "month", "{name: day, version: 1}"),
        b=running("month", "day", "elsewhere"),
        c=running("hour"),
        d=running("day", "hour"),
        e=running("ring-a", "ring-b"),
        f=running("ring-b", "ring-a"),
    )
    names = [declared.name for declared in read([tmp_path], {})]
    assert names == ["hour", "day", "month", "year", "ring-b", "ring-a"]


def test_a_policy_rule_is_for_an_action_or_for_all_of_an_app(tmp_path: Path) -> None:
    put(
        tmp_path,
        a="kind: PolicyRule\napp: shop\nphantom: 1\n",
        b="kind: PolicyRule\napp: shop\naction: refund\napprovalClass: D\napproverRoles: [BOSS, ADMIN]\n",
        c="kind: PolicyRule\napp: shop\naction: list\napprovalClass: B\ntwoPerson: 1\nexpiresAfterMs: true\n",
        d="kind: PolicyRule\naction: list\napprovalClass: B\n",
    )
    with pytest.raises(InvalidInput) as caught:
        read([tmp_path], {}, shape_problems)
    places = sorted(problem.path.removeprefix(f"{tmp_path}/") for problem in caught.value.problems)
    assert places == [
        "a.yaml.approvalClass",
        "a.yaml.phantom",
        "b.yaml: approvalClass",
        "b.yaml: approverRoles[0]",
        "c.yaml.expiresAfterMs",
        "c.yaml.twoPerson",
        "d.yaml",
    ]
    for name in "abcd":
        (tmp_path / f"{name}.yaml").unlink()
    put(tmp_path, all="kind: PolicyRule\napp: shop\napprovalClass: C\n---\n" + ACTION)
    assert [(d.kind, d.name) for d in read([tmp_path], NAMES)] == [
        (Kind.ACTION, "shop/get-order"),
        (Kind.POLICY_RULE, "shop/*"),
    ]
