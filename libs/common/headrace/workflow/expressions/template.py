"""Texts with `{{ }}` in them, compiled: parts of plain text and checked trees."""

import re
from dataclasses import dataclass

from jinja2 import nodes

from headrace.workflow.expressions.limits import (
    MAX_EXPRESSIONS,
    MAX_TEMPLATE_LENGTH,
    MAX_TOKENS,
    PARSING,
    ExpressionError,
)
from headrace.workflow.expressions.scope import EVERYWHERE, Local
from headrace.workflow.expressions.syntax import References, check_tree, parse_expression

OPEN, CLOSE, STATEMENT = "{{", "}}", "{%"
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled text. `parts` are plain texts and expressions, in order; `single` is the tree when the text
    is exactly one expression (white space around it aside); `parsing` is what `parsing_of` says."""

    parts: tuple[str | nodes.Expr, ...]
    references: References
    single: nodes.Expr | None
    parsing: int


def has_expression(text: str) -> bool:
    """Whether `text` has to be compiled; otherwise it stands for itself."""
    return OPEN in text or STATEMENT in text


def compile_template(text: str, local: Local = EVERYWHERE) -> Template:
    """The template that `text` spells, with the names of `local` too. Raises `ExpressionError`."""
    template, faults = inspect_template(text, local)
    if template is None:
        raise faults[0]
    return template


def inspect_template(text: str, local: Local = EVERYWHERE) -> tuple[Template | None, list[ExpressionError]]:
    """The template, or None and everything that is wrong with it."""
    faults: list[ExpressionError] = []
    references = References()
    parts: list[str | nodes.Expr] = []
    try:
        pieces = split(text)
    except ExpressionError as error:
        return None, [error]
    for is_expression, piece in pieces:
        if not is_expression:
            parts.append(piece)
            continue
        try:
            tree = parse_expression(piece)
        except ExpressionError as error:
            faults.append(error)
            continue
        found, wrong = check_tree(tree, local)
        faults.extend(wrong)
        references |= found
        parts.append(tree)
    if faults:
        return None, faults
    solid = [part for part in parts if not isinstance(part, str) or part.strip()]
    single = solid[0] if len(solid) == 1 and isinstance(solid[0], nodes.Expr) else None
    return Template(tuple(parts), references, single, _parsing(pieces)), []


def parsing_of(text: str) -> int:
    """What it takes to parse the expressions of `text`: about their tokens, and `PARSING` for each of them."""
    try:
        return _parsing(split(text))
    except ExpressionError:
        return PARSING


def _parsing(pieces: list[tuple[bool, str]]) -> int:
    return sum(
        PARSING + min(MAX_TOKENS, len(_WORD.findall(piece)))
        for is_expression, piece in pieces
        if is_expression
    )


def split(text: str) -> list[tuple[bool, str]]:
    """`text` as pieces, each with whether it is an expression. Quotes and brackets inside are minded."""
    if len(text) > MAX_TEMPLATE_LENGTH:
        raise ExpressionError(f"a text with expressions may have {MAX_TEMPLATE_LENGTH} characters at most")
    if "\0" in text:
        raise ExpressionError("a text holds a NUL", "Take it away.")
    pieces: list[tuple[bool, str]] = []
    start = expressions = 0
    while (begin := text.find(OPEN, start)) >= 0:
        _check_plain(text[start:begin])
        end = _end_of_expression(text, begin + 2)
        expressions += 1
        if expressions > MAX_EXPRESSIONS:
            raise ExpressionError(f"a text may have {MAX_EXPRESSIONS} expressions at most")
        source = text[begin + 2 : end]
        if (source.startswith("-") and source[1:2].isspace()) or source.endswith("-"):
            raise ExpressionError("`{{-` and `-}}` are not known", "Write `{{` and `}}`.")
        pieces += [(False, text[start:begin]), (True, source)]
        start = end + 2
    _check_plain(text[start:])
    pieces.append((False, text[start:]))
    return [(is_expression, piece) for is_expression, piece in pieces if is_expression or piece]


def _check_plain(text: str) -> None:
    if STATEMENT in text:
        mend = "Write `{{ '{%' }}` if these characters are meant."
        raise ExpressionError("there are no statements here, only `{{ }}`", mend)


def _end_of_expression(text: str, start: int) -> int:
    depth = 0
    quote = ""
    position = start
    while position < len(text):
        character = text[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character == "}" and depth == 0 and text.startswith(CLOSE, position):
            return position
        elif character in ")]}":
            depth = max(0, depth - 1)
        position += 1
    raise ExpressionError("an expression does not end", "Close it with `}}`; check its quotes and brackets.")
