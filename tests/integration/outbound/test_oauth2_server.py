"""Tokens from a real authorization server: Authlib's, over HTTP."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from flask import Flask, Response
from headrace.outbound.client import OutboundClient
from headrace.outbound.oauth2 import (
    ClientAuth,
    Grant,
    TokenFailure,
    TokenFailureKind,
    TokenGrant,
    TokenRequest,
    request_token,
)
from werkzeug.serving import make_server

TENANT = "0190a0a0-0000-7000-8000-000000000001"
CLIENT_ID, CLIENT_SECRET = "client-1", "client-secret-1"


class RegisteredClient(ClientMixin):  # type: ignore[misc]
    def get_client_id(self) -> str:
        return CLIENT_ID

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in ("client_secret_basic", "client_secret_post")

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("client_credentials", "refresh_token")

    def get_allowed_scope(self, scope: str) -> str:
        return scope


@dataclass
class IssuedToken(TokenMixin):  # type: ignore[misc]
    scope: str

    def check_client(self, client: RegisteredClient) -> bool:
        return True

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Issuer:
    """`live` holds the refresh tokens that are not spent."""

    url: str = ""
    live: dict[str, IssuedToken] = field(default_factory=dict)

    def app(self) -> Flask:
        issuer = self

        class Refresh(grants.RefreshTokenGrant):  # type: ignore[misc]
            INCLUDE_NEW_REFRESH_TOKEN = True
            TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")

            def authenticate_refresh_token(self, refresh_token: str) -> IssuedToken | None:
                return issuer.live.get(refresh_token)

            def authenticate_user(self, refresh_token: IssuedToken) -> str:
                return "user"

            def revoke_old_credential(self, refresh_token: IssuedToken) -> None:
                issuer.live = {
                    text: token for text, token in issuer.live.items() if token is not refresh_token
                }

        class Credentials(grants.ClientCredentialsGrant):  # type: ignore[misc]
            TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")

        def query_client(client_id: str) -> RegisteredClient | None:
            return RegisteredClient() if client_id == CLIENT_ID else None

        def save_token(token: dict[str, str], request: object) -> None:
            if "refresh_token" in token:
                issuer.live[token["refresh_token"]] = IssuedToken(token.get("scope", ""))

        app = Flask("issuer")
        app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
        server = AuthorizationServer(app, query_client, save_token)
        server.register_grant(Refresh)
        server.register_grant(Credentials)

        @app.post("/token")
        def token() -> Response:
            response: Response = server.create_token_response()
            return response

        return app


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    issuer = Issuer(live={"refresh-0": IssuedToken("read write")})
    server = make_server("127.0.0.1", 0, issuer.app(), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    issuer.url = f"http://127.0.0.1:{server.server_port}/token"
    yield issuer
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.mark.parametrize("how", [ClientAuth.BASIC, ClientAuth.POST])
async def test_client_credentials(client: OutboundClient, issuer: Issuer, how: ClientAuth) -> None:
    request = TokenRequest(issuer.url, Grant.CLIENT_CREDENTIALS, CLIENT_ID, CLIENT_SECRET, how, scope="read")
    outcome = await request_token(client, request, tenant_id=TENANT)
    assert isinstance(outcome, TokenGrant)
    assert len(outcome.access_token) > 20
    assert (outcome.token_type, outcome.scope) == ("Bearer", "read")
    assert outcome.expires_in is not None
    assert outcome.expires_in > 0


async def test_refresh_rotates_and_the_old_one_is_spent(client: OutboundClient, issuer: Issuer) -> None:
    def refresh(text: str) -> TokenRequest:
        return TokenRequest(
            issuer.url, Grant.REFRESH_TOKEN, CLIENT_ID, CLIENT_SECRET, ClientAuth.BASIC, refresh_token=text
        )

    first = await request_token(client, refresh("refresh-0"), tenant_id=TENANT)
    assert isinstance(first, TokenGrant)
    assert first.refresh_token is not None
    second = await request_token(client, refresh(first.refresh_token), tenant_id=TENANT)
    assert isinstance(second, TokenGrant)
    assert second.refresh_token != first.refresh_token
    again = await request_token(client, refresh("refresh-0"), tenant_id=TENANT)
    assert isinstance(again, TokenFailure)
    assert again.kind is TokenFailureKind.INVALID_GRANT


async def test_a_wrong_secret_is_rejected(client: OutboundClient, issuer: Issuer) -> None:
    request = TokenRequest(issuer.url, Grant.CLIENT_CREDENTIALS, CLIENT_ID, "wrong")
    outcome = await request_token(client, request, tenant_id=TENANT)
    assert isinstance(outcome, TokenFailure)
    assert (outcome.kind, outcome.code) == (TokenFailureKind.REJECTED, "invalid_client")
