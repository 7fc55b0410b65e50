"""The templates that come with the command: their documents, what these say of themselves, and the apps that they call.

A template is a folder of workflow documents, one of which has its name; the apps lie beside them, a file for each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from headrace.errors import InvalidInput, Problem
from headrace.workflow.document import Document
from headrace.workflow.names import closest
from headrace.workflow.parse import parse_document
from headrace.workflow.text import read_document_text
from headrace.workflow.uses import actions_used, app_of

_APPS = "apps"


@dataclass(frozen=True, slots=True)
class Template:
    """`documents` are texts by file name, that of the template's own name first; `apps` likewise, by name."""

    name: str
    about: str
    documents: Mapping[str, str]
    apps: Mapping[str, str]

    @property
    def parsed(self) -> Sequence[Document]:
        return [parse_document(read_document_text(text)) for text in self.documents.values()]

    @property
    def files(self) -> Mapping[str, str]:
        """What is written to start from it, by path."""
        return {
            **{f"{_APPS}/{app}.yaml": text for app, text in self.apps.items()},
            **{f"workflows/{name}": text for name, text in self.documents.items()},
        }


def templates() -> list[Template]:
    """All of them, by name."""
    return [template(name) for name in _names()]


def template(name: str) -> Template:
    """Raises `InvalidInput` for a name that none has."""
    if name not in _names():
        message = f"there is no template `{name}`"
        raise InvalidInput([Problem("TEMPLATE", message, closest(name, _names()))])
    folder = _folder() / name
    texts = {
        one.name: one.read_text(encoding="utf-8") for one in folder.iterdir() if one.name.endswith(".yaml")
    }
    own = f"{name}.yaml"
    documents = {own: texts[own], **{other: texts[other] for other in sorted(texts.keys() - {own})}}
    used = {
        app_of(ref)
        for text in documents.values()
        for ref in actions_used(parse_document(read_document_text(text)))
    }
    apps = {app: (_folder() / _APPS / f"{app}.yaml").read_text(encoding="utf-8") for app in sorted(used)}
    return Template(name, _about(texts[own]), documents, apps)


def _names() -> list[str]:
    return sorted(one.name for one in _folder().iterdir() if one.is_dir() and one.name != _APPS)


def _folder() -> Traversable:
    return files("headrace_cli.templates") / "documents"


def _about(text: str) -> str:
    """The comment at the top of a document, as one paragraph."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines)
