"""docs/reference/roles.md has the table that the services ask."""

import re
from pathlib import Path

from headrace_control.auth.permissions import ALLOWED, PLATFORM_ONLY, Permission
from headrace_control.auth.roles import Role

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "roles.md"


def test_the_page_shows_the_table() -> None:
    (header, _, *rows) = re.findall(r"^\|.*\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert _cells(header) == ["permission", "allows", *Role]
    shown = {_cells(row)[0].strip("`"): _cells(row)[2:] for row in rows}
    assert list(shown) == [*Permission]
    assert shown == {one: [_cell(one, role) for role in Role] for one in Permission}


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def _cell(permission: Permission, role: Role) -> str:
    if role not in ALLOWED[permission]:
        return ""
    return "platform" if permission in PLATFORM_ONLY else "yes"
