"""Reading what a step may have beside its work: compensation, probe, loops, and what it waits for."""

import re
from collections.abc import Mapping

from headrace.workflow.document import (
    Approval,
    Cache,
    Child,
    Compensation,
    DeadlineOutcome,
    ForEach,
    OnError,
    Probe,
    Repeat,
    Signal,
    Wait,
)
from headrace.workflow.grammar import (
    APPROVAL_DEFAULTS,
    APPROVAL_KEYS,
    CACHE_KEYS,
    CHILD_KEYS,
    COMPENSATION_KEYS,
    FOR_EACH_KEYS,
    MAX_CACHE_MS,
    MAX_CONCURRENT_ITEMS,
    MAX_EXPRESSION,
    MAX_ITEMS,
    MAX_JSONPATH,
    MAX_MEMBER,
    MAX_NAMES,
    MAX_PEOPLE,
    MAX_REPEAT_MS,
    MAX_ROUNDS,
    MAX_RUN_TIMEOUT_MS,
    MAX_TIMEOUT_MS,
    MAX_TITLE,
    MAX_VERSION,
    MIN_CACHE_MS,
    MIN_REMINDER_MS,
    MIN_REPEAT_MS,
    PROBE_KEYS,
    REPEAT_KEYS,
    SIGNAL_DEFAULTS,
    SIGNAL_KEYS,
    WAIT_KEYS,
)
from headrace.workflow.names import ACTION_REF, NAME, OUTPUT_NAME
from headrace.workflow.parse_when import ONE_EXPRESSION, read_when
from headrace.workflow.paths import at_name
from headrace.workflow.reading import Fields
from headrace.workflow.retry import read_retry


def read_output(owner: Fields) -> Mapping[str, str] | None:
    """`output`: names, each with a JSONPath."""
    output = owner.object("output")
    if output is None:
        return None
    if len(output) > MAX_NAMES:
        mend = "Leave out what is not used."
        owner.wrong("output", f"there are more than {MAX_NAMES} names", mend, "TOO_MANY")
        return None
    paths: dict[str, str] = {}
    for name, value in output.items():
        path = at_name(owner.at("output"), name)
        if not OUTPUT_NAME.allows(name):
            owner.reading.add(path, "this is no output name", OUTPUT_NAME.words)
        elif not isinstance(value, str) or not value.startswith("$") or len(value) > MAX_JSONPATH:
            mend = "Write a path such as `$.body.total`."
            owner.reading.add(path, f"a JSONPath of at most {MAX_JSONPATH} characters is needed", mend)
        else:
            paths[name] = value
    return paths


def read_compensation(step: Fields) -> Compensation | None:
    undo = step.inner("compensate", COMPENSATION_KEYS)
    if undo is None:
        return None
    undo.required("action", "Name the action that undoes this step.")
    action = undo.name("action", ACTION_REF)
    made = Compensation(
        action or "",
        undo.object("input") or {},
        undo.name("connection", NAME),
        read_retry(undo),
        undo.integer("timeoutMs", 1, MAX_TIMEOUT_MS),
    )
    return made if action else None


def read_probe(step: Fields) -> Probe | None:
    probe = step.inner("probe", PROBE_KEYS)
    if probe is None:
        return None
    probe.required("action", "Name the action that finds out whether the call arrived.")
    probe.required("done", "Write the condition under which it did.")
    action, done = probe.name("action", ACTION_REF), read_when(probe, "done")
    input_ = probe.object("input") or {}
    connection, output, retry = probe.name("connection", NAME), read_output(probe), read_retry(probe)
    return Probe(action, done, input_, connection, output, retry) if action and done else None


def read_for_each(step: Fields) -> ForEach | None:
    loop = step.inner("forEach", FOR_EACH_KEYS)
    if loop is None:
        return None
    written = loop.required("items", "Write a list, or one expression that gives one.")
    items = loop.any("items")
    if isinstance(items, str) and len(items) <= MAX_EXPRESSION and re.fullmatch(ONE_EXPRESSION, items):
        pass
    elif isinstance(items, list) and len(items) > MAX_ITEMS:
        loop.wrong("items", f"there are more than {MAX_ITEMS} items", "Split the list.", "TOO_MANY")
    elif written and not isinstance(items, list):
        loop.wrong(
            "items", "a list is needed, or one expression that gives one", "Write `{{ ... }}` around it."
        )
        return None
    return ForEach(
        items,
        loop.integer("maxConcurrency", 1, MAX_CONCURRENT_ITEMS) or ForEach(None).max_concurrency,
        loop.choice("onItemError", OnError) or OnError.FAIL,
    )


def read_repeat(step: Fields) -> Repeat | None:
    repeat = step.inner("repeat", REPEAT_KEYS)
    if repeat is None:
        return None
    repeat.required("until", "Write the condition that ends it.")
    repeat.required("everyMs", "Write the milliseconds between two rounds.")
    until = read_when(repeat, "until")
    every = repeat.integer("everyMs", MIN_REPEAT_MS, MAX_REPEAT_MS)
    most = repeat.integer("max", 1, MAX_ROUNDS)
    if until is None or every is None:
        return None
    return Repeat(until, every) if most is None else Repeat(until, every, most)


def read_cache(step: Fields) -> Cache | None:
    cache = step.inner("cache", CACHE_KEYS)
    if cache is None:
        return None
    cache.required("ttlMs", "Write for how many milliseconds a result may stand for the call.")
    ttl = cache.integer("ttlMs", MIN_CACHE_MS, MAX_CACHE_MS)
    key = cache.any("key")
    return None if ttl is None else Cache(ttl, key)


def read_wait(step: Fields) -> Wait | None:
    wait = step.inner("wait", WAIT_KEYS)
    if wait is None:
        return None
    if wait.has("forMs") == wait.has("until"):
        mend = "Write `forMs` for a while, or `until` for a time, and not both."
        wait.reading.add(wait.path, "one of `forMs` and `until` is needed", mend)
    return Wait(wait.integer("forMs", 1, MAX_RUN_TIMEOUT_MS), wait.text("until", MAX_EXPRESSION))


def read_approval(step: Fields) -> Approval:
    """What an `approval` step says; all of it may be left out."""
    fields = step.inner("approval", APPROVAL_KEYS)
    if fields is None:
        return Approval()
    default = fields.word("default", APPROVAL_DEFAULTS)
    return Approval(
        title=fields.text("title", MAX_TITLE) or "",
        details=fields.any("details"),
        roles=fields.texts("roles", MAX_PEOPLE, MAX_MEMBER),
        members=fields.texts("members", MAX_PEOPLE, MAX_MEMBER),
        not_starter=fields.boolean("notStarter") or False,
        form=fields.object("form"),
        deadline_ms=fields.integer("deadlineMs", 1, MAX_RUN_TIMEOUT_MS),
        default=DeadlineOutcome(default) if default else Approval().default,
        remind_every_ms=fields.integer("remindEveryMs", MIN_REMINDER_MS, MAX_RUN_TIMEOUT_MS),
    )


def read_signal(step: Fields) -> Signal:
    """What a `signal` step says; all of it may be left out."""
    fields = step.inner("signal", SIGNAL_KEYS)
    if fields is None:
        return Signal()
    default = fields.word("default", SIGNAL_DEFAULTS)
    return Signal(
        name=fields.name("name", NAME),
        schema=fields.object("schema"),
        deadline_ms=fields.integer("deadlineMs", 1, MAX_RUN_TIMEOUT_MS),
        default=DeadlineOutcome(default) if default else Signal().default,
    )


def read_child(step: Fields) -> Child | None:
    if not isinstance(step.any("workflow"), dict):
        name = step.name("workflow", NAME)
        return None if name is None else Child(name)
    fields = step.inner("workflow", CHILD_KEYS)
    if fields is None:
        return None
    fields.required("name", "Name the workflow.")
    name, version = fields.name("name", NAME), fields.integer("version", 1, MAX_VERSION)
    return None if name is None else Child(name, version)
