"""Which migrations would hold up, or break, the services of the release before: what the lint refuses, and why.

Locks and what breaks clients are squawk's to know (https://squawkhq.com). It does not judge statements that work
through a whole table, and does not read blocks of PL/pgSQL; these are told by their first words. A line

    -- squawk-ignore <rule>        before a statement, for what squawk finds
    -- looked-at <why>             before a statement, for what this finds

lets one statement pass that somebody has looked at.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.postgres.migrations import Migration, Phase

SQUAWK = Path(sys.executable).parent / "squawk"
POSTGRES = "15"

# Of taste, and of what the migrator itself does: it sets lock_timeout and tries again, and a script that may take long
# may take long.
_NOT_ASKED = (
    "prefer-bigint-over-int",
    "prefer-bigint-over-smallint",
    "prefer-identity",
    "prefer-robust-stmts",
    "prefer-text-field",
    "prefer-timestamp-tz",
    "require-timeout-settings",
    "require-lock-timeout",
    "require-statement-timeout",
)
# What the release before may still use, or would write and be refused.
_OF_EXPAND = (
    "ban-drop-view",
    "ban-drop-function",
    "ban-drop-type",
    "ban-drop-schema",
    "ban-drop-sequence",
    "ban-drop-domain",
    "ban-drop-index",
    "ban-drop-extension",
    "ban-drop-policy",
    "ban-drop-trigger",
    "ban-revoke",
    "ban-set-schema",
    "ban-alter-policy-condition",
    "ban-alter-policy-roles",
    "ban-new-write-restriction",
)
# Both names have to be there for a while.
_NEITHER = ("renaming-object",)
# What a contract is there for, as what is above.
_OF_CONTRACT = ("ban-drop-column", "ban-drop-table", "ban-drop-not-null")

_WHOLE = {
    "UPDATE": "works through a whole table in one transaction: let services fill rows as they come by, or in lots",
    "DELETE": "works through a whole table in one transaction: let upkeep do it in lots",
    "TRUNCATE": "takes a lock that nobody passes, and the rows",
    "LOCK": "holds up services for as long as the migration lasts",
    "CLUSTER": "writes the table anew behind a lock that nobody passes",
    "VACUUM": "belongs to whoever operates Postgres",
    "REINDEX": "belongs to whoever operates Postgres",
    "DO": "can not be looked into by the lint",
    "SET": "would undo how the migrator waits for locks",
}
_TOKENS = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|(\$\w*\$).*?\1|;", re.DOTALL)
_ALREADY = re.compile(r"-- looked-at .{10,}")


@dataclass(frozen=True, slots=True)
class Refused:
    name: str
    line: int
    rule: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}:{self.line}: {self.rule}: {self.why}"


def lint(migration: Migration, folder: Path) -> list[Refused]:
    """What is refused of a migration, in the order of its lines; `folder` is where it lies while squawk reads it."""
    return sorted(
        [*_by_squawk(migration, folder), *_by_first_word(migration)], key=lambda refused: refused.line
    )


def _by_squawk(migration: Migration, folder: Path) -> Iterator[Refused]:
    file = folder / migration.name
    file.write_text(migration.text, encoding="utf-8")
    included, excluded = (_NEITHER, (*_NOT_ASKED, *_OF_CONTRACT, *_OF_EXPAND))
    if migration.phase is Phase.EXPAND:
        included, excluded = ((*_NEITHER, *_OF_EXPAND), _NOT_ASKED)
    arguments = [
        str(SQUAWK),
        "--reporter=json",
        f"--pg-version={POSTGRES}",
        *(["--assume-in-transaction"] if migration.in_transaction else []),
        *(f"--exclude={rule}" for rule in excluded),
        *(f"--include={rule}" for rule in included),
        str(file),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    for found in json.loads(done.stdout):
        # A new column with a default and a CHECK: what the release before does not know, it does not write.
        if not found["message"].startswith("A new column constraint"):
            yield Refused(migration.name, found["line"] + 1, found["rule_name"], found["message"])


def _by_first_word(migration: Migration) -> Iterator[Refused]:
    for line, said, statement in _statements(migration.text):
        word = statement.split(None, 1)[0].upper()
        if word in _WHOLE and not any(_ALREADY.match(comment) for comment in said):
            yield Refused(migration.name, line, word, _WHOLE[word])


def _statements(text: str) -> Iterator[tuple[int, Sequence[str], str]]:
    """Each statement with its line and the comments before it; strings and bodies of functions are left out."""
    plain, said, line, at = "", list[str](), 1, 0
    for token in (*_TOKENS.finditer(text), None):
        until = token.start() if token else len(text)
        if not plain.strip():
            line = text.count("\n", 0, at + len(text[at:until]) - len(text[at:until].lstrip())) + 1
            plain = ""
        plain += text[at:until]
        at = token.end() if token else until
        if token is None or token[0] == ";":
            if plain.strip():
                yield line, said, plain.strip()
            plain, said = "", []
        elif token[0].startswith("--"):
            said.append(token[0])
