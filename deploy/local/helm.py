"""Helm and kubeconform as one Go program (deploy/local/chart), and the schemas that it checks Kubernetes' objects by.

The schemas are made of what the Go module proxy has: the OpenAPI document in the module `k8s.io/kubernetes` of the
oldest release that the chart is for and of a new one, and the CRDs in the module of KEDA.
"""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import child
import kubernetes_schemas

_HERE = Path(__file__).resolve().parent
_SOURCE = _HERE / "chart"
_CACHE = _HERE / ".cache"

# Versions that objects are checked against, with the sums that Go's checksum database has of their modules.
KUBERNETES = {
    "v1.30.14": "h1:MrlKXh9uhLIJpyxOeXhcndzRVSvwiV9iJ8NgH8nqPsg=",
    "v1.36.3": "h1:qDQdoMiluAE2Eab6Fa52YV+WjiGz9mZFFoagEA6cI+o=",
}
KEDA = ("github.com/kedacore/keda/v2", "v2.21.0", "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=")


def program() -> Path | None:
    """What `install` built from the sources as they are now, with its schemas."""
    return _built() if all(each.exists() for each in (_built(), *map(schemas, KUBERNETES))) else None


def schemas(version: str) -> Path:
    """The folder with the schemas of that version of Kubernetes and of KEDA; it is there when `program` is."""
    made_of = hashlib.sha256(
        json.dumps([KUBERNETES[version], KEDA]).encode() + Path(kubernetes_schemas.__file__).read_bytes()
    )
    return _CACHE / f"schemas-{version}-{made_of.hexdigest()[:16]}"


def install() -> None:
    """Build the program and make the schemas, with the Go on the PATH: 90 s on two cores, 60 MB to fetch.

    What is fetched is checked against go.sum and the sums above. `SystemExit` says what is missing.
    """
    if program():
        return
    go = shutil.which("go")
    if go is None:
        raise SystemExit("Helm: go is not on the PATH; install Go 1.26 or newer")
    _CACHE.mkdir(exist_ok=True)
    for version in KUBERNETES:
        _make_schemas(go, version)
    if _built().exists():
        return
    unfinished = _CACHE / f"chart-{os.getpid()}.part"
    try:
        subprocess.run([go, "build", "-trimpath", "-o", str(unfinished), "."], cwd=_SOURCE, check=True)
        unfinished.replace(_built())
    finally:
        unfinished.unlink(missing_ok=True)


def ask(question: dict[str, Any]) -> dict[str, Any]:
    """What the program answers to `question`; both are described in its source."""
    answered = subprocess.run(
        [str(_built())], input=json.dumps(question), check=True, capture_output=True, text=True
    )
    answer: dict[str, Any] = json.loads(answered.stdout)
    return answer


def _built() -> Path:
    """Named by what it is built from, so that a change is built anew."""
    sources = b"\0".join((_SOURCE / name).read_bytes() for name in ("main.go", "go.mod", "go.sum"))
    return _CACHE / f"chart-{hashlib.sha256(sources).hexdigest()[:16]}"


def _make_schemas(go: str, version: str) -> None:
    folder = schemas(version)
    if folder.exists():
        return
    unfinished = folder.with_name(f"{folder.name}-{os.getpid()}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        kubernetes = _module(go, "k8s.io/kubernetes", version, KUBERNETES[version])
        kubernetes_schemas.of_openapi(kubernetes / "api" / "openapi-spec" / "swagger.json", unfinished)
        for definition in (_module(go, *KEDA) / "config" / "crd" / "bases").glob("keda.sh_*.yaml"):
            kubernetes_schemas.of_crd(definition, unfinished)
        child.keep(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _module(go: str, name: str, version: str, expected: str) -> Path:
    """Where Go keeps the module's files. `SystemExit` if they can not be had, or are others than before."""
    answered = subprocess.run(
        [go, "mod", "download", "-json", f"{name}@{version}"], check=False, capture_output=True, text=True
    )
    module = json.loads(answered.stdout or "{}")
    if answered.returncode != 0:
        why = module.get("Error") or answered.stderr.strip()
        raise SystemExit(f"Helm: {name} {version} can not be fetched: {why}")
    if module["Sum"] != expected:
        raise SystemExit(f"Helm: {name} {version} is not what it was: {module['Sum']}, not {expected}")
    return Path(module["Dir"])
