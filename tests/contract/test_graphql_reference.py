"""docs/reference/graphql.md names what the schema has."""

import json
import re
from itertools import takewhile
from pathlib import Path

from graphql import GraphQLEnumType, GraphQLInterfaceType, build_schema, parse, validate

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "graphql.md").read_text(encoding="utf-8")
SCHEMA = build_schema((ROOT / "contracts" / "schema.graphql").read_text(encoding="utf-8"))


def first_column(heading: str) -> set[str]:
    """The names in the first column of the table that is headed so."""
    lines = re.split(rf"\| {heading} \|", PAGE, maxsplit=1)[1].splitlines()[2:]
    rows = takewhile(lambda line: line.strip().startswith("|"), lines)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_every_operation_is_there() -> None:
    kinds = (SCHEMA.query_type, SCHEMA.mutation_type, SCHEMA.subscription_type)
    assert first_column("operations") == {name for kind in kinds if kind for name in kind.fields}


def test_every_reason_to_wait_is_there() -> None:
    reasons = SCHEMA.type_map["WaitReason"]
    assert isinstance(reasons, GraphQLEnumType)
    assert first_column("`waitReason`") == set(reasons.values)


def test_every_failure_is_there() -> None:
    failure = SCHEMA.type_map["Failure"]
    assert isinstance(failure, GraphQLInterfaceType)
    assert first_column("failure") == {kind.name for kind in SCHEMA.get_possible_types(failure)}


def test_the_examples_fit_the_schema() -> None:
    posted = [json.loads(body)["query"] for body in re.findall(r"-d '(\{.*?\n\})'", PAGE, re.DOTALL)]
    written = re.findall(r"```graphql\n(.*?)```", PAGE, re.DOTALL)
    assert posted
    assert written
    for query in (*posted, *written):
        assert validate(SCHEMA, parse(query)) == []
