"""The settings of telemetry, which are OpenTelemetry's own: the field's collectors and operators set them."""

from urllib.parse import urlsplit

from pydantic import field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class TelemetrySettings(BaseSettings):
    """`exporter_otlp_endpoint`: where spans go by OTLP over HTTP, without the path `/v1/traces`; none: no traces."""

    model_config = SettingsConfigDict(env_prefix="OTEL_", extra="ignore", hide_input_in_errors=True)

    exporter_otlp_endpoint: str | None = None

    @field_validator("exporter_otlp_endpoint")
    @classmethod
    def _endpoint(cls, endpoint: str | None) -> str | None:
        if not endpoint:  # W3C's and OpenTelemetry's rule: empty is not set
            return None
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("give an http or https address, such as http://collector:4318")
        return endpoint.rstrip("/")
