"""Reading JSON data into values while gathering every problem on the way, each with its path and its mend."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json, JsonObject
from headrace.workflow.json_rules import MAX_PROBLEMS
from headrace.workflow.names import NameRule, closest
from headrace.workflow.paths import at_index, at_name
from headrace.workflow.values import kind_of

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading: the problems found so far."""

    problems: list[Problem] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether nothing more is added: who looks at much may leave it."""
        return len(self.problems) >= MAX_PROBLEMS

    def add(self, path: str, message: str, mend: str, code: str = "INVALID") -> None:
        if not self.full:
            self.problems.append(Problem(path, message, mend, code))

    def closest(self, name: str, known: Iterable[str]) -> str:
        """The mend for an unknown name, which takes its time: not for what is not added any more."""
        return "" if self.full else closest(name, known)

    def finish(self) -> None:
        """Raises `InvalidInput` with everything that was found."""
        if self.problems:
            raise InvalidInput(self.problems)

    def fields(self, value: Json, path: str, known: Sequence[str]) -> "Fields | None":
        """`value` as an object whose names are among `known`; None, with a problem, when it is none."""
        if not isinstance(value, dict):
            mend = f"Write {', '.join(known)} in it." if known else "Leave it out."
            self.add(path, f"an object is needed, not {kind_of(value)}", mend)
            return None
        for name in value:
            if self.full:
                break
            if name not in known:
                mend = self.closest(name, known) if known else "Leave it out."
                self.add(at_name(path, name), "this key is not known", mend, "UNKNOWN_KEY")
        return Fields(self, path, value)


@dataclass(frozen=True, slots=True)
class Fields:
    """An object being read. A name that is not written reads as None."""

    reading: Reading
    path: str
    data: Mapping[str, Json]

    def at(self, name: str) -> str:
        return at_name(self.path, name)

    def has(self, name: str) -> bool:
        return name in self.data

    def wrong(self, name: str, message: str, mend: str, code: str = "INVALID") -> None:
        self.reading.add(self.at(name), message, mend, code)

    def any(self, name: str) -> Json:
        return self.data.get(name)

    def required(self, name: str, mend: str) -> bool:
        """Whether `name` is written; a problem when not."""
        if name in self.data:
            return True
        self.wrong(name, "this key is missing", mend, "MISSING_KEY")
        return False

    def text(self, name: str, most: int) -> str | None:
        """A text of 1 to `most` characters."""
        if name not in self.data:
            return None
        value = self.data[name]
        if not isinstance(value, str) or not 0 < len(value) <= most:
            self.wrong(name, f"a text of 1 to {most} characters is needed", "Put it in quotes if it is one.")
            return None
        return value

    def name(self, name: str, rule: NameRule) -> str | None:
        """A name that `rule` allows."""
        value = self.text(name, 200)
        if value is not None and not rule.allows(value):
            self.wrong(name, f"this is no {rule.what}", rule.words)
            return None
        return value

    def integer(self, name: str, least: int, most: int) -> int | None:
        if name not in self.data:
            return None
        value = self.data[name]
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            quoted = isinstance(value, str) and value.isdecimal()
            mend = "Write it without quotes." if quoted else f"Write one from {least} to {most}."
            self.wrong(name, f"a whole number from {least} to {most} is needed", mend)
            return None
        return value

    def boolean(self, name: str) -> bool | None:
        if name not in self.data:
            return None
        value = self.data[name]
        if not isinstance(value, bool):
            mend = "Write it without quotes." if value in ("true", "false") else "Write true or false."
            self.wrong(name, f"true or false is needed, not {kind_of(value)}", mend)
            return None
        return value

    def choice(self, name: str, kind: type[E]) -> E | None:
        """One of the words of an enumeration."""
        words = [member.value for member in kind]
        value = self.word(name, words)
        return None if value is None else kind(value)

    def word(self, name: str, words: Sequence[str]) -> str | None:
        """One of `words`."""
        if name not in self.data:
            return None
        value = self.data[name]
        if not isinstance(value, str) or value not in words:
            self.wrong(name, "this word is not known here", f"Write one of {', '.join(words)}.")
            return None
        return value

    def choices(self, name: str, kind: type[E]) -> tuple[E, ...] | None:
        """Words of an enumeration, each at most once."""
        if name not in self.data:
            return None
        words = [member.value for member in kind]
        found: list[E] = []
        for path, value in self.elements(name, len(words)):
            if not isinstance(value, str) or value not in words:
                self.reading.add(path, "this word is not known here", f"Write one of {', '.join(words)}.")
            elif kind(value) in found:
                self.reading.add(path, "this word is there twice", "Leave one of the two out.")
            else:
                found.append(kind(value))
        return tuple(found)

    def texts(self, name: str, most: int, longest: int) -> tuple[str, ...]:
        """Texts of 1 to `longest` characters, each at most once; `most` of them."""
        found: list[str] = []
        for path, value in self.elements(name, most):
            if not isinstance(value, str) or not 0 < len(value) <= longest:
                mend = "Put it in quotes if it is one."
                self.reading.add(path, f"a text of 1 to {longest} characters is needed", mend)
            elif value in found:
                self.reading.add(path, "this text is there twice", "Leave one of the two out.")
            else:
                found.append(value)
        return tuple(found)

    def inner(self, name: str, known: Sequence[str]) -> "Fields | None":
        """The object under `name`; None when it is not written, and, with a problem, when it is none."""
        return self.reading.fields(self.data[name], self.at(name), known) if name in self.data else None

    def object(self, name: str) -> JsonObject | None:
        if name not in self.data:
            return None
        value = self.data[name]
        if not isinstance(value, dict):
            self.wrong(name, f"an object is needed, not {kind_of(value)}", "Write names and values in it.")
            return None
        return value

    def object_or_text(self, name: str) -> JsonObject | str | None:
        """An object, or a text that holds an expression for one."""
        value = self.data.get(name)
        if isinstance(value, str) and "{{" in value:
            return value
        return self.object(name)

    def elements(self, name: str, most: int) -> Iterator[tuple[str, Json]]:
        """Each element of a list with its path; nothing, and a problem, when it is none or too long."""
        if name not in self.data:
            return
        value = self.data[name]
        if not isinstance(value, list):
            self.wrong(name, f"a list is needed, not {kind_of(value)}", "Start each element with `- `.")
            return
        if len(value) > most:
            self.wrong(
                name,
                f"there are more than {most} elements",
                "Leave some out, or split the workflow.",
                "TOO_MANY",
            )
            return
        for index, element in enumerate(value):
            yield at_index(self.at(name), index), element
