"""From JSON data to a `Document`, with every problem of its shape at once, and back.

What needs the tenant's catalogue, the graph or the expressions is checked by `headrace.workflow.validate`.
"""

from collections.abc import Mapping

from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json, JsonObject
from headrace.workflow.conditions import OPERATORS
from headrace.workflow.document import (
    Compensation,
    Condition,
    Document,
    Edge,
    OnError,
    OnMismatch,
    Step,
)
from headrace.workflow.json_rules import check_json
from headrace.workflow.names import (
    ACTION_REF,
    ENV_NAME,
    FIELD,
    NAME,
    OUTPUT_NAME,
    STEP_KEY,
    STEP_TYPE,
    closest,
)
from headrace.workflow.paths import at_name
from headrace.workflow.reading import Fields, Reading
from headrace.workflow.retry import read_retry
from headrace.workflow.values import kind_of

MAX_STEPS = 500
MAX_EDGES = 5_000
MAX_NAMES = 100  # in one env or output
MAX_TIMEOUT_MS = 600_000
MAX_RUN_TIMEOUT_MS = 366 * 24 * 60 * 60 * 1000
MAX_JSONPATH = 512

DOCUMENT_KEYS = ("workflow", "parameters", "env", "steps", "edges", "result", "timeoutMs")
STEP_KEYS = (
    "key",
    "type",
    "action",
    "connection",
    "input",
    "path",
    "query",
    "headers",
    "body",
    "output",
    "retry",
    "timeoutMs",
    "onError",
    "onOutputMismatch",
    "compensate",
)
TRANSFORM_KEYS = ("key", "type", "input", "output", "onError")
EDGE_KEYS = ("from", "to", "when")
CONDITION_KEYS = ("field", "operator", "value")
ACTION_TYPE, TRANSFORM_TYPE = "action", "transform"


def parse_document(data: object) -> Document:
    """The document that `data` holds. Raises `InvalidInput` with every problem found."""
    document, problems = read_document(data)
    if problems or document is None:
        raise InvalidInput(problems)
    return document


def read_document(data: object) -> tuple[Document | None, list[Problem]]:
    """What of `data` is a document, and every problem of its shape.

    What could not be read stands as if it were not written, in its place: steps and edges keep their numbers,
    so that the rest can be checked and reported with it. None: nothing of it can be read.
    """
    problems = check_json(data)
    if problems:
        return None, problems
    reading = Reading()
    return _document(reading, data), reading.problems  # type: ignore[arg-type]


def _document(reading: Reading, data: Json) -> Document | None:
    fields = reading.fields(data, "", DOCUMENT_KEYS)
    if fields is None:
        return None
    fields.required("workflow", "Give the workflow a name.")
    name = fields.name("workflow", NAME)
    env, secrets = _env(fields)
    return Document(
        workflow=name or "",
        steps=tuple(_steps(fields)),
        edges=tuple(_edge(reading, value, path) for path, value in fields.elements("edges", MAX_EDGES)),
        parameters=fields.object("parameters"),
        env=env,
        secrets=secrets,
        result=fields.any("result"),
        timeout_ms=fields.integer("timeoutMs", 1, MAX_RUN_TIMEOUT_MS),
    )


def _env(fields: Fields) -> tuple[JsonObject, dict[str, str]]:
    plain: JsonObject = {}
    secrets: dict[str, str] = {}
    env = fields.object("env") or {}
    if len(env) > MAX_NAMES:
        fields.wrong(
            "env", f"there are more than {MAX_NAMES} names", "Leave out what is not used.", "TOO_MANY"
        )
        return plain, secrets
    for name, value in env.items():
        path = at_name(fields.at("env"), name)
        if not ENV_NAME.allows(name):
            fields.reading.add(path, "this is no env name", ENV_NAME.words)
        elif isinstance(value, dict):
            secret = fields.reading.fields(value, path, ("secret",))
            if secret is not None and secret.required(
                "secret", "Name the secret, as in `{secret: my-token}`."
            ):
                secrets[name] = secret.name("secret", NAME) or ""
        elif isinstance(value, list):
            fields.reading.add(path, "a list can not stand in env", "Write a text, a number or a boolean.")
        else:
            plain[name] = value
    return plain, secrets


def _steps(fields: Fields) -> list[Step]:
    if fields.required("steps", "Write at least one step.") and fields.any("steps") == []:
        fields.wrong("steps", "there is no step", "Write at least one step.")
    steps: list[Step] = []
    first: dict[str, str] = {}
    for path, value in fields.elements("steps", MAX_STEPS):
        known = (
            TRANSFORM_KEYS if isinstance(value, dict) and value.get("type") == TRANSFORM_TYPE else STEP_KEYS
        )
        step = fields.reading.fields(value, path, known)
        if step is None:
            steps.append(Step(key="", type=TRANSFORM_TYPE, input={}))
            continue
        steps.append(_step(step))
        key = step.any("key")
        if isinstance(key, str):
            if key in first:
                mend = f"{first[key]} has it too; give each step its own."
                step.wrong("key", "this key is taken", mend, "DUPLICATE_KEY")
            first.setdefault(key, path)
    return steps


def _step(fields: Fields) -> Step:
    fields.required("key", "Give the step a key, by which others refer to it.")
    key = fields.name("key", STEP_KEY)
    kind = fields.name("type", STEP_TYPE) if fields.has("type") else ACTION_TYPE
    if kind == ACTION_TYPE:
        fields.required("action", "Name an action as `app/action`, or write `type: transform`.")
    if kind == TRANSFORM_TYPE:
        fields.required("input", "Write the value that this step makes.")
    return Step(
        key=key or "",
        type=kind or "",
        action=fields.name("action", ACTION_REF),
        connection=fields.name("connection", NAME),
        input=fields.object_or_text("input") if kind == ACTION_TYPE else fields.any("input"),
        path=fields.object_or_text("path"),
        query=fields.object_or_text("query"),
        headers=fields.object_or_text("headers"),
        body=fields.any("body"),
        output=_output(fields),
        retry=read_retry(fields),
        timeout_ms=fields.integer("timeoutMs", 1, MAX_TIMEOUT_MS),
        on_error=fields.choice("onError", OnError) or OnError.FAIL,
        on_output_mismatch=fields.choice("onOutputMismatch", OnMismatch),
        compensate=_compensation(fields),
    )


def _output(fields: Fields) -> Mapping[str, str] | None:
    output = fields.object("output")
    if output is None:
        return None
    if len(output) > MAX_NAMES:
        fields.wrong(
            "output", f"there are more than {MAX_NAMES} names", "Leave out what is not used.", "TOO_MANY"
        )
        return None
    paths: dict[str, str] = {}
    for name, value in output.items():
        path = at_name(fields.at("output"), name)
        if not OUTPUT_NAME.allows(name):
            fields.reading.add(path, "this is no output name", OUTPUT_NAME.words)
        elif not isinstance(value, str) or not value.startswith("$") or len(value) > MAX_JSONPATH:
            mend = "Write a path such as `$.body.total`."
            fields.reading.add(path, f"a JSONPath of at most {MAX_JSONPATH} characters is needed", mend)
        else:
            paths[name] = value
    return paths


def _compensation(fields: Fields) -> Compensation | None:
    if not fields.has("compensate"):
        return None
    undo = fields.reading.fields(fields.any("compensate"), fields.at("compensate"), ("action", "input"))
    if undo is None or not undo.required("action", "Name the action that undoes this step."):
        return None
    return Compensation(undo.name("action", ACTION_REF) or "", undo.object("input") or {})


def _edge(reading: Reading, value: Json, path: str) -> Edge:
    fields = reading.fields(value, path, EDGE_KEYS)
    if fields is None:
        return Edge("", "")
    ends = []
    for name in ("from", "to"):
        fields.required(name, "Name a step by its key.")
        ends.append(fields.name(name, STEP_KEY) or "")
    when = _condition(fields) if fields.has("when") else None
    return Edge(ends[0], ends[1], when)


def _condition(edge: Fields) -> Condition | None:
    fields = edge.reading.fields(edge.any("when"), edge.at("when"), CONDITION_KEYS)
    if fields is None:
        return None
    fields.required("field", FIELD.words)
    where = fields.name("field", FIELD)
    fields.required("operator", f"Write one of {', '.join(OPERATORS)}.")
    word = fields.any("operator")
    operator = OPERATORS.get(word) if isinstance(word, str) else None
    if operator is None:
        if fields.has("operator"):
            known = (
                closest(word, OPERATORS) if isinstance(word, str) else f"Write one of {', '.join(OPERATORS)}."
            )
            fields.wrong("operator", "this operator is not known", known, "UNKNOWN_OPERATOR")
        return None
    value = fields.any("value")
    if operator.needs_value:
        fields.required("value", "Write the value to compare with.")
    if operator.kinds and fields.has("value") and kind_of(value) not in operator.kinds:
        words = " or ".join(sorted(operator.kinds))
        fields.wrong("value", f"`{word}` compares with {words}, not {kind_of(value)}", f"Write a {words}.")
    return Condition(where or "", str(word), value)
