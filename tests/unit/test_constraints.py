"""constraints.txt holds on every Python that the README names, not on the one alone that runs this."""

import re
from importlib.metadata import distributions
from itertools import product
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_PINNED = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines()]


def _pins(python: str) -> dict[str, list[str]]:
    pins: dict[str, list[str]] = {}
    for pin in _PINNED:
        versions = pins.setdefault(canonicalize_name(pin.name), [])
        if _applies(pin, python):
            versions.append(str(pin.specifier).removeprefix("=="))
    return pins


def _applies(requirement: Requirement, python: str) -> bool:
    there = {"python_version": python, "python_full_version": f"{python}.1", "extra": ""}
    return requirement.marker is None or requirement.marker.evaluate(there)


@pytest.mark.parametrize("python", PYTHONS)
def test_each_distribution_has_one_pin(python: str) -> None:
    assert {name: versions for name, versions in _pins(python).items() if len(versions) != 1} == {}


@pytest.mark.parametrize("python", PYTHONS)
def test_the_pins_are_what_distributions_ask_for(python: str) -> None:
    """As far as the distributions installed here tell: one that is installed elsewhere alone is not asked."""
    pins = _pins(python)
    asked = [
        (installed.name, requirement)
        for installed in distributions()
        for requirement in map(Requirement, installed.requires or ())
        if _applies(requirement, python)
    ]
    refused = [
        f"{name} asks for {requirement}, not {pin}"
        for name, requirement in asked
        for pin in pins.get(canonicalize_name(requirement.name), ())
        if not requirement.specifier.contains(pin, prereleases=True)
    ]
    assert refused == []


def test_each_pin_runs_on_every_python() -> None:
    refused = [
        f"{installed.name} {installed.version}: {runs_on}"
        for installed, python in product(distributions(), PYTHONS)
        if installed.version in _pins(python).get(canonicalize_name(installed.name), ())
        and (runs_on := installed.metadata.get("Requires-Python"))
        and not SpecifierSet(runs_on).contains(f"{python}.1")
    ]
    assert refused == []


def test_the_pythons_are_those_of_the_readme() -> None:
    tried = re.search(r"tried on Python (3\.\d+) to (3\.\d+)", (ROOT / "README.md").read_text())
    assert tried is not None
    assert tried.groups() == (PYTHONS[0], PYTHONS[-1])
