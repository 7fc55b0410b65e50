"""JSON Schemas of Kubernetes' objects, a file for each kind, named as kubeconform looks for them; unknown fields are
refused wherever a schema names the fields there are."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_REF = "#/definitions/"
# What of a schema says something about values; the rest is words and hints for other programs.
_KEPT = (
    "$ref",
    "type",
    "enum",
    "required",
    "pattern",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minLength",
)
# Texts in OpenAPI that may be numbers on the wire.
_NUMBER_TOO = "io.k8s.apimachinery.pkg.api.resource.Quantity"


def of_openapi(document: Path, folder: Path) -> None:
    """Of Kubernetes' OpenAPI document (version 2): each kind that has a group and a version of its own."""
    definitions: dict[str, Any] = json.loads(document.read_bytes())["definitions"]
    strict = {name: _strict(schema) for name, schema in definitions.items()}
    strict[_NUMBER_TOO] = {"type": ["string", "number"]}
    for name, schema in definitions.items():
        for kind in schema.get("x-kubernetes-group-version-kind", ()):
            if kind["kind"].endswith(("List", "Options", "Event")):
                continue
            whole = {**strict[name], "definitions": {used: strict[used] for used in _closure(name, strict)}}
            _write(folder, kind["group"], kind["version"], kind["kind"], whole)


def of_crd(definition: Path, folder: Path) -> None:
    """Of a CustomResourceDefinition: each version that it serves."""
    import yaml  # the rest of deploy/local runs on a Python that has nothing installed, such as root's

    spec = yaml.safe_load(definition.read_text(encoding="utf-8"))["spec"]
    for version in spec["versions"]:
        schema = _strict(version["schema"]["openAPIV3Schema"])
        _write(folder, spec["group"], version["name"], spec["names"]["kind"], schema)


def _write(folder: Path, group: str, version: str, kind: str, schema: Mapping[str, Any]) -> None:
    parts = [kind.lower(), *([group.split(".")[0]] if group else []), version]
    (folder / ("-".join(parts) + ".json")).write_text(json.dumps(schema))


def _strict(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return {"type": ["string", "integer"]}
    made = {key: schema[key] for key in schema if key in _KEPT}
    for key in ("items", "additionalProperties"):
        if key in schema:
            made[key] = _strict(schema[key])
    if "properties" in schema:
        made["properties"] = {name: _strict(each) for name, each in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    return made


def _closure(name: str, definitions: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for used in _refs(definitions[waiting.pop()]):
            if used not in found:
                found.add(used)
                waiting.append(used)
    return found


def _refs(schema: Any) -> Iterator[str]:
    match schema:
        case {"$ref": str(target)}:
            yield target.removeprefix(_REF)
        case dict():
            for value in schema.values():
                yield from _refs(value)
        case list():
            for value in schema:
                yield from _refs(value)
