"""Operations on designs, and small designs to begin with."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.integration.control_plane.conftest import Client

FAILURE = (
    "__typename ... on Failure { code message } ... on InvalidInput { problems { path message mend code } }"
)

CREATE_APP = (
    "mutation($input: AppInput!) { createApp(input: $input) {"
    f" ... on App {{ id name baseUrl auth retry }} {FAILURE} }} }}"
)
UPDATE_APP = (
    "mutation($name: String!, $input: AppChanges!) { updateApp(name: $name, input: $input) {"
    f" ... on App {{ title baseUrl auth retry }} {FAILURE} }} }}"
)
DELETE_APP = (
    f"mutation($name: String!) {{ deleteApp(name: $name) {{ ... on Deleted {{ name }} {FAILURE} }} }}"
)
SAVE_ACTION = (
    "mutation($app: String!, $name: String!, $definition: JSON!) {"
    " saveAction(app: $app, name: $name, definition: $definition) {"
    f" ... on SavedAction {{ created action {{ id latest {{ id revision digest definition }} }} }} {FAILURE} }} }}"
)
CREATE_CONNECTION = (
    "mutation($input: ConnectionInput!) { createConnection(input: $input) {"
    f" ... on Connection {{ id name config secretFields }} {FAILURE} }} }}"
)
UPDATE_CONNECTION = (
    "mutation($name: String!, $input: ConnectionChanges!) { updateConnection(name: $name, input: $input) {"
    f" ... on Connection {{ baseUrl config tokenVersion }} {FAILURE} }} }}"
)
ROTATE = (
    "mutation($name: String!, $secrets: JSON!) { rotateConnectionSecret(name: $name, secrets: $secrets) {"
    f" ... on Connection {{ secretFields tokenVersion tokenError }} {FAILURE} }} }}"
)
DELETE_CONNECTION = (
    f"mutation($name: String!) {{ deleteConnection(name: $name) {{ ... on Deleted {{ name }} {FAILURE} }} }}"
)
TEST_CONNECTION = (
    "mutation($name: String!, $method: String!, $path: String!) {"
    " testConnection(name: $name, method: $method, path: $path) {"
    f" ... on ConnectionTest {{ ok status errorCode message address }} {FAILURE} }} }}"
)
SET_SECRET = (
    "mutation($name: String!, $value: String!) { setSecret(name: $name, value: $value) {"
    f" ... on Secret {{ id name }} {FAILURE} }} }}"
)
SET_SECRET_FOR = (
    "mutation($name: String!, $value: String!, $apps: [String!]) {"
    " setSecret(name: $name, value: $value, apps: $apps) {"
    f" ... on Secret {{ name apps }} {FAILURE} }} }}"
)
DELETE_SECRET = (
    f"mutation($name: String!) {{ deleteSecret(name: $name) {{ ... on Deleted {{ name }} {FAILURE} }} }}"
)

API_KEY = {"kind": "API_KEY", "in": "header", "name": "X-Api-Key"}
ACTION = {"method": "GET", "endpointTemplate": "/orders/{order}", "approvalClass": "A"}


async def create_app(client: "Client", name: str = "shop", **changes: Any) -> Any:
    given = {"name": name, "baseUrl": "https://shop.example", "auth": API_KEY, **changes}
    return (await client(CREATE_APP, input=given))["createApp"]


async def save_action(client: "Client", definition: Any, app: str = "shop", name: str = "get-order") -> Any:
    return (await client(SAVE_ACTION, app=app, name=name, definition=definition))["saveAction"]


async def create_connection(
    client: "Client", name: str = "shop-main", app: str = "shop", **given: Any
) -> Any:
    given = {"secrets": {"apiKey": "canary-5f2a9c"}, **given}
    return (await client(CREATE_CONNECTION, input={"app": app, "name": name, **given}))["createConnection"]
