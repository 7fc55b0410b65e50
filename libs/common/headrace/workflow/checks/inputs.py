"""Can a step's input satisfy its action's schemas? Literals are checked in full, expressions for what is sure."""

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.errors import InvalidInput
from headrace.json_types import Json, JsonObject
from headrace.workflow.actions import endpoint_parameters, header_problem, may_override
from headrace.workflow.assign import Part, declared, headers_as_declared, part_of, takes_body
from headrace.workflow.checks.subject import Subject
from headrace.workflow.definition import ActionDefinition
from headrace.workflow.document import Step
from headrace.workflow.expressions import Local, compile_template, texts_in
from headrace.workflow.expressions.limits import ExpressionError
from headrace.workflow.expressions.template import has_expression
from headrace.workflow.paths import at_index, at_name
from headrace.workflow.reading import Reading
from headrace.workflow.schemas import Schemas
from headrace.workflow.values import kind_of

_KINDS = {"text": "string", "list": "array", "object": "object"}
_MAX_REFERENCES = 16


def check_step_input(
    subject: Subject, schemas: Schemas, step: Step, action: ActionDefinition, place: str
) -> None:
    """MISSING_INPUT, UNKNOWN_INPUT, UNUSED_INPUT, SCHEMA_MISMATCH, BAD_HEADER."""
    whole = {Part.PATH: step.path, Part.QUERY: step.query, Part.HEADERS: step.headers, Part.BODY: step.body}
    loop = step.for_each is not None
    _check_call(subject.reading, schemas, action, step.input, whole, place, loop)


def check_call_input(
    subject: Subject, schemas: Schemas, step: Step, input_: Json, action: ActionDefinition, place: str
) -> None:
    """The same for a compensation or a probe of the step, which has an `input` only."""
    whole: dict[Part, Json] = dict.fromkeys(Part)
    _check_call(subject.reading, schemas, action, input_, whole, place, loop=step.for_each is not None)


def check_child_input(
    subject: Subject, schemas: Schemas, step: Step, parameters: JsonObject, place: str
) -> None:
    """The same for a child run, whose input is to fit the `parameters` of its workflow."""
    if not isinstance(step.input, str):
        local = Local(loop=step.for_each is not None)
        fit = _Fit(subject.reading, schemas, parameters, tuple(declared(parameters)), "workflow", local)
        fit.check(step.input or {}, parameters, f"{place}.input")


def _check_call(
    reading: Reading,
    schemas: Schemas,
    action: ActionDefinition,
    input_: Json,
    whole: Mapping[Part, Json],
    place: str,
    loop: bool,
) -> None:
    parts: dict[Part, JsonObject] = {part: {} for part in Part}
    flat = input_ if isinstance(input_, dict) else {}
    for name, value in flat.items():
        part = part_of(action, name)
        if whole[part] is None:
            parts[part][name] = value
        else:
            mend = f"Leave it out, or write it in `{part}`."
            path = at_name(f"{place}.input", name)
            reading.add(path, f"`{part}` is written as a whole and wins over this", mend, "UNUSED_INPUT")
    every = [*endpoint_parameters(action.endpoint_template)]
    for schema in (action.query_schema, action.headers_schema, action.body_schema):
        every += declared(schema)
    for part, schema in _schemas(action).items():
        written = whole[part]
        if written is None and isinstance(input_, str):
            continue  # the whole input comes from an expression
        if part is Part.BODY and written is None and not takes_body(action):
            continue
        if part is Part.BODY and written is None and not parts[part] and "required" not in schema:
            continue
        value = parts[part] if written is None else written
        if part is Part.HEADERS and isinstance(value, dict):
            value = headers_as_declared(schema, value)
        at = f"{place}.input" if written is None else f"{place}.{part}"
        _Fit(reading, schemas, schema, tuple(every), "action", Local(loop=loop)).check(value, schema, at)
    if isinstance(given := whole[Part.PATH], dict):
        _check_path_names(reading, action, given, f"{place}.path")
    headers = parts[Part.HEADERS] if whole[Part.HEADERS] is None else whole[Part.HEADERS]
    if isinstance(headers, dict):
        at = f"{place}.input" if whole[Part.HEADERS] is None else f"{place}.headers"
        for name, value in headers.items():
            problem = header_problem(
                name, value if isinstance(value, str) and not has_expression(value) else ""
            )
            if not may_override(action, name):
                problem = "only the action may name another method or path, or declare this header for steps"
            if problem:
                reading.add(at_name(at, name), problem, "Change it, or leave it out.", "BAD_HEADER")


def _check_path_names(reading: Reading, action: ActionDefinition, path: JsonObject, place: str) -> None:
    """A name that the endpoint does not have is written for nothing, whatever the path's schema says."""
    known = [*endpoint_parameters(action.endpoint_template)]
    if (action.path_schema or {}).get("additionalProperties") is False:
        known += path.keys() - declared(action.path_schema).keys()  # told by the schema's own check
    for name in path:
        if name not in known:
            message = "the action's endpoint does not have this parameter"
            parameters = endpoint_parameters(action.endpoint_template)
            mend = reading.closest(name, parameters) if parameters else "Leave it out."
            reading.add(at_name(place, name), message, mend, "UNKNOWN_INPUT")


def _schemas(action: ActionDefinition) -> dict[Part, JsonObject]:
    """Each part's schema; the endpoint's parameters are needed whether or not a schema says so."""
    path = dict(action.path_schema or {})
    needed = path.get("required")
    path["required"] = list(
        dict.fromkeys(
            [*endpoint_parameters(action.endpoint_template), *(needed if isinstance(needed, list) else [])]
        )
    )
    found: dict[Part, JsonObject] = {Part.PATH: path}
    if action.query_schema is not None:
        found[Part.QUERY] = action.query_schema
    if action.headers_schema is not None:
        headers = dict(action.headers_schema)
        given = {name.lower() for name in action.headers_template} | {"authorization"}
        required = headers.get("required")
        if isinstance(required, list):
            headers["required"] = [name for name in required if str(name).lower() not in given]
        found[Part.HEADERS] = headers
    if action.body_schema is not None:
        found[Part.BODY] = action.body_schema
    return found


@dataclass(frozen=True, slots=True)
class _Fit:
    """Holds values with expressions in them against a schema, as far as can be known before a run."""

    reading: Reading
    schemas: Schemas
    root: JsonObject
    known: tuple[str, ...]
    owner: str
    local: Local

    def check(self, value: Json, schema: Json, path: str, depth: int = 0) -> None:
        schema = self._resolved(schema)
        if not isinstance(schema, dict) or depth > 32:
            return
        if not texts_in(value) and not (isinstance(value, dict) and depth == 0):
            self._literal(value, schema, path)
            return
        if isinstance(value, str):
            try:
                single = compile_template(value, self.local).single is not None
            except ExpressionError:
                return  # reported by the check of references
            if single:
                return
        if not self._admits(value, schema, path):
            return
        if isinstance(value, dict):
            self._object(value, schema, path, depth)
        elif isinstance(value, list):
            for index, part in enumerate(value):
                self.check(part, schema.get("items"), at_index(path, index), depth + 1)

    def _object(self, value: JsonObject, schema: JsonObject, path: str, depth: int) -> None:
        properties = declared(schema)
        required = schema.get("required")
        for name in required if isinstance(required, list) else []:
            if isinstance(name, str) and name not in value:
                message = f"`{name[:63]}` is missing, and the {self.owner} needs it"
                self.reading.add(at_name(path, name), message, "Give it a value.", "MISSING_INPUT")
        for name, part in value.items():
            if name in properties:
                self.check(part, properties[name], at_name(path, name), depth + 1)
            elif schema.get("additionalProperties") is False and "patternProperties" not in schema:
                mend = self.reading.closest(name, self.known if depth == 0 else properties)
                self.reading.add(
                    at_name(path, name), f"the {self.owner} does not know this name", mend, "UNKNOWN_INPUT"
                )

    def _literal(self, value: Json, schema: JsonObject, path: str) -> None:
        definitions: JsonObject = {
            name: self.root[name] for name in ("$defs", "definitions") if name in self.root
        }
        try:
            problems = self.schemas.validator({**schema, **definitions}).validate(value, path)
        except InvalidInput:
            return  # the action's own schema is at fault, and its check says so
        for problem in problems:
            self.reading.add(problem.path, problem.message, problem.mend, problem.code)

    def _admits(self, value: Json, schema: JsonObject, path: str) -> bool:
        kinds = schema.get("type")
        kind = _KINDS.get(kind_of(value))
        if kind is None or kinds is None or kinds == kind or (isinstance(kinds, list) and kind in kinds):
            return True
        message = f"this is always {kind_of(value)}, and the {self.owner} needs another type"
        mend = "Write exactly one expression, without text around it." if kind == "string" else "Change it."
        self.reading.add(path, message, mend, "SCHEMA_MISMATCH")
        return False

    def _resolved(self, schema: Json) -> Json:
        for _ in range(_MAX_REFERENCES):
            reference = schema.get("$ref") if isinstance(schema, dict) else None
            if not isinstance(reference, str):
                return schema
            schema = self.root
            for name in reference.removeprefix("#").split("/")[1:]:
                name = name.replace("~1", "/").replace("~0", "~")
                schema = schema.get(name) if isinstance(schema, dict) else None
        return None
