"""A workflow document as a picture: a Mermaid flowchart, the same for the same document. Pure.

What a text holds is written as Mermaid's entity codes, so that no document can add to the drawing.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from headrace.workflow.document import (
    AllOf,
    AnyOf,
    Condition,
    Document,
    Edge,
    EdgeOn,
    Expression,
    Join,
    Not,
    OnError,
    Step,
    StepType,
    When,
)
from headrace.workflow.graph import edges_of
from headrace.workflow.json_rules import canonical

MAX_LABEL = 60
_MS = ((24 * 60 * 60 * 1000, "d"), (60 * 60 * 1000, "h"), (60 * 1000, "min"), (1000, "s"), (1, "ms"))

# The shapes of step types; a call, and a plug-in's step, is a box.
_BOX = ("[", "]")
_SHAPES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        StepType.TRANSFORM: ("[/", "/]"),
        StepType.WAIT: ("([", "])"),
        StepType.SIGNAL: (">", "]"),
        StepType.APPROVAL: ("{{", "}}"),
        StepType.WORKFLOW: ("[[", "]]"),
        StepType.SUCCEED: ("((", "))"),
        StepType.FAIL: ("(((", ")))"),
    }
)
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "eq": "=",
        "neq": "≠",
        "gt": ">",
        "gte": "≥",
        "lt": "<",
        "lte": "≤",
        "isTrue": "is true",
        "isFalse": "is false",
    }
)


def draw(document: Document) -> str:
    """The steps with what each does, the edges with their conditions, and dashed behind a step what undoes it."""
    lines = ["flowchart TD"]
    lines += [f"    {line}" for step in document.steps for line in _step(step)]
    lines += [f"    {_edge(edge)}" for edge in edges_of(document)]
    undone = [f"    {line}" for step in document.steps for line in _undo(step)]
    if undone:
        lines += [*undone, "    classDef undo stroke-dasharray: 4 4"]
    return "\n".join(lines) + "\n"


def _step(step: Step) -> Iterator[str]:
    before, after = _SHAPES.get(step.type, _BOX)
    told = "<br/>".join(_text(line) for line in (f"{step.key}", *_does(step)))
    yield f'{_id(step.key)}{before}"{told}"{after}'


def _does(step: Step) -> Iterator[str]:
    """What is said of a step below its key."""
    if step.action is not None:
        yield step.action
    elif step.type not in _SHAPES:
        yield step.type
    if step.child is not None:
        yield step.child.workflow
    if step.approval is not None:
        who = ", ".join((*step.approval.roles, *step.approval.members))
        yield f"approval by {who}" if who else "approval"
        if step.approval.deadline_ms is not None:
            yield f"within {_span(step.approval.deadline_ms)}"
    if step.signal is not None:
        yield f"signal {step.signal.name or step.key}"
        if step.signal.deadline_ms is not None:
            yield f"within {_span(step.signal.deadline_ms)}"
    if step.wait is not None:
        yield "wait " + (
            _span(step.wait.for_ms) if step.wait.for_ms is not None else f"until {step.wait.until}"
        )
    if step.for_each is not None:
        items = step.for_each.items
        yield f"for each of {items if isinstance(items, str) else len(items) if isinstance(items, list) else '?'}"
    if step.repeat is not None:
        yield f"every {_span(step.repeat.every_ms)} until {_when(step.repeat.until)}"
    if step.cache is not None:
        yield f"cached for {_span(step.cache.ttl_ms)}"
    if step.join is Join.ANY:
        yield "after any"
    if step.on_error is OnError.CONTINUE:
        yield "goes on if it fails"


def _edge(edge: Edge) -> str:
    arrow = "-.->" if edge.on is EdgeOn.ERROR else "-->"
    label = " ".join(
        part for part in ("on error" if edge.on is EdgeOn.ERROR else "", _when(edge.when)) if part
    )
    between = f'{arrow}|"{_text(label)}"|' if label else arrow
    return f"{_id(edge.from_step)} {between} {_id(edge.to_step)}"


def _undo(step: Step) -> Iterator[str]:
    if step.compensate is not None:
        name = f"{_id(step.key)}__undo"
        yield f'{name}["{_text(step.compensate.action)}"]:::undo'
        yield f"{_id(step.key)} -. undone by .- {name}"


def _when(when: When | None) -> str:
    match when:
        case None:
            return ""
        case Condition():
            words = _WORDS.get(when.operator, when.operator)
            unary = when.operator in ("isTrue", "isFalse", "isNull", "isEmpty")
            return f"{when.field} {words}" + ("" if unary else f" {canonical(when.value)}")
        case AllOf():
            return " and ".join(map(_when, when.parts))
        case AnyOf():
            return " or ".join(map(_when, when.parts))
        case Not():
            return f"not ({_when(when.part)})"
        case Expression():
            return when.text.strip().removeprefix("{{").removesuffix("}}").strip()


def _span(ms: int) -> str:
    """In the largest unit that leaves nothing over."""
    size, unit = next((size, unit) for size, unit in _MS if ms % size == 0)
    return f"{ms // size} {unit}"


def _id(key: str) -> str:
    # A word of Mermaid's own (`end`) may not stand alone.
    return f"s_{key}"


def _text(text: str) -> str:
    cut = text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…"
    return "".join(one if one.isalnum() or one in " .,:/_-=≠≥≤()…'[]" else f"#{ord(one)};" for one in cut)
