"""`headrace migrate` and `headrace bootstrap` against a real, empty database."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from headrace_cli.main import app
from typer.testing import CliRunner


@pytest.fixture
def empty(postgres: str) -> Iterator[str]:
    """The DSN of a database with nothing in it."""
    name = f"empty_{uuid.uuid4().hex[:12]}"

    async def execute(statement: str) -> None:
        connection = await asyncpg.connect(postgres)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(execute(f'CREATE DATABASE "{name}"'))
    yield urlunsplit(urlsplit(postgres)._replace(path=f"/{name}"))
    asyncio.run(execute(f'DROP DATABASE "{name}" WITH (FORCE)'))


def headrace(*arguments: str, database: str) -> Any:
    return CliRunner().invoke(app, arguments, env={"HEADRACE_DATABASE_URL": database})


def test_migrate_brings_an_empty_database_up_to_date_once(empty: str) -> None:
    first = headrace("migrate", "--json", database=empty)
    assert first.exit_code == 0, first.stderr
    assert "0001_core.sql" in json.loads(first.stdout)["applied"]
    again = headrace("migrate", "--json", database=empty)
    assert json.loads(again.stdout) == {"applied": []}


def test_bootstrap_gives_a_key_once_and_another_when_asked(empty: str) -> None:
    assert headrace("migrate", database=empty).exit_code == 0
    made = headrace("bootstrap", "--tenant", "house", "--json", database=empty)
    assert made.exit_code == 0, made.stderr
    assert json.loads(made.stdout)["tenant"]["name"] == "house"
    refused = headrace("bootstrap", "--json", database=empty)
    assert (refused.exit_code, json.loads(refused.stdout)["error"]["code"]) == (2, "CONFLICT")
    more = headrace("bootstrap", "--new-key", "--json", database=empty)
    keys = {json.loads(done.stdout)["apiKey"] for done in (made, more)}
    assert len(keys) == 2


def test_a_person_gets_the_key_alone_on_a_line(empty: str) -> None:
    assert headrace("migrate", database=empty).exit_code == 0
    done = headrace("bootstrap", database=empty)
    assert " " not in done.stdout.splitlines()[-1]


def test_a_database_that_is_away_is_said_so() -> None:
    for command in ("migrate", "bootstrap"):
        done = headrace(command, "--json", database="postgresql://nobody@127.0.0.1:1/none")
        assert (done.exit_code, json.loads(done.stdout)["error"]["code"]) == (4, "DATABASE_UNAVAILABLE")
