"""What the checks look at: a document, what its tenant has, and its graph if it has one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.workflow.definition import ActionDefinition, PinnedChild
from headrace.workflow.document import Document, Step
from headrace.workflow.grammar import BUILT_IN_TYPES
from headrace.workflow.graph import Graph
from headrace.workflow.paths import at_index
from headrace.workflow.reading import Reading


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a document may refer to.

    `actions` by `app/action`; `connections` maps a name to its app; `secrets` are names; `step_types` are all
    that the runners know, plug-ins included. `workflows` maps a name to its published versions by number, the newest
    that is not held back always among them; without any it is there for suggestions. `roles` are those that may stand
    in an approval; empty, any may. `secret_apps` has the apps that a secret of that name may be sent to, unless
    it may be to any.
    """

    actions: Mapping[str, ActionDefinition] = field(default_factory=dict)
    connections: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()
    step_types: frozenset[str] = BUILT_IN_TYPES
    workflows: Mapping[str, Mapping[int, PinnedChild]] = field(default_factory=dict)
    roles: frozenset[str] = frozenset()
    secret_apps: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """One validation. `graph` is None when the edges make none; `reading` gathers the problems."""

    document: Document
    catalog: Catalog
    graph: Graph | None
    steps: Mapping[str, Step]
    reading: Reading

    def place(self, index: int) -> str:
        """The path of the step at `index`."""
        return at_index("steps", index)
