"""The control plane's settings, read once from HEADRACE_* by `main`."""

import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Self

from headrace.pools import POOL_NAME
from headrace.tls_files import TlsFiles
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from headrace_control.expiry.expire import Kept
from headrace_control.login.algorithms import ALGORITHMS
from headrace_control.login.discovery import is_provider_url
from headrace_control.login.model import OidcClient
from headrace_control.web.policy import HttpSettings

MIN_RUNNER_TOKEN = 16


class KeyProviderName(StrEnum):
    """Who wraps data keys: a key given to the process, or a key management service."""

    OWN = "own"
    KMS = "kms"


class AwsSettings(BaseSettings):
    """What the KMS is asked with, from AWS_* as its own tools read them; read only where a KMS is set."""

    model_config = SettingsConfigDict(env_prefix="AWS_", extra="ignore", hide_input_in_errors=True)

    access_key_id: str = Field(min_length=1)
    secret_access_key: SecretStr = Field(min_length=1)
    session_token: SecretStr | None = None
    region: str | None = Field(default=None, pattern=r"^[a-z0-9-]+$")


class ControlPlaneSettings(HttpSettings):
    """Every setting is an environment variable: HEADRACE_DATABASE_URL for `database_url`, and so on.

    `key_file` or `key` holds the key that wraps the tenants' data keys: 32 bytes, in base64 or hexadecimal. With
    `kms_key_id` a KMS does, at `kms_endpoint`, else at AWS's for `kms_region`; keys of both kinds unwrap then, and
    `key_provider` says which one wraps (the KMS's, if not said). `public_url` is where the outside reaches the
    public API, for the addresses that are given to external systems; if there is none, this machine's loopback.
    `partitions` is fixed for a deployment's life. `relay_window` is how many jobs stand ready in the broker at
    most. `bus_namespace` shares a broker among deployments. Without an `operator_port` there are neither metrics
    nor figures for scalers. Times are in seconds unless named otherwise. `runner_token` is what runners enrol with,
    for sessions of `runner_session_seconds`; for a runner pool among `pool_tokens` the token there, in its place.
    The `internal_tls` files (PEM) serve the internal API over TLS; with a client authority given, runners have to
    show a certificate of it.
    """

    model_config = SettingsConfigDict(env_prefix="HEADRACE_", extra="ignore", hide_input_in_errors=True)

    database_url: str
    bus_url: str
    log_store_url: str
    bus_namespace: str = ""
    listen_host: str = "127.0.0.1"
    listen_port: int = Field(default=8080, ge=0, le=65535)
    public_url: str | None = Field(default=None, pattern=r"^https?://[^\s?#]+$")
    internal_host: str = "127.0.0.1"
    internal_port: int = Field(default=8081, ge=0, le=65535)
    operator_host: str = "127.0.0.1"
    operator_port: int | None = Field(default=None, ge=0, le=65535)
    internal_tls_certificate_file: Path | None = None
    internal_tls_key_file: Path | None = None
    internal_tls_client_ca_file: Path | None = None
    runner_token: SecretStr = Field(min_length=MIN_RUNNER_TOKEN)
    pool_tokens: dict[str, SecretStr] | None = None
    runner_session_seconds: float = Field(default=600, ge=10, le=86_400)
    key_file: Path | None = None
    key: SecretStr | None = None
    key_provider: KeyProviderName | None = None
    kms_key_id: str | None = None
    kms_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s?#]+$")
    kms_region: str | None = Field(default=None, pattern=r"^[a-z0-9-]+$")
    egress_policy_file: Path | None = None
    partitions: int = Field(default=4, ge=1, le=256)
    relay_window: int = Field(default=200, ge=1)
    lease_seconds: float = Field(default=10, gt=0)
    unclaimed_after_seconds: float = Field(default=60, gt=0)
    log_retention_days: float = Field(default=30, gt=0)
    audit_retention_days: float | None = Field(default=None, ge=1)
    run_retention_days: float | None = Field(default=None, ge=1)
    start_key_days: float = Field(default=30, ge=1)
    dead_letter_days: float = Field(default=90, ge=1)
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None
    oidc_scopes: str = "openid email profile"
    oidc_algorithms: str = "RS256 PS256 ES256 EdDSA"
    login_redirects: str = ""
    authorization_redirects: str = ""
    session_idle_hours: float = Field(default=24, gt=0)
    session_max_hours: float = Field(default=168, gt=0)
    invitation_hours: float = Field(default=72, gt=0)
    api_key_max_days: float | None = Field(default=None, gt=0)
    token_endpoint_seconds: float = Field(default=10, gt=0, le=30)
    pool_size: int = Field(default=10, ge=2)
    drain_seconds: float = Field(default=10, ge=0)
    log_level: str = "INFO"

    @property
    def public_base(self) -> str:
        return (self.public_url or f"http://127.0.0.1:{self.listen_port}").rstrip("/")

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)

    @property
    def log_retention(self) -> timedelta:
        return timedelta(days=self.log_retention_days)

    @property
    def audit_retention(self) -> timedelta | None:
        """How long the audit's records are kept; None: for good."""
        return None if self.audit_retention_days is None else timedelta(days=self.audit_retention_days)

    @property
    def kept(self) -> Kept:
        """What goes after a time."""
        runs = None if self.run_retention_days is None else timedelta(days=self.run_retention_days)
        return Kept(timedelta(days=self.start_key_days), timedelta(days=self.dead_letter_days), runs)

    @property
    def oidc(self) -> OidcClient | None:
        """How people log in; None: they do not."""
        if self.oidc_issuer is None or self.oidc_client_id is None:
            return None
        return OidcClient(
            self.oidc_issuer,
            self.oidc_client_id,
            self.oidc_client_secret.get_secret_value() if self.oidc_client_secret else "",
            self.oidc_scopes,
            tuple(self.oidc_algorithms.split()),
        )

    @property
    def session_idle(self) -> timedelta:
        return timedelta(hours=self.session_idle_hours)

    @property
    def session_lasts(self) -> timedelta:
        return timedelta(hours=self.session_max_hours)

    @property
    def invitations_last(self) -> timedelta:
        return timedelta(hours=self.invitation_hours)

    @property
    def longest_api_key(self) -> timedelta | None:
        return timedelta(days=self.api_key_max_days) if self.api_key_max_days else None

    @property
    def internal_tls_files(self) -> TlsFiles:
        return TlsFiles(
            self.internal_tls_certificate_file, self.internal_tls_key_file, self.internal_tls_client_ca_file
        )

    @field_validator("pool_tokens")
    @classmethod
    def _pool_tokens(cls, tokens: dict[str, SecretStr] | None) -> dict[str, SecretStr] | None:
        for pool, token in (tokens or {}).items():
            if re.fullmatch(POOL_NAME, pool) is None or len(token.get_secret_value()) < MIN_RUNNER_TOKEN:
                raise ValueError(
                    'give a JSON object of pools and tokens, such as {"eu": "16 characters or more"}'
                )
        return tokens

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, issuer: str | None) -> str | None:
        if issuer is not None and (not is_provider_url(issuer) or set(issuer) & set("?# ")):
            raise ValueError("give the issuer's https address, as it stands in its configuration")
        return issuer

    @field_validator("oidc_algorithms")
    @classmethod
    def _algorithms(cls, algorithms: str) -> str:
        if not algorithms.split() or not set(algorithms.split()) <= set(ALGORITHMS):
            raise ValueError(f"give some of {' '.join(ALGORITHMS)}, with spaces between")
        return algorithms

    @field_validator("oidc_scopes")
    @classmethod
    def _scopes(cls, scopes: str) -> str:
        if "openid" not in scopes.split():
            raise ValueError("openid is one of the scopes")
        return scopes

    @model_validator(mode="after")
    def _whole_oidc(self) -> Self:
        if (self.oidc_issuer is None) != (self.oidc_client_id is None):
            raise ValueError("set both of HEADRACE_OIDC_ISSUER and HEADRACE_OIDC_CLIENT_ID, or none")
        if self.oidc_issuer is not None and not is_provider_url(self.public_base):
            raise ValueError("to log in, HEADRACE_PUBLIC_URL has to be https")
        return self

    @model_validator(mode="after")
    def _whole_tls(self) -> Self:
        files = (self.internal_tls_certificate_file, self.internal_tls_key_file)
        if (files[0] is None) != (files[1] is None) or (self.internal_tls_client_ca_file and not files[0]):
            raise ValueError(
                "set HEADRACE_INTERNAL_TLS_CERTIFICATE_FILE and HEADRACE_INTERNAL_TLS_KEY_FILE together"
            )
        return self

    @model_validator(mode="after")
    def _a_key(self) -> Self:
        own = (self.key_file is not None) + (self.key is not None)
        if own > 1 or (not own and self.kms_key_id is None):
            raise ValueError("set one of HEADRACE_KEY_FILE and HEADRACE_KEY, or HEADRACE_KMS_KEY_ID")
        if self.key_provider is KeyProviderName.OWN and not own:
            raise ValueError("HEADRACE_KEY_PROVIDER own needs HEADRACE_KEY_FILE or HEADRACE_KEY")
        if self.key_provider is KeyProviderName.KMS and self.kms_key_id is None:
            raise ValueError("HEADRACE_KEY_PROVIDER kms needs HEADRACE_KMS_KEY_ID")
        return self
