"""The reporter's settings, read once from HEADRACE_* by `main`."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ReporterSettings(BaseSettings):
    """`partitions` is fixed for a deployment's life. `bus_namespace` shares a broker among deployments."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_", extra="ignore", hide_input_in_errors=True)

    database_url: str
    bus_url: str
    log_store_url: str
    bus_namespace: str = ""
    partitions: int = Field(default=4, ge=1, le=256)
    log_retention_days: float = Field(default=30, gt=0)
    log_consumers: int = Field(default=4, ge=1)
    drain_seconds: float = Field(default=10, ge=0)
    log_level: str = "INFO"
    health_host: str = "127.0.0.1"
    health_port: int | None = None

    @property
    def log_retention(self) -> timedelta:
        return timedelta(days=self.log_retention_days)
