"""The runner's settings, read once from HEADRACE_* by `main`."""

from datetime import timedelta
from pathlib import Path

from headrace.pools import DEFAULT_POOL, POOL_NAME
from headrace.tls_files import TlsFiles
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class RunnerSettings(BaseSettings):
    """`capacity` is how many runs this process carries at once, `connections_per_tenant` how many connections to
    targets it has open for one tenant. `control_plane_url` is the internal API's.

    Over https its certificate is checked against `control_plane_ca_file`, or else the system's authorities; the client
    certificate and key (PEM) are what this runner shows. `runner_token` enrols it. It advances runs of
    its `pool` alone.

    A run that is held for `time_slice_minutes` parks at its next step boundary, due at once: a broker takes a
    delivery back that is held for too long. A process in which one run is tried alone can have
    `suspect_memory_mb` (MiB).
    """

    model_config = SettingsConfigDict(env_prefix="HEADRACE_", extra="ignore", hide_input_in_errors=True)

    bus_url: str
    control_plane_url: str = "http://127.0.0.1:8081"
    control_plane_ca_file: Path | None = None
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None
    runner_token: SecretStr
    bus_namespace: str = ""
    pool: str = Field(default=DEFAULT_POOL, pattern=f"^{POOL_NAME}$")
    partitions: int = Field(default=4, ge=1, le=256)
    capacity: int = Field(default=200, ge=1, le=5000)
    connections_per_tenant: int = Field(default=512, ge=1, le=10_000)
    egress_policy_file: Path | None = None
    drain_seconds: float = Field(default=20, ge=0)
    time_slice_minutes: float = Field(default=15, gt=0, le=25)
    park_retries_after_seconds: float = Field(default=5, ge=0)
    suspect_memory_mb: int = Field(default=384, ge=192)
    health_host: str = "127.0.0.1"
    health_port: int | None = None
    log_level: str = "INFO"

    @property
    def tls_files(self) -> TlsFiles:
        """Of connections to the control plane."""
        return TlsFiles(self.client_certificate_file, self.client_key_file, self.control_plane_ca_file)

    @property
    def time_slice(self) -> timedelta:
        return timedelta(minutes=self.time_slice_minutes)
