"""Reads what files declare: YAML documents of kind App, Action, PolicyRule, Connection, Secret, Workflow,
Schedule, Webhook and Hook.

A document without `kind` that has `workflow` and `steps` is a Workflow, so that a plain workflow document,
which any JSON Schema tool can check, is a file that can be applied. `${NAME}` in an App, a Connection or a
Secret stands for an environment variable, and `{file: path}` for a file's content, so that no secret has to
stand in YAML.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json, JsonObject
from headrace.workflow.json_rules import check_json
from headrace.workflow.text import read_document_text


class Kind(StrEnum):
    """In the order in which they are applied: each may name those before it."""

    APP = "App"
    ACTION = "Action"
    POLICY_RULE = "PolicyRule"
    CONNECTION = "Connection"
    SECRET = "Secret"  # noqa: S105 - a kind of document
    WORKFLOW = "Workflow"
    SCHEDULE = "Schedule"
    WEBHOOK = "Webhook"
    HOOK = "Hook"


@dataclass(frozen=True, slots=True)
class Declared:
    """One document. `name` is how people call it (an action's is `app/action`, a rule's that or `app/*`), `place` where
    it was read.

    `source` is the text of a document that is a workflow and nothing else, comments included.
    """

    kind: Kind
    name: str
    fields: JsonObject
    place: str
    source: str | None = None


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WITH_VARIABLES = frozenset({Kind.APP, Kind.CONNECTION, Kind.SECRET})
# What starts workflows, which have to be there.
_STARTING = frozenset({Kind.SCHEDULE, Kind.WEBHOOK})
_NAMED_BY = {Kind.WORKFLOW: "`workflow`", Kind.ACTION: "`app` and `name`", Kind.POLICY_RULE: "`app`"}
# UTF-8. Some editors begin a file with a byte order mark, which is no part of what it says.
_ENCODING = "utf-8-sig"
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


def read(
    paths: Sequence[Path],
    environment: Mapping[str, str],
    check: Callable[[Declared], Sequence[Problem]] = lambda _: (),
) -> list[Declared]:
    """Every document under `paths` (folders are walked), in the order to apply.

    Raises `InvalidInput` with every problem found, those that `check` finds in a document among them.
    """
    reader = _Reader(environment)
    for path in paths:
        reader.read(path)
    if not reader.found and not reader.problems:
        reader.problems.append(
            Problem(str(paths[0]), "nothing to apply", "name a YAML file or a folder of them")
        )
    problems = [*reader.problems, *(problem for one in reader.found for problem in check(one))]
    if problems:
        raise InvalidInput(problems)
    order = list(Kind)
    return _children_first(sorted(reader.found, key=lambda d: order.index(d.kind)))


def children_of(declared: Declared) -> set[str]:
    """The workflows that a declared one runs as steps, as far as it can be read."""
    steps = declared.fields.get("steps") if declared.kind is Kind.WORKFLOW else None
    named = (
        [step.get("workflow") for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    )
    names = [child.get("name") if isinstance(child, dict) else child for child in named]
    return {name for name in names if isinstance(name, str)}


def _children_first(declared: Sequence[Declared]) -> list[Declared]:
    """In the same order, but for workflows that others run: what is pinned has to be there. Of workflows that run
    each other, the one that was reached first comes last."""
    workflows = {one.name: one for one in declared if one.kind is Kind.WORKFLOW}
    ordered: dict[str, Declared] = {}
    seen: set[str] = set()
    for first in workflows:
        waiting = [(first, False)]
        while waiting:
            name, is_ready = waiting.pop()
            if is_ready:
                ordered[name] = workflows[name]
            elif name not in seen:
                seen.add(name)
                waiting.append((name, True))
                waiting += [
                    (child, False) for child in sorted(children_of(workflows[name]) & workflows.keys())
                ]
    others = [one for one in declared if one.kind is not Kind.WORKFLOW]
    behind = [one for one in others if one.kind in _STARTING]
    return [one for one in others if one.kind not in _STARTING] + [*ordered.values()] + behind


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self.found: list[Declared] = []
        self.problems: list[Problem] = []
        self._environment = environment
        self._places: dict[tuple[Kind, str], str] = {}

    def read(self, path: Path) -> None:
        if path.is_dir():
            for file in sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml")):
                if not any(part.startswith(".") for part in file.relative_to(path).parts):
                    self._file(file)
        elif path.suffix not in _SUFFIXES:
            self._problem(
                str(path), "not a YAML or JSON file", "name a .yaml, .yml or .json file, or a folder"
            )
        else:
            self._file(path)

    def _file(self, file: Path) -> None:
        try:
            text = file.read_text(encoding=_ENCODING)
            parts = list(_split(text))
        except OSError as error:
            self._problem(str(file), f"can not be read ({type(error).__name__})", "check the name")
            return
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            at = f" (line {mark.line + 1})" if mark else ""
            self._problem(str(file), f"not YAML{at}", "mend its syntax")
            return
        for index, part in enumerate(parts):
            place = str(file) if len(parts) == 1 else f"{file}[{index}]"
            try:
                document = read_document_text(part)
            except InvalidInput as error:
                self._problem(place, error.problems[0].message, error.problems[0].mend)
                continue
            if document is not None:
                self._document(document, part, place, file.parent)

    def _document(self, document: Json, text: str, place: str, folder: Path) -> None:
        if not isinstance(document, dict):
            self._problem(place, "not a mapping", "begin it with `kind:`")
            return
        if wrong := check_json(document):
            for problem in wrong:
                self._problem(f"{place}: {problem.path}", problem.message, problem.mend)
            return
        kind = self._kind(document, place)
        if kind is None:
            return
        fields = {key: value for key, value in document.items() if key != "kind"}
        name = _name(kind, fields)
        if name is None:
            self._problem(place, f"this {kind} has no name", f"add {_NAMED_BY.get(kind, '`name`')}")
            return
        if first := self._places.get((kind, name)):
            self._problem(place, f"{kind} {name} is declared twice", f"it is in {first} too; remove one")
            return
        self._places[kind, name] = place
        if kind in _WITH_VARIABLES:
            fields = {key: self._put_in(value, f"{place}.{key}", folder) for key, value in fields.items()}
        source = text.strip().removeprefix("---").lstrip() if "kind" not in document else None
        self.found.append(Declared(kind, name, fields, place, source))

    def _kind(self, document: Mapping[str, Any], place: str) -> Kind | None:
        written = document.get("kind")
        if written is None and "workflow" in document and "steps" in document:
            return Kind.WORKFLOW
        try:
            return Kind(str(written))
        except ValueError:
            self._problem(f"{place}.kind", "no such kind", f"one of {', '.join(Kind)}")
            return None

    def _put_in(self, value: Json, place: str, folder: Path) -> Json:
        """`value` with variables and the content of files in their places."""
        match value:
            case {"file": str(name), **others} if not others:
                return self._content(folder / name, place)
            case dict():
                return {key: self._put_in(inner, f"{place}.{key}", folder) for key, inner in value.items()}
            case list():
                return [self._put_in(inner, f"{place}[{i}]", folder) for i, inner in enumerate(value)]
            case str():
                return _VARIABLE.sub(lambda match: self._variable(match[1], place), value)
            case _:
                return value

    def _variable(self, name: str, place: str) -> str:
        value = self._environment.get(name)
        if value is None:
            self._problem(place, f"the environment has no {name}", f"export {name}=...")
            return ""
        try:
            value.encode()
        except UnicodeEncodeError:
            self._problem(place, f"{name} is not UTF-8", "write it in UTF-8")
        return value

    def _content(self, file: Path, place: str) -> str:
        try:
            return file.read_text(encoding=_ENCODING).removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            self._problem(place, f"the file can not be read ({type(error).__name__})", f"check {file}")
            return ""

    def _problem(self, path: str, message: str, mend: str) -> None:
        self.problems.append(Problem(path, message, mend))


def _split(text: str) -> Iterator[str]:
    """The documents of a YAML stream, each after as many empty lines as stand before it, so that lines count.

    JSON is one document: YAML does not read all of it (RFC 8259 writes an emoji as two escapes, section 7).
    """
    if _is_json(text):
        yield text
        return
    start = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.DocumentEndEvent):
            mark: Any = event.end_mark
            yield "\n" * text.count("\n", 0, start) + text[start : mark.index]
            start = mark.index


def _is_json(text: str) -> bool:
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except RecursionError:
        return True  # and too deep, as its reader says
    except ValueError:
        return False
    return True


def _name(kind: Kind, fields: Mapping[str, Any]) -> str | None:
    match kind:
        case Kind.WORKFLOW:
            parts = [fields.get("workflow")]
        case Kind.ACTION:
            parts = [fields.get("app"), fields.get("name")]
        case Kind.POLICY_RULE:
            # Without an action it is for all of the app's.
            parts = [fields.get("app"), fields.get("action", "*")]
        case _:
            parts = [fields.get("name")]
    texts = [part for part in parts if isinstance(part, str) and part]
    return "/".join(texts) if len(texts) == len(parts) else None
