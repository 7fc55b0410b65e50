"""No migration holds up the services of the release before, or breaks them."""

from pathlib import Path

import pytest
from headrace.errors import InvalidInput
from headrace.postgres.migrations import Phase, read_migration, read_migrations
from headrace.postgres.release import NEEDED, SCHEMA
from migration_lint import lint

MIGRATIONS = read_migrations("headrace_control.migrations")
# Those up to here were written before there was a rule; nobody runs a release from before them any more.
BEFORE_THE_RULE = 45
EXPAND = "-- phase: expand\n"
CONTRACT = "-- phase: contract\n-- needs: 0001\n"


@pytest.mark.parametrize(
    "migration", [m for m in MIGRATIONS if m.number > BEFORE_THE_RULE], ids=lambda m: m.name
)
def test_a_migration_leaves_the_release_before_alone(migration, tmp_path: Path) -> None:
    assert migration.text.startswith("-- phase: "), (
        "its first line says its phase, see docs/guides/upgrades.md"
    )
    assert [str(refused) for refused in lint(migration, tmp_path)] == []


def test_the_release_knows_its_migrations() -> None:
    assert max(m.number for m in MIGRATIONS) == SCHEMA, "headrace.postgres.release.SCHEMA"
    assert max(m.number for m in MIGRATIONS if m.phase is Phase.EXPAND) == NEEDED, (
        "headrace.postgres.release.NEEDED"
    )
    numbers = [m.number for m in MIGRATIONS]
    assert sorted(set(numbers)) == numbers


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("ALTER TABLE runs ALTER COLUMN note SET NOT NULL;", "adding-not-nullable-field"),
        ("ALTER TABLE runs ADD COLUMN note text NOT NULL;", "adding-required-field"),
        (
            "ALTER TABLE runs ADD COLUMN at timestamptz DEFAULT clock_timestamp();",
            "adding-field-with-default",
        ),
        ("ALTER TABLE runs ADD CONSTRAINT short CHECK (length(note) < 9);", "constraint-missing-not-valid"),
        (
            "ALTER TABLE runs ADD CONSTRAINT short CHECK (length(note) < 9) NOT VALID;",
            "ban-new-write-restriction",
        ),
        ("ALTER TABLE runs ADD FOREIGN KEY (a) REFERENCES b (a);", "adding-foreign-key-constraint"),
        ("ALTER TABLE runs ADD UNIQUE (note);", "disallowed-unique-constraint"),
        ("ALTER TABLE runs ALTER COLUMN note TYPE int USING 1;", "changing-column-type"),
        ("ALTER TABLE runs DROP COLUMN note;", "ban-drop-column"),
        ("ALTER TABLE runs RENAME COLUMN note TO notes;", "renaming-column"),
        ("ALTER TABLE runs RENAME TO walks;", "renaming-table"),
        ("DROP TABLE runs;", "ban-drop-table"),
        ("DROP FUNCTION headrace_now();", "ban-drop-function"),
        ("DROP TRIGGER keep ON runs;", "ban-drop-trigger"),
        ("DROP POLICY worker ON runs;", "ban-drop-policy"),
        ("DROP INDEX CONCURRENTLY runs_newest;", "ban-drop-index"),
        ("REVOKE UPDATE ON runs FROM headrace_api;", "ban-revoke"),
        ("CREATE INDEX runs_notes ON runs (note);", "require-concurrent-index-creation"),
        (
            "CREATE INDEX CONCURRENTLY runs_notes ON runs (note);",
            "ban-concurrent-index-creation-in-transaction",
        ),
        ("UPDATE runs SET note = '';", "UPDATE"),
        ("DELETE FROM runs WHERE true;", "DELETE"),
        ("TRUNCATE runs;", "TRUNCATE"),
        ("LOCK TABLE runs;", "LOCK"),
        ("DO $$ BEGIN EXECUTE 'DROP TABLE runs'; END $$;", "DO"),
        ("SET lock_timeout = 0;", "SET"),
    ],
)
def test_what_blocks_or_breaks_is_refused(statement: str, rule: str, tmp_path: Path) -> None:
    migration = read_migration("0099_bad.sql", f"{EXPAND}-- Why.\nSELECT 1;\n{statement}\n")
    refused = lint(migration, tmp_path)
    assert rule in [found.rule for found in refused], refused
    assert {found.line for found in refused} == {4}


@pytest.mark.parametrize(
    "text",
    [
        f"{EXPAND}CREATE TABLE t (a int NOT NULL, UNIQUE (a));\nCREATE INDEX t_a ON t (a);\nGRANT SELECT ON t TO x;",
        f"{EXPAND}ALTER TABLE runs ADD COLUMN note text NOT NULL DEFAULT '' CHECK (length(note) < 9);",
        f"{EXPAND}-- transaction: none\nCREATE INDEX CONCURRENTLY runs_notes ON runs (note);",
        f"{EXPAND}CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ UPDATE runs SET note = ''; DELETE FROM runs $$;",
        f"{EXPAND}-- looked-at sets the search path of new functions alone\nDO $$ BEGIN NULL; END $$;",
        f"{EXPAND}-- squawk-ignore ban-revoke\nREVOKE ALL ON FUNCTION f() FROM PUBLIC;",
        f"{EXPAND}ALTER TABLE runs VALIDATE CONSTRAINT short;",
        f"{CONTRACT}ALTER TABLE runs DROP COLUMN note;\nDROP TABLE notes;\nDROP FUNCTION f();",
    ],
)
def test_what_neither_blocks_nor_breaks_passes(text: str, tmp_path: Path) -> None:
    assert lint(read_migration("0099_good.sql", text), tmp_path) == []


@pytest.mark.parametrize(
    "statement", ["ALTER TABLE runs RENAME COLUMN a TO b;", "CREATE INDEX i ON runs (a);"]
)
def test_a_contract_may_not_do_everything(statement: str, tmp_path: Path) -> None:
    assert lint(read_migration("0099_bad.sql", f"{CONTRACT}{statement}"), tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("99_short.sql", ""),
        ("0099_a.sql", "-- phase: later\n"),
        ("0099_a.sql", "-- phase: contract\n"),
        ("0099_a.sql", "-- phase: expand\n-- needs: 0001\n"),
        ("0099_a.sql", "-- phase: contract\n-- needs: 0099\n"),
        ("0099_a.sql", "-- phase: contract\n-- needs: soon\n"),
        ("0099_a.sql", "-- transaction: some\n"),
    ],
)
def test_a_wrong_head_is_refused(name: str, text: str) -> None:
    with pytest.raises(InvalidInput):
        read_migration(name, text)
