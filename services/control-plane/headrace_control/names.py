"""The one rule for names that people give; documents name things by the same rule."""

from headrace.errors import InvalidInput, Problem
from headrace.workflow.names import NAME, NameRule


def name_problems(name: str, path: str = "name", rule: NameRule = NAME) -> list[Problem]:
    """What is wrong with a name: nothing, or one problem."""
    return [] if rule.allows(name) else [Problem(path, f"this is no {rule.what}", rule.words, "BAD_NAME")]


def check_name(name: str, path: str = "name", rule: NameRule = NAME) -> None:
    """Raises `InvalidInput` when `name` is no name."""
    if problems := name_problems(name, path, rule):
        raise InvalidInput(problems)
