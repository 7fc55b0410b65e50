"""The control plane's figures, as `GET /scaling` tells them."""

import httpx
from headrace.errors import Unavailable
from headrace.pools import DEFAULT_POOL
from pydantic import BaseModel, ConfigDict, ValidationError

TIMEOUT_SECONDS = 5.0


class Figures(BaseModel):
    """As much of the answer as is followed or shown."""

    model_config = ConfigDict(frozen=True)

    load: int
    backlog: int
    oldest_seconds: float
    runs_in_flight: int
    held: int
    capacity: int


class _Scaling(BaseModel):
    """By runner pool; a control plane of the release before knows none."""

    pools: dict[str, Figures] | None = None


class SignalsClient:
    """Asks the operators' port at `url` about a runner pool. Use it as an async context."""

    def __init__(self, url: str, pool: str = DEFAULT_POOL) -> None:
        self._pool = pool
        self._http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False)

    async def __aenter__(self) -> "SignalsClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def read(self) -> Figures:
        """Raises `Unavailable` when there is no answer, or one that says nothing; what is said stays ours."""
        try:
            answer = await self._http.get("/scaling")
        except httpx.HTTPError as error:
            raise Unavailable(f"the operators' port can not be reached ({type(error).__name__})") from error
        if answer.status_code != httpx.codes.OK:
            raise Unavailable(f"the operators' port answered {answer.status_code}")
        try:
            pools = _Scaling.model_validate_json(answer.content).pools
            if pools is None and self._pool == DEFAULT_POOL:
                return Figures.model_validate_json(answer.content)
        except ValidationError:
            raise Unavailable("the operators' port did not answer with figures") from None
        if (figures := (pools or {}).get(self._pool)) is None:
            raise Unavailable(f"the control plane knows no runner pool {self._pool}")
        return figures
