"""JSON Schema 2020-12: is a schema fit to be used, and does a value fit a schema?

jsonschema-rs does the checking, with a linear-time regular expression engine and a retriever that refuses, so
that nothing is ever fetched. Tenants write the schemas: what can not be checked in bounded time is refused,
and problems are made from keywords, types and declared names, never from values.
"""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice

import jsonschema_rs

from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json
from headrace.workflow.json_rules import canonical
from headrace.workflow.paths import at_index, at_name
from headrace.workflow.schema_cost import Cost, analyse
from headrace.workflow.schema_weights import PATTERN, REGEX_SIZE
from headrace.workflow.sensitive import Marks
from headrace.workflow.value_size import Size, size_of
from headrace.workflow.values import kind_of

MAX_SCHEMA_LENGTH = 256 * 1024
MAX_VISITS = 5_000_000  # places of a value x what may be done to each
MAX_COMPARISONS = 300_000  # of whole numbers, or what weighs as much
MAX_MATCHED = 512 * 1024 * PATTERN  # characters x what may be done to each
MAX_REPORTED_VISITS = 50_000  # above, problems are not listed one by one
MAX_REPORTED_BYTES = 16 * 1024 * 1024  # the same: errors hold copies of what is wrong, and of options
MAX_PROBLEMS = 20
_KINDS = {"string": "text", "array": "list", "integer": "whole number"}
_ARTICLES = {
    "string": "a text",
    "array": "a list",
    "object": "an object",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}

_METASCHEMA = "https://json-schema.org/draft/2020-12/schema"


def check_schema(schema: Json, path: str = "") -> list[Problem]:
    """Everything wrong with a schema: its keywords, its references, its patterns, its cost."""
    return _inspect(schema, path)[1]


def compile_schema(schema: Json) -> "SchemaValidator":
    """A validator for `schema`. Raises `InvalidInput` with what `check_schema` finds."""
    validator, problems = _inspect(schema, "")
    if validator is None:
        raise InvalidInput(problems)
    return validator


@dataclass(frozen=True, slots=True)
class SchemaValidator:
    """A compiled schema. May be shared; holds no value. `marks` say what is sensitive, if anything is."""

    cost: Cost
    _validator: jsonschema_rs.Draft202012Validator
    marks: Marks | None = None

    def validate(self, value: Json, path: str = "") -> list[Problem]:
        """What does not fit, at most `MAX_PROBLEMS` things, each with its place under `path`.

        A value too large to be checked in bounded time does not fit.
        """
        size = size_of(value)
        if size is None or self._is_costly(size):
            mend = "Make the value smaller, or its schema simpler."
            return [Problem(path, "the value is too large for its schema to be checked", mend, "TOO_COSTLY")]
        try:
            if self._validator.is_valid(value):
                return []
            return self._problems(value, path, size)
        except (ValueError, OverflowError):
            return [Problem(path, "the value is not JSON", "Write JSON values only.", "NOT_JSON")]

    def _is_costly(self, size: Size) -> bool:
        cost = self.cost
        # Each list hashes all that is in it, and each level of lists does so again.
        hashed = size.places * size.depth if cost.unique else 0
        compared = size.compared * cost.exact + size.floats * cost.whole + size.far * cost.bounds
        return (
            max(size.places * cost.fan, hashed) > MAX_VISITS
            or compared > MAX_COMPARISONS
            or size.characters * cost.matches > MAX_MATCHED
        )

    def _problems(self, value: Json, path: str, size: Size) -> list[Problem]:
        visits = size.places * self.cost.fan
        copied = (size.characters + 64 * size.places) * size.depth * self.cost.fan
        if visits <= MAX_REPORTED_VISITS and copied + size.places * self.cost.copied <= MAX_REPORTED_BYTES:
            errors = islice(self._validator.iter_errors(value), MAX_PROBLEMS)
            return [_problem(error, path, self.cost.names) for error in errors]
        if not self.cost.reports_branches:
            try:
                self._validator.validate(value)
            except jsonschema_rs.ValidationError as error:
                return [_problem(error, path, self.cost.names)]
        mend = "Compare it with the schema; it is too large for each problem to be listed."
        return [Problem(path, "the value does not fit its schema", mend, "SCHEMA_MISMATCH")]


class Schemas:
    """Compiles schemas and keeps the `size` that were used last. Not for use by several threads."""

    def __init__(self, size: int = 512) -> None:
        self._size = size
        self._compiled: OrderedDict[str, SchemaValidator] = OrderedDict()

    def validator(self, schema: Json) -> SchemaValidator:
        """The validator for `schema`. Raises `InvalidInput`."""
        key = canonical(schema)
        found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = compile_schema(schema)
            if len(self._compiled) > self._size:
                self._compiled.popitem(last=False)
        else:
            self._compiled.move_to_end(key)
        return found


def _inspect(schema: Json, path: str) -> tuple[SchemaValidator | None, list[Problem]]:
    if not isinstance(schema, dict):
        mend = "Write a schema such as `{type: object}`."
        return None, [Problem(path, f"a schema is an object, not {kind_of(schema)}", mend, "BAD_SCHEMA")]
    cost, problems = analyse(schema, path)
    if problems:
        return None, problems
    try:
        length = len(canonical(schema))
    except (ValueError, OverflowError, RecursionError):
        return None, [Problem(path, "the schema is not JSON", "Write JSON values only.", "BAD_SCHEMA")]
    if length > MAX_SCHEMA_LENGTH:
        mend = f"A schema may have {MAX_SCHEMA_LENGTH} characters as JSON."
        return None, [Problem(path, "the schema is too long", mend, "BAD_SCHEMA")]
    known = jsonschema_rs.Draft202012Validator({"$ref": _METASCHEMA}, retriever=_refuse)
    for error in islice(known.iter_errors(schema), MAX_PROBLEMS):
        place, keyword = _where(error.instance_path, path, None), _keyword(error.instance_path)
        if any(problem.path == place for problem in problems):
            continue  # several rules of the meta-schema say the same
        mend = "See JSON Schema 2020-12 for what it may be; patterns have no look-around or back-references."
        problems.append(Problem(place, f"{keyword} has a value that it can not have", mend, "BAD_SCHEMA"))
    if problems:
        return None, problems
    try:
        validator = jsonschema_rs.Draft202012Validator(
            {name: value for name, value in schema.items() if name != "$id"},
            pattern_options=jsonschema_rs.RegexOptions(size_limit=REGEX_SIZE, dfa_size_limit=2 * 1024 * 1024),
            validate_formats=True,
            retriever=_refuse,
        )
    except jsonschema_rs.ValidationError as error:
        place, keyword = _where(error.instance_path, path, None), _keyword(error.instance_path)
        mend = "Patterns have no look-around and no back-references, and count up to a few hundred only."
        return None, [Problem(place, f"{keyword} has a value that can not be used", mend, "BAD_SCHEMA")]
    except (ValueError, jsonschema_rs.ReferencingError):
        return None, [Problem(path, "the schema can not be used", "Check its references.", "BAD_SCHEMA")]
    return SchemaValidator(cost, validator, Marks.of(schema)), []


def _refuse(_uri: str) -> Json:
    raise ValueError


def _problem(error: jsonschema_rs.ValidationError, path: str, names: frozenset[str]) -> Problem:
    place = _where(error.instance_path, path, names)
    keyword = error.kind.name
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Type(types):
            wanted = " or ".join(_KINDS.get(name, name) for name in types)
            message = f"{wanted} is needed, not {kind_of(error.instance)}"
            mend = " or ".join(_ARTICLES.get(name, name) for name in types)
            return Problem(place, message, f"Make it {mend}.", "SCHEMA_MISMATCH")
        case jsonschema_rs.ValidationErrorKind.Required(name):
            missing = at_name(place, name)
            return Problem(missing, "this name is missing", "Give it a value.", "SCHEMA_MISMATCH")
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties():
            mend = "Leave out what the schema does not name."
            return Problem(place, "it has names that the schema does not have", mend, "SCHEMA_MISMATCH")
        case _:
            message = f"the {kind_of(error.instance)} does not fit `{keyword}` of the schema"
            return Problem(place, message, f"Compare it with `{keyword}` there.", "SCHEMA_MISMATCH")


def _where(steps: list[str | int], path: str, names: frozenset[str] | None) -> str:
    """The place; names that the schema does not spell may be data, and read as `*`."""
    for step in steps:
        if isinstance(step, int):
            path = at_index(path, step)
        else:
            path = at_name(path, step if names is None or step in names else "*")
    return path


def _keyword(steps: list[str | int]) -> str:
    named = [step for step in steps if isinstance(step, str)]
    return f"`{named[-1]}`" if named else "the schema"
