"""What a run knows to be sensitive: sealed in what it stores, hidden in what it shows, plain to the run itself."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from headrace.json_numbers import number_text
from headrace.json_types import Json
from headrace.redaction import MARKER, MIN_LENGTH, Redactor, texts_of
from headrace.sealed_outputs import OutputPlace, OutputUnreadable, marker_of, open_value, seal_value
from headrace.secret_layers import SearchBudget, TooMuchToSearch
from headrace.workflow.schema_survey import escape
from headrace.workflow.sensitive import Leaf, leaves_of

# Values that are looked for within texts; further ones are known as whole values only.
MOST_SEARCHED = 100
# Parts of one output that are sealed one by one; one with more is sealed as a whole. About 0.1 s.
MOST_SEALED = 10_000

_Known: TypeAlias = "tuple[str, Json]"


class Sensitive:
    """The sensitive values of one run. Without a key its version marks nothing, and everything passes as it is.

    A value that was learnt is found again wherever the run puts it: as a value of its own, of whatever length, and
    from eight characters on within texts, in the encodings that `Redactor` knows (the first `MOST_SEARCHED` of
    them). True, false and null are known by the name of their field. One marker stands in an output for one value, or
    for an object whose names would tell one. What takes more than a `SearchBudget` to look through is hidden as a
    whole, and what has more than `MOST_SEALED` parts to seal is sealed as one.
    """

    def __init__(self, tenant_id: UUID, run_id: UUID, key: bytes | None = None) -> None:
        self._tenant_id, self._run_id, self._key = tenant_id, run_id, key
        self._values: set[_Known] = set()
        self._fields: set[tuple[str | None, Json]] = set()
        self._redactor = Redactor()
        self._searched: set[str] = set()
        self._merged: tuple[Redactor, Redactor] | None = None
        self._last: tuple[Json, Redactor, Container[str]] | None = None

    def learn(self, leaves: Iterable[Leaf]) -> None:
        """Keep these values secret from here on."""
        if self._key is None:
            return
        more: set[str] = set()
        for name, value in leaves:
            if value is None or isinstance(value, bool):
                self._fields.add((name, value))
            elif value != "":
                self._values.add(_known(value))
                if len(text := _text(value)) >= MIN_LENGTH and len(self._searched) < MOST_SEARCHED:
                    more.add(text)
                    self._searched.add(text)
        if more:
            self._redactor, self._merged = self._redactor.with_more(more), None

    @property
    def known(self) -> list[Leaf]:
        """What was learnt, to be learnt by another."""
        return [*((None, value) for _, value in self._values), *self._fields]

    def merged(self, redactor: Redactor) -> Redactor:
        """`redactor`, finding the sensitive texts too: for words that are no JSON."""
        if self._merged is None or self._merged[0] is not redactor:
            self._merged = redactor, redactor.with_more(self._searched)
        return self._merged[1]

    def hidden(self, value: Json) -> Json:
        """`value` for a record that people read. A text that holds a sensitive one is hidden as a whole: once its run
        was resumed it is known as such."""
        if not self._knows_any:
            return value
        try:
            return self._hidden(value, None, self._redactor.replacements(texts_of(value)))
        except TooMuchToSearch:
            return MARKER

    def sealed(self, row: str, output: Json) -> Json:
        """The output of `row` as it is stored."""
        if self._key is None:
            return output
        try:
            at = _Sealing(self._key, row, self._found_in(output), SearchBudget(MOST_SEALED))
            return self._sealed(at, output, None, "")
        except TooMuchToSearch:
            return self._seal(self._key, row, output, "")

    def _found_in(self, output: Json) -> Container[str]:
        """The texts in `output` that hold what is sensitive. An output is asked about several times, one call after
        the other (is there room for it, may it be cached), and searched once for them; and once as it is written."""
        if self._last is None or self._last[0] is not output or self._last[1] is not self._redactor:
            self._last = None
            self._last = output, self._redactor, self._redactor.replacements(texts_of(output))
        return self._last[2]

    @property
    def _knows_any(self) -> bool:
        return bool(self._values or self._fields)

    def _is_sensitive(self, value: Json, name: str | None, found: Container[str]) -> bool:
        """Of a leaf; `found` are the texts that hold what is sensitive."""
        if value is None or isinstance(value, bool):
            return (name, value) in self._fields
        if _known(value) in self._values:
            return True
        return str(value) in found

    def _hidden(self, value: Json, name: str | None, found: Mapping[str, str]) -> Json:
        match value:
            case dict():
                shown: dict[str, Json] = {}
                for key, part in value.items():
                    label = found.get(key, key)
                    while label in shown:
                        label = f"{label}{len(shown)}"
                    shown[label] = self._hidden(part, key, found)
                return shown
            case list():
                return [self._hidden(part, name, found) for part in value]
            case _:
                return MARKER if self._is_sensitive(value, name, found) else value

    def _sealed(self, at: "_Sealing", value: Json, name: str | None, pointer: str) -> Json:
        match value:
            case dict():
                # A marker that the target or the tenant has written is sealed as a whole: none of theirs is opened.
                if marker_of(value) is None and not any(field in at.found for field in value):
                    return {
                        field: self._sealed(at, part, field, f"{pointer}/{escape(field)}")
                        for field, part in value.items()
                    }
            case list():
                return [
                    self._sealed(at, part, name, f"{pointer}/{index}") for index, part in enumerate(value)
                ]
            case _:
                if not self._is_sensitive(value, name, at.found):
                    return value
        at.parts.spend(1)
        return self._seal(at.key, at.row, value, pointer)

    def _seal(self, key: bytes, row: str, value: Json, pointer: str) -> Json:
        return seal_value(key, OutputPlace(self._tenant_id, self._run_id, row, pointer), value)


@dataclass(frozen=True, slots=True)
class _Sealing:
    """Of one output. `found` are the texts in it that hold what is sensitive; `parts`, how many more may be sealed."""

    key: bytes
    row: str
    found: Container[str]
    parts: SearchBudget


def opened(tenant_id: UUID, keys: Mapping[UUID, bytes], row: str, output: Json) -> tuple[Json, list[Leaf]]:
    """An output as it was before it was sealed by one of these runs' keys, and what was sealed in it.

    Raises `OutputUnreadable`.
    """
    if not keys:
        return output, []
    opening = _Opening(tenant_id, keys, row)
    return opening.at(output, None, ""), opening.found


class _Opening:
    """Of one output. No function within another that calls itself: those are cycles, of which a runner would make
    one for each run."""

    def __init__(self, tenant_id: UUID, keys: Mapping[UUID, bytes], row: str) -> None:
        self._tenant_id, self._keys, self._row = tenant_id, keys, row
        self.found: list[Leaf] = []

    def at(self, value: Json, name: str | None, pointer: str) -> Json:
        if (marker := marker_of(value)) is not None:
            plain = self._open(pointer, marker)
            self.found.extend(leaves_of(plain, name))
            return plain
        if isinstance(value, dict):
            return {
                field: self.at(part, field, f"{pointer}/{escape(field)}") for field, part in value.items()
            }
        if isinstance(value, list):
            return [self.at(part, name, f"{pointer}/{index}") for index, part in enumerate(value)]
        return value

    def _open(self, pointer: str, marker: str) -> Json:
        for run_id, key in self._keys.items():
            try:
                return open_value(key, OutputPlace(self._tenant_id, run_id, self._row, pointer), marker)
            except OutputUnreadable:
                continue
        raise OutputUnreadable


def _known(value: Json) -> _Known:
    """Texts and numbers alike: a number that is rendered into a text is the same secret, and so is one that is kept as
    the whole number of its digits."""
    return ("value", _text(value))


def _text(value: Json) -> str:
    """As requests and expressions write it."""
    return number_text(value) if isinstance(value, float) else str(value)
