"""What a measured run does, and what there has to be of it afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Work:
    """A workflow and its app, of one name. `actions` are the app's, each a POST of its name.

    Of one run, afterwards: so many `calls` have come to the target; there are so many `attempts` (a transform makes
    one, too; as many as calls, if it is not said); `steps` counts its step rows by status. The target takes `delay_ms`
    over a call and answers about `answer_bytes`.
    """

    name: str
    steps_of_document: Sequence[Mapping[str, Any]]
    actions: Sequence[str]
    calls: int
    steps: Mapping[str, int]
    attempts: int | None = None
    edges: Sequence[Mapping[str, Any]] = ()
    result: Any = None
    delay_ms: int = 0
    answer_bytes: int = 0
    given: Mapping[str, Any] = field(default_factory=lambda: {"n": 1})

    @property
    def base(self) -> str:
        """The path before an action's, by which the target knows what to do."""
        return f"/{self.delay_ms}/{self.answer_bytes}"

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = {"workflow": self.name, "steps": list(self.steps_of_document)}
        if self.edges:
            document["edges"] = list(self.edges)
        if self.result is not None:
            document["result"] = self.result
        return document


def chain3(name: str = "chain3", delay_ms: int = 0, answer_bytes: int = 0) -> Work:
    """Three calls one after another, the second with the first's output, the third with the second's."""

    def step(key: str, n: str) -> Mapping[str, Any]:
        return {"key": key, "action": f"{name}/{key}", "input": {"n": n}}

    return Work(
        name,
        [
            step("one", "{{ input.n }}"),
            step("two", "{{ steps.one.output.body.n }}"),
            step("three", "{{ steps.two.output.body.n }}"),
        ],
        ("one", "two", "three"),
        calls=3,
        steps={"SUCCESS": 3},
        result={"n": "{{ steps.three.output.body.n }}"},
        delay_ms=delay_ms,
        answer_bytes=answer_bytes,
    )
