"""Reads an operator's egress policy file."""

from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from headrace.errors import InvalidInput, Problem
from headrace.outbound.policy import EgressPolicy, Opening

_MEND = "write a network (10.0.0.0/8), an address or a host name, with :port or without"


def load_policy(path: str | Path | None) -> EgressPolicy:
    """The policy in a YAML or JSON file: `{allow: [...], tenants: {<tenant id>: {allow: [...]}}}`.

    None gives the policy that opens nothing. Raises `InvalidInput` with every problem found.
    """
    if path is None:
        return EgressPolicy()
    try:
        data = yaml.safe_load(Path(path).read_text("utf-8"))
    except OSError as error:
        raise _invalid("", f"the egress policy file can not be read ({type(error).__name__})") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise _invalid("", "the egress policy file is neither YAML nor JSON") from None
    problems: list[Problem] = []
    root = _mapping(data, "", {"allow", "tenants"}, problems)
    allow = _openings(root.get("allow"), "allow", problems)
    tenants: dict[str, tuple[Opening, ...]] = {}
    for key, value in _mapping(root.get("tenants"), "tenants", None, problems).items():
        where = f"tenants.{key}"
        try:
            tenant = str(UUID(str(key)))
        except ValueError:
            problems.append(Problem(where, "not a tenant id", "write the tenant's UUID"))
            continue
        entry = _mapping(value, where, {"allow"}, problems)
        tenants[tenant] = _openings(entry.get("allow"), f"{where}.allow", problems)
    if problems:
        raise InvalidInput(problems)
    return EgressPolicy(allow, tenants)


def _mapping(value: Any, where: str, known: set[str] | None, problems: list[Problem]) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        problems.append(Problem(where, "not a mapping", "write keys and values"))
        return {}
    for key in value if known is not None else ():
        if key not in (known or ()):
            place = f"{where}.{key}" if where else str(key)
            problems.append(Problem(place, "unknown key", f"known here: {', '.join(sorted(known or ()))}"))
    return value


def _openings(value: Any, where: str, problems: list[Problem]) -> tuple[Opening, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        problems.append(Problem(where, "not a list", _MEND))
        return ()
    openings = []
    for index, entry in enumerate(value):
        try:
            openings.append(Opening.parse(entry if isinstance(entry, str) else ""))
        except ValueError as error:
            problems.append(Problem(f"{where}[{index}]", str(error), _MEND))
    return tuple(openings)


def _invalid(path: str, message: str) -> InvalidInput:
    return InvalidInput([Problem(path, message, "see the reference page on calls")])
