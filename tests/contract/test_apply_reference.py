"""docs/reference/apply-files.md says what `headrace apply` reads."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import yaml
from headrace.workflow import grammar
from headrace.workflow.actions import (
    ACTION_KEYS,
    APPROVAL_CLASSES,
    METHODS,
    REVERSIBILITIES,
    SENSITIVITIES,
    dump_action,
    parse_action,
)
from headrace.workflow.definition import BodyType
from headrace_cli.apply.documents import Kind, read
from headrace_cli.apply.shape import KEYS, shape_problems
from headrace_control.auth.permissions import Permission

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "apply-files.md").read_text(encoding="utf-8")
NEEDED_OF_ACTIONS = {"app", "name", "method", "endpointTemplate"}
# Written out in words on the page.
WITHOUT_VALUE = {"retry", "approvalClass", "pagination"}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table whose first column is headed so."""
    table = PAGE.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in row.strip("|").split(" |")] for row in table.splitlines()[2:]]


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def table_of_actions() -> Mapping[str, list[str]]:
    section = PAGE.split("\n## Actions\n", 1)[1]
    table = section.split("| key |", 1)[1].split("\n\n", 1)[0]
    found = [[cell.strip() for cell in row.strip("|").split(" |")] for row in table.splitlines()[2:]]
    return {name: row for row in found for name in names(row[0])}


def test_every_kind_is_there_with_its_keys() -> None:
    kinds = {kind: row for row in rows("`kind`") for kind in names(row[0])}
    assert set(kinds) == set(Kind)
    for kind, keys in KEYS.items():
        assert names(kinds[kind][1]) == {key for key, (_, needed) in keys.items() if needed}, kind
        assert names(kinds[kind][2]) == {key for key, (_, needed) in keys.items() if not needed}, kind
    assert names(kinds["Action"][1]) == NEEDED_OF_ACTIONS
    assert names(kinds["Workflow"][1]) == {"workflow", "steps"} < set(grammar.DOCUMENT_KEYS)
    assert {name for row in kinds.values() for name in names(row[3])} <= set(Permission)


def test_what_apps_connections_and_secrets_hold_is_explained() -> None:
    explained = {(kind, key) for row in rows("key") for kind in row[1].split(", ") for key in names(row[0])}
    kinds = (Kind.APP, Kind.CONNECTION, Kind.SECRET)
    assert explained == {(kind, key) for kind in kinds for key in KEYS[kind] if key != "name"}


def test_every_key_of_an_action_is_there_with_its_default() -> None:
    table = table_of_actions()
    assert set(table) == {"app", *ACTION_KEYS}
    least = {"name": "x", "method": "GET", "endpointTemplate": "/"}
    defaults = dump_action(parse_action(least, "x"))
    for key, (_, default, _) in table.items():
        if key in NEEDED_OF_ACTIONS:
            assert default == "needed"
        elif key in defaults:
            assert yaml.safe_load(default.strip("`")) == defaults[key], key
        else:
            assert key in WITHOUT_VALUE or default == "none", key
    words = {
        "method": METHODS,
        "bodyType": [*BodyType],
        "approvalClass": APPROVAL_CLASSES,
        "reversibility": REVERSIBILITIES,
        "sensitivity": SENSITIVITIES,
    }
    for key, known in words.items():
        assert set(known) <= names(table[key][2]), key


def test_the_example_can_be_applied(tmp_path: Path) -> None:
    (tmp_path / "signing-key.pem").write_text("-\n")
    (tmp_path / "example.yaml").write_text(PAGE.split("```yaml\n", 1)[1].split("```", 1)[0])
    environment = {"CRM_URL": "https://crm.example.com", "CRM_API_KEY": "k"}
    found = read([tmp_path], environment, shape_problems)
    assert [one.kind for one in found] == [Kind.APP, Kind.ACTION, Kind.CONNECTION, Kind.SECRET]
    assert json.dumps(found[-1].fields) == '{"name": "signing-key", "value": "-"}'
