"""How the public face meets strangers, as an operator sets it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class HttpPolicy:
    """Times are in seconds; a rate of 0 is no limit. `documents` are the operator's own queries by their SHA-256;
    `documents_only`: nothing else is run."""

    introspection: bool = False
    origins: Sequence[str] = ()
    hsts_seconds: int = 0
    trusted_proxies: Sequence[Network] = ()
    rate_per_key: float = 1000.0
    rate_per_address: float = 3000.0
    operation_seconds: float = 30.0
    operations: int = 2_000
    sockets: int = 2_000
    operations_on_sockets: int = 4_000
    operations_per_key: int = 200
    socket_idle_seconds: float = 300.0
    documents: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    documents_only: bool = False


class HttpSettings(BaseSettings):
    """The settings of the public face. Lists are separated by commas."""

    introspection: bool = False
    cors_origins: str = ""
    hsts_seconds: int = Field(default=0, ge=0)
    trusted_proxies: str = ""
    rate_per_key: float = Field(default=1000, ge=0)
    rate_per_address: float = Field(default=3000, ge=0)
    rate_per_webhook: float = Field(default=500, ge=0)
    operation_seconds: float = Field(default=30, gt=0, le=600)
    operations: int = Field(default=2000, ge=1)
    sockets: int = Field(default=2000, ge=1)
    socket_operations: int = Field(default=4000, ge=1)
    socket_operations_per_key: int = Field(default=200, ge=1)
    socket_idle_seconds: float = Field(default=300, gt=0)
    persisted_queries_file: Path | None = None
    persisted_queries_only: bool = False

    @field_validator("cors_origins")
    @classmethod
    def _exact_origins(cls, value: str) -> str:
        for origin in _parts(value):
            parts = urlsplit(origin)
            if f"{parts.scheme}://{parts.netloc}" != origin or parts.scheme not in ("http", "https"):
                raise ValueError(
                    "write exact origins, such as https://console.example.com, with commas between"
                )
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        try:
            for network in _parts(value):
                ip_network(network)
        except ValueError:
            raise ValueError("write addresses or networks, such as 10.0.0.0/8, with commas between") from None
        return value

    def http_policy(self, documents: Mapping[str, str]) -> HttpPolicy:
        return HttpPolicy(
            introspection=self.introspection,
            origins=_parts(self.cors_origins),
            hsts_seconds=self.hsts_seconds,
            trusted_proxies=[ip_network(network) for network in _parts(self.trusted_proxies)],
            rate_per_key=self.rate_per_key,
            rate_per_address=self.rate_per_address,
            operation_seconds=self.operation_seconds,
            operations=self.operations,
            sockets=self.sockets,
            operations_on_sockets=self.socket_operations,
            operations_per_key=self.socket_operations_per_key,
            socket_idle_seconds=self.socket_idle_seconds,
            documents=documents,
            documents_only=self.persisted_queries_only,
        )


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]
