"""No query, however small or odd, takes long to refuse; no refusal quotes what was sent."""

from typing import Any

import pytest
from graphql import get_introspection_query
from headrace_control.graphql import limits
from headrace_control.graphql.schema import Schema, create_schema

CANARY = "canary-7d1e42"


@pytest.fixture(scope="module")
def schema() -> Schema:
    return create_schema(introspection=True)


async def refusal(schema: Schema, query: str, **variables: Any) -> tuple[str, str]:
    """The code and message of the first error. There is no context: nothing here may reach a resolver."""
    result = await schema.execute(query, variable_values=variables)
    assert result.errors
    return result.errors[0].extensions["code"], result.errors[0].message


def chain(length: int, spreads: int, end: str = "tenant { name }") -> str:
    """Fragments that each spread the next one several times: `spreads` to the power of `length` fields."""
    links = "".join(f"fragment a{i} on Query {{ {f'...a{i + 1} ' * spreads} }}" for i in range(length))
    return f"{{ ...a0 }} {links} fragment a{length} on Query {{ {end} }}"


@pytest.mark.parametrize(("length", "spreads"), [(20, 2), (40, 2), (12, 20)])
async def test_a_fragment_bomb_is_refused_without_being_walked(
    schema: Schema, length: int, spreads: int
) -> None:
    # Walked spread by spread, the largest of these has 10^15 fields: the test would not end.
    code, _ = await refusal(schema, chain(length, spreads))
    assert code == "LIMIT_EXCEEDED"


@pytest.mark.parametrize(
    "query",
    [
        "{ ...a } fragment a on Query { ...a }",
        "{ ...a } fragment a on Query { ...b } fragment b on Query { tenant { name } ...a }",
        "{ tenant { name } } fragment a on Query { ...a }",
    ],
    ids=["self", "each other", "unused"],
)
async def test_fragments_that_spread_themselves_are_refused(schema: Schema, query: str) -> None:
    assert (await refusal(schema, query))[0] == "LIMIT_EXCEEDED"


@pytest.mark.parametrize(
    "query",
    [
        "{" + "tenant { name } " * 900 + "}",
        "{ tenant {" + "name " * 3_000 + "} }",
        "{ tenant { name } } fragment f on Tenant {" + "name " * 3_000 + "}",
        "{" + "".join(f"...a{i} " for i in range(200)) + "}"
        "" + "".join(f"fragment a{i} on Query {{ tenant {{ name }} }}" for i in range(200)),
        "{" + "".join(f"a{i}: __typename " for i in range(200)) + "}",
        "{" + "... on Query {" * 60 + "__typename" + "}" * 61,
        "{" + "".join(f"a{i}: apps(first: 200) {{ items {{ {'name ' * 8}}} }} " for i in range(40)) + "}",
        "{" + "x " * 5_000 + "}",
        "{ tenant { name " + "@skip(if: false) " * 200 + "} }",
        "{ tenant " + "@canary " * 1_500 + "{ name } }",
        "{ apps(after: " + "[" * 1_900 + "]" * 1_900 + ") { items { name } } }",
        "{ apps(after: " + "{a: " * 900 + "1" + "}" * 900 + ") { items { name } } }",
        "query($a: " + "[" * 1_900 + "Int" + "]" * 1_900 + ") { tenant { name } }",
        "{" + "a {" * 1_500 + "}" * 1_501,
        "query a { tenant { name } } " * 300,
        "{ " + "a" * 300_000 + " }",
        "#" * 300_000 + "\n{ tenant { name } }",
    ],
    ids=[
        "fields",
        "flat",
        "unused fragment",
        "fragments",
        "aliases",
        "nesting",
        "cost",
        "tokens",
        "directives",
        "unknown directives",
        "list literal",
        "object literal",
        "list type",
        "deep selection",
        "operations",
        "long name",
        "long comment",
    ],
)
async def test_what_is_too_much_is_refused(schema: Schema, query: str) -> None:
    assert (await refusal(schema, query))[0] == "LIMIT_EXCEEDED"


async def test_a_page_costs_what_its_variable_says(schema: Schema) -> None:
    pages = "".join(f"a{i}: apps(first: $n) {{ items {{ {'name ' * 63} }} }} " for i in range(4))
    query = f"query($n: Int!) {{ {pages} }}"
    # Allowed, so it goes on to the resolvers, which have no context here.
    assert (await refusal(schema, query, n=10))[0] == "INTERNAL"
    assert (await refusal(schema, query, n=200))[0] == "LIMIT_EXCEEDED"


async def test_introspection_is_answered_and_bounded(schema: Schema) -> None:
    result = await schema.execute(get_introspection_query(input_value_deprecation=True))
    assert result.errors is None
    deep = "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }"
    assert (await refusal(schema, deep))[0] in ("BAD_QUERY", "LIMIT_EXCEEDED")


@pytest.mark.parametrize(
    "query", ["{ __schema { queryType { name } } }", '{ __type(name: "Query") { name } }']
)
async def test_introspection_is_refused_unless_it_is_set(query: str) -> None:
    assert (await refusal(create_schema(), query))[0] == "BAD_QUERY"
    result = await create_schema().execute("{ __typename }")
    assert result.data == {"__typename": "Query"}


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("query($a: String!) { app(name: $a) { name } }", {"a": {"secret": CANARY}}),
        ("query($a: Int!) { apps(first: $a) { items { name } } }", {"a": CANARY}),
        ('mutation($a: Role!) { createApiKey(name: "x", role: $a) { __typename } }', {"a": CANARY}),
        ("mutation($a: ConnectionInput!) { createConnection(input: $a) { __typename } }", {"a": CANARY}),
        (
            "mutation($a: ConnectionInput!) { createConnection(input: $a) { __typename } }",
            {"a": {"name": "x", "secrets": {"apiKey": CANARY}}},
        ),
        (f'mutation {{ setSecret(name: "x" value: "{CANARY}" "{CANARY}") {{ __typename }} }}', {}),
        (f'{{ apps(first: "{CANARY}") {{ items {{ name }} }} }}', {}),
        (
            'mutation($a: DateTime!) { createApiKey(name: "x", role: ADMIN, expiresAt: $a) { __typename } }',
            {"a": CANARY},
        ),
        (
            'mutation($a: JSON!) { saveAction(app: "a", name: "b", definition: $a) { __typename } }',
            {"a": [CANARY, float("nan")]},
        ),
        (
            'mutation($a: JSON!) { saveAction(app: "a", name: "b", definition: $a) { __typename } }',
            {"a": {"\0": CANARY}},
        ),
        (f'mutation {{ setSecret(name: "x", value: "{CANARY}\\u0000") {{ __typename }} }}', {}),
    ],
)
async def test_a_refusal_quotes_no_value(schema: Schema, query: str, variables: Any) -> None:
    code, message = await refusal(schema, query, **variables)
    assert code == "BAD_QUERY"
    assert CANARY not in message
    assert message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\0", {"a": "\0"}, [[[float("-inf")]]]])
async def test_what_json_can_not_hold_is_refused_anywhere(schema: Schema, value: Any) -> None:
    query = "query($a: String, $unused: JSON) { apps(after: $a) { items { name } } }"
    assert (await refusal(schema, query, unused=value))[0] == "BAD_QUERY"


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00", "soon", 7])
async def test_a_time_that_utc_does_not_know_is_refused(schema: Schema, moment: Any) -> None:
    query = 'mutation($a: DateTime!) { createApiKey(name: "x", role: ADMIN, expiresAt: $a) { __typename } }'
    assert (await refusal(schema, query, a=moment))[0] == "BAD_QUERY"


async def test_json_nested_too_deep_is_refused(schema: Schema) -> None:
    value: Any = 1
    for _ in range(100):
        value = [value]
    query = 'mutation($a: JSON!) { saveAction(app: "a", name: "b", definition: $a) { __typename } }'
    assert (await refusal(schema, query, a=value))[0] == "BAD_QUERY"


@pytest.mark.parametrize(
    "variables",
    [[[]] * 250_000, {str(i): 0 for i in range(250_000)}, [[0] * 500] * 500],
    ids=["list", "object", "lists"],
)
async def test_variables_of_too_many_values_are_refused(schema: Schema, variables: Any) -> None:
    assert (await refusal(schema, "query($a: JSON) { tenant { name } }", a=variables))[0] == "BAD_QUERY"


async def test_a_number_of_many_digits_is_not_read(schema: Schema) -> None:
    code, message = await refusal(schema, "{ apps(first: " + "9" * 20_000 + ") { items { name } } }")
    assert (code, message) == ("BAD_QUERY", "a number has more than 400 digits")


async def test_a_long_name_is_not_sent_back_whole(schema: Schema) -> None:
    code, message = await refusal(schema, "{ " + "a" * 200_000 + " }")
    assert code == "BAD_QUERY"
    assert len(message) < 1_000


async def test_what_an_extension_raises_has_a_code_and_no_words(
    schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError(CANARY)

    monkeypatch.setattr(limits, "check_cost", broken)
    assert await refusal(schema, "{ never_asked_before: tenant { name } }") == (
        "INTERNAL",
        "something went wrong on our side",
    )


async def test_a_fragment_is_counted_once_however_often_it_is_spread(schema: Schema) -> None:
    spreads = "".join(f"a{i}: tenant {{ ...f }} " for i in range(40))
    query = f"{{ {spreads} }} fragment f on Tenant {{ {'name ' * 60} }}"
    # Allowed, so it goes on to the resolvers, which have no context here.
    assert (await refusal(schema, query))[0] == "INTERNAL"
