"""From JSON data to a `Document`, with every problem of its shape at once.

What needs the tenant's catalogue, the graph or the expressions is checked by `headrace.workflow.validate`.
"""

from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json, JsonObject
from headrace.workflow.document import Concurrency, Document, Edge, EdgeOn, Ending, OnLimit, RetryPolicy
from headrace.workflow.grammar import (
    CONCURRENCY_KEYS,
    DOCUMENT_KEYS,
    EDGE_KEYS,
    MAX_BUDGET,
    MAX_EDGES,
    MAX_JSONPATH,
    MAX_NAMES,
    MAX_RUN_TIMEOUT_MS,
    MAX_RUNS,
)
from headrace.workflow.json_rules import check_json
from headrace.workflow.names import ENV_NAME, NAME, STEP_KEY, STEP_TYPE
from headrace.workflow.parse_steps import read_steps
from headrace.workflow.parse_when import read_when
from headrace.workflow.paths import at_name
from headrace.workflow.reading import Fields, Reading
from headrace.workflow.retry import read_retry


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
    undone = fields.choices("compensateOn", Ending)
    return Document(
        workflow=name or "",
        steps=tuple(read_steps(fields)),
        edges=tuple(_edge(reading, value, path) for path, value in fields.elements("edges", MAX_EDGES)),
        parameters=fields.object("parameters"),
        env=env,
        secrets=secrets,
        result=fields.any("result"),
        timeout_ms=fields.integer("timeoutMs", 1, MAX_RUN_TIMEOUT_MS),
        compensate_on=frozenset(Ending) if undone is None else frozenset(undone),
        concurrency=_concurrency(fields),
        retries=_retries(fields),
        retry_budget=fields.integer("retryBudget", 0, MAX_BUDGET),
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


def _concurrency(document: Fields) -> Concurrency | None:
    fields = document.inner("concurrency", CONCURRENCY_KEYS)
    if fields is None:
        return None
    key = fields.text("key", MAX_JSONPATH)
    if key is not None and not key.startswith("$"):
        fields.wrong("key", "a JSONPath into the run's input is needed", "Write a path such as `$.orderId`.")
    plain = Concurrency()
    return Concurrency(
        fields.integer("limit", 1, MAX_RUNS) or plain.limit,
        fields.choice("onLimit", OnLimit) or plain.on_limit,
        key,
    )


def _retries(document: Fields) -> dict[str, RetryPolicy]:
    written = document.object("retries") or {}
    if len(written) > MAX_NAMES:
        mend = "Leave out what is not used."
        document.wrong("retries", f"there are more than {MAX_NAMES} names", mend, "TOO_MANY")
        return {}
    fields = Fields(document.reading, document.at("retries"), written)
    found: dict[str, RetryPolicy] = {}
    for name in written:
        if not STEP_TYPE.allows(name):
            fields.wrong(name, "this is no step type", STEP_TYPE.words)
        elif (policy := read_retry(fields, name)) is not None:
            found[name] = policy
    return found


def _edge(reading: Reading, value: Json, path: str) -> Edge:
    fields = reading.fields(value, path, EDGE_KEYS)
    if fields is None:
        return Edge("", "")
    ends = []
    for name in ("from", "to"):
        fields.required(name, "Name a step by its key.")
        ends.append(fields.name(name, STEP_KEY) or "")
    when = read_when(fields, "when")
    return Edge(ends[0], ends[1], when, fields.choice("on", EdgeOn) or EdgeOn.SUCCESS)
