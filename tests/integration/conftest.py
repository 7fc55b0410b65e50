"""Fixtures of more than one suite here."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from headrace.postgres.pool import API, AUDIT, open_pool, use_json
from headrace_control.audit.sealer import Sealer
from prometheus_client import CollectorRegistry

from tests.integration.sealing import Audit


@pytest.fixture
async def audit(database: str) -> AsyncIterator[Audit]:
    api, pool = await open_pool(database, API, max_size=20), await open_pool(database, AUDIT, max_size=4)
    admin = await asyncpg.connect(database)
    await use_json(admin)
    yield Audit(api, Sealer(pool, CollectorRegistry()), Sealer(pool, CollectorRegistry()), admin)
    await admin.close()
    await pool.close()
    await api.close()
