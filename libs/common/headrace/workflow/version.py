"""A published version as JSON: what the control plane stores and what a claim hands to a runner."""

from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json, JsonMapping, JsonObject
from headrace.workflow.actions import dump_action, parse_action
from headrace.workflow.definition import PinnedAction, PinnedChild, Version
from headrace.workflow.dump import dump_document
from headrace.workflow.json_rules import digest_of
from headrace.workflow.parse import parse_document
from headrace.workflow.retry import dump_retry, load_retry


def dump_version(version: Version) -> JsonObject:
    """The version as JSON data that `load_version` reads back as an equal version."""
    data: JsonObject = {
        "id": version.id,
        "digest": version.digest,
        "document": dump_document(version.document),
        "actions": {ref: _dump_pinned(pinned) for ref, pinned in version.actions.items()},
        "connections": dict(version.connections),
    }
    if version.children:  # left out when there are none: digests of versions from before stay what they are
        data["children"] = {key: _dump_child(child) for key, child in version.children.items()}
    return data


def load_version(data: JsonMapping) -> Version:
    """The version that `data` holds. Raises `InvalidInput`, also for a wrong digest."""
    try:
        version = Version(
            id=_text(data["id"]),
            digest=_text(data["digest"]),
            document=parse_document(data["document"]),
            actions={ref: _load_pinned(pinned) for ref, pinned in _object(data["actions"]).items()},
            connections={name: _text(found) for name, found in _object(data["connections"]).items()},
            children={key: _load_child(child) for key, child in _object(data.get("children", {})).items()},
        )
    except (KeyError, TypeError) as error:
        raise _broken("this is no version document") from error
    if version.digest != digest(data):
        raise _broken("the version's digest is not that of its content")
    return version


def digest(data: JsonMapping) -> str:
    """SHA-256, in hexadecimal, of the canonical JSON of a version document without its `id` and `digest`."""
    return digest_of({name: value for name, value in data.items() if name not in ("id", "digest")})


def _dump_pinned(pinned: PinnedAction) -> Json:
    data: JsonObject = {
        "revisionId": pinned.revision_id,
        "revision": pinned.revision,
        "baseUrl": pinned.base_url,
        "app": pinned.definition.app,
        "definition": dump_action(pinned.definition),
    }
    if pinned.retry is not None:
        data["retry"] = dump_retry(pinned.retry)
    return data


def _load_pinned(data: Json) -> PinnedAction:
    pinned = _object(data)
    revision = pinned["revision"]
    if not isinstance(revision, int):
        raise TypeError
    return PinnedAction(
        revision_id=_text(pinned["revisionId"]),
        revision=revision,
        base_url=_text(pinned["baseUrl"]),
        definition=parse_action(pinned["definition"], _text(pinned["app"])),
        retry=load_retry(pinned.get("retry")),
    )


def _dump_child(child: PinnedChild) -> Json:
    data: JsonObject = {"versionId": child.version_id, "version": child.version}
    return data if child.parameters is None else data | {"parameters": child.parameters}


def _load_child(data: Json) -> PinnedChild:
    pinned = _object(data)
    number, parameters = pinned["version"], pinned.get("parameters")
    if not isinstance(number, int):
        raise TypeError
    return PinnedChild(
        _text(pinned["versionId"]), number, None if parameters is None else _object(parameters)
    )


def _object(data: Json) -> JsonObject:
    if not isinstance(data, dict):
        raise TypeError
    return data


def _text(data: Json) -> str:
    if not isinstance(data, str):
        raise TypeError
    return data


def _broken(message: str) -> InvalidInput:
    return InvalidInput([Problem("", message, "Publish the workflow again.", "BAD_VERSION")])
