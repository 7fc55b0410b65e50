"""The commands are found by their names, and each starts without what the others need."""

import subprocess
import sys

import headrace_control.audit.record
import headrace_control.connections.model
import pytest
from headrace_cli.audit.command import AuditOutcome
from headrace_cli.commands import MODULES, made_by
from headrace_cli.connections import ConnectionStatus

LIBRARIES = ("pymongo", "aio_pika", "aiohttp", "pydantic", "jinja2", "uvicorn", "fastapi")


@pytest.mark.parametrize("module", sorted(set(MODULES.values())))
def test_a_module_makes_the_commands_under_its_name(module: str) -> None:
    assert set(made_by(module)) == {name for name, made_in in MODULES.items() if made_in == module}


def loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_the_command_line_itself_loads_no_command() -> None:
    modules = loaded("import headrace_cli.main")
    assert not modules & {f"headrace_cli.{module}" for module in MODULES.values()}


def test_the_supervisor_of_a_deployment_starts_without_the_libraries_of_its_services() -> None:
    assert not loaded("from headrace_cli.commands import made_by; made_by('dev.command')") & set(LIBRARIES)


def test_words_that_are_declared_again_for_a_quick_start_are_the_control_plane_s() -> None:
    assert [*ConnectionStatus] == [*headrace_control.connections.model.ConnectionStatus]
    assert [*AuditOutcome] == [*headrace_control.audit.record.AuditOutcome]


@pytest.mark.parametrize("service", ["headrace_control", "headrace_runner", "headrace_reporter"])
def test_a_service_loads_the_adapters_that_it_is_set_to_alone(service: str) -> None:
    assert not loaded(f"import {service}.main") & {"pymongo", "aio_pika", "opentelemetry.sdk"}
