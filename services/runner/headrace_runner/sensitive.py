"""What a run knows to be sensitive: sealed in what it stores, hidden in what it shows, plain to the run itself."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias
from uuid import UUID

from headrace.json_types import Json
from headrace.redaction import MARKER, MIN_LENGTH, Redactor
from headrace.sealed_outputs import OutputPlace, OutputUnreadable, marker_of, open_value, seal_value
from headrace.workflow.schema_survey import escape
from headrace.workflow.sensitive import Leaf, leaves_of

# Values that are looked for within texts; further ones are known as whole values only.
MOST_SEARCHED = 100

_Known: TypeAlias = "tuple[str, Json]"


class Sensitive:
    """The sensitive values of one run. Without a key its version marks nothing, and everything passes as it is.

    A value that was learnt is found again wherever the run puts it: as a value of its own, of whatever length, and
    from eight characters on within texts, in the encodings that `Redactor` knows (the first `MOST_SEARCHED` of
    them). True, false and null are known by the name of their field. One marker stands in an output for one value, or
    for an object whose names would tell one.
    """

    def __init__(self, tenant_id: UUID, run_id: UUID, key: bytes | None = None) -> None:
        self._tenant_id, self._run_id, self._key = tenant_id, run_id, key
        self._values: set[_Known] = set()
        self._fields: set[tuple[str | None, Json]] = set()
        self._redactor = Redactor()
        self._searched: set[str] = set()
        self._merged: tuple[Redactor, Redactor] | None = None

    def learn(self, leaves: Iterable[Leaf]) -> None:
        """Keep these values secret from here on."""
        if self._key is None:
            return
        before = len(self._searched)
        for name, value in leaves:
            if value is None or isinstance(value, bool):
                self._fields.add((name, value))
            elif value != "":
                self._values.add(_known(value))
                if len(text := str(value)) >= MIN_LENGTH and len(self._searched) < MOST_SEARCHED:
                    self._searched.add(text)
        if len(self._searched) > before:
            self._redactor, self._merged = Redactor(self._searched), None

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
        return self._hidden(value, None)

    def sealed(self, row: str, output: Json) -> Json:
        """The output of `row` as it is stored."""
        return output if self._key is None else self._sealed(self._key, row, output, None, "")

    @property
    def _knows_any(self) -> bool:
        return bool(self._values or self._fields)

    def _is_sensitive(self, value: Json, name: str | None) -> bool:
        """Of a leaf."""
        if value is None or isinstance(value, bool):
            return (name, value) in self._fields
        if _known(value) in self._values:
            return True
        text = str(value)
        return self._redactor.text(text) != text

    def _hidden(self, value: Json, name: str | None) -> Json:
        match value:
            case dict():
                shown: dict[str, Json] = {}
                for key, part in value.items():
                    label = self._redactor.text(key)
                    while label in shown:
                        label = f"{label}{len(shown)}"
                    shown[label] = self._hidden(part, key)
                return shown
            case list():
                return [self._hidden(part, name) for part in value]
            case _:
                return MARKER if self._is_sensitive(value, name) else value

    def _sealed(self, key: bytes, row: str, value: Json, name: str | None, pointer: str) -> Json:
        match value:
            case dict():
                # A marker that the target or the tenant has written is sealed as a whole: none of theirs is opened.
                if marker_of(value) is None and not any(
                    self._redactor.text(field) != field for field in value
                ):
                    return {
                        field: self._sealed(key, row, part, field, f"{pointer}/{escape(field)}")
                        for field, part in value.items()
                    }
            case list():
                return [
                    self._sealed(key, row, part, name, f"{pointer}/{index}")
                    for index, part in enumerate(value)
                ]
            case _:
                if not self._is_sensitive(value, name):
                    return value
        return seal_value(key, OutputPlace(self._tenant_id, self._run_id, row, pointer), value)


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
    """Texts and numbers alike: a number that is rendered into a text is the same secret."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return ("value", str(value))
