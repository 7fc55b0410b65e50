"""The message schemas in contracts/messages."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

FOLDER = Path(__file__).parents[2] / "contracts" / "messages"
FILES = {path.name: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
REGISTRY: Registry[Any] = Registry().with_resources(
    (name, Resource.from_contents(schema, default_specification=DRAFT202012))
    for name, schema in FILES.items()
)


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(FILES[name], registry=REGISTRY, format_checker=FormatChecker())
