"""Finding a part of a JSON value, and naming it in messages. Never an attribute of a Python object."""

from jinja2 import nodes

from headrace.json_types import Json
from headrace.workflow.expressions.limits import Missing
from headrace.workflow.values import kind_of

NOT_THERE = "Check its spelling, or write `| default(...)` after it."


def truth(value: Json) -> bool:
    """null, false, 0, "" and what is empty are false."""
    return bool(value)


def element(whole: Json, key: Json, named: nodes.Node) -> Json:
    """What stands in `whole` under a name or an index; `named` asks for it. Raises `Missing`."""
    if isinstance(whole, dict) and isinstance(key, str):
        if key in whole:
            return whole[key]
        raise Missing(f"`{spell(named)}` is not there", NOT_THERE)
    if isinstance(whole, list | str) and isinstance(key, int) and not isinstance(key, bool):
        if -len(whole) <= key < len(whole):
            return whole[key]
        raise Missing(f"`{spell(named)}` is not there", NOT_THERE)
    if whole is None:
        raise Missing(f"`{spell(named)}` is not there, as what should hold it is null", NOT_THERE)
    raise Missing(f"`{spell(named)}` is not there, as what should hold it is {kind_of(whole)}", NOT_THERE)


def spell(node: nodes.Node) -> str:
    """A chain of names as it was written, for messages: `input.orders[...].id`."""
    parts: list[str] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getattr):
            parts.append(f".{node.attr}")
        elif isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, int):
            parts.append(f"[{node.arg.value}]")
        else:
            parts.append("[...]")
        node = node.node
    parts.append(node.name if isinstance(node, nodes.Name) else "(...)")
    text = "".join(reversed(parts))
    return text if len(text) <= 120 else text[:117] + "..."
