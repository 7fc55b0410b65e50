"""What KEDA asks the broker, by the rendered ScaledObject's own metadata, and how many runners come of the answer.

The rule is KEDA's (https://keda.sh/docs/2.21/scalers/rabbitmq-queue/): over AMQP a passive declaration, which counts
ready messages; over HTTP the management API's count, which has those in hand, too. A count above `activationValue` (0)
makes the scaler active; then the HPA wants count / value, rounded up (an AverageValue), within the bounds.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aio_pika
import helm_chart
import httpx
import pytest
from headrace.bus.open import open_bus
from headrace.bus.port import JOBS, Bus, Delivery, Outgoing
from servers import local, missing

DEFINITIONS = Path(__file__).parents[2] / "deploy" / "compose" / "rabbitmq-definitions.json"
IN_HAND = 7


@dataclass(frozen=True)
class Broker:
    """The address of each user, as in the Secrets of the chart; `scaler` over AMQP, `scaler-http` over HTTP."""

    urls: dict[str, str]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    rabbitmq = local("rabbitmq")
    if not rabbitmq.program():
        missing("no rabbitmq server: python deploy/local install rabbitmq")
    folder = tmp_path_factory.mktemp("rabbitmq")
    definitions = json.loads(DEFINITIONS.read_text())
    for user in definitions["users"]:
        user["password"] = "secret"
    definitions["users"].append({"name": "scaler", "password": "secret", "tags": ["monitoring"]})
    nothing = {"configure": "^$", "write": "^$", "read": "^$"}
    definitions["permissions"].append({"user": "scaler", "vhost": "/", **nothing})
    (folder / "definitions.json").write_text(json.dumps(definitions))
    management = local("child").spare_port()
    with rabbitmq.running(data=folder / "data", management_port=management) as url:
        rabbitmq.control(folder / "data", "import_definitions", str(folder / "definitions.json"))
        place = url.partition("@")[2]
        urls = {user: f"amqp://{user}:secret@{place}" for user in ("control-plane", "runner", "scaler")}
        yield Broker({**urls, "scaler-http": f"http://scaler:secret@127.0.0.1:{management}/%2F"})


@pytest.fixture
async def bus(broker: Broker) -> AsyncIterator[Bus]:
    """With its queues, which the control plane makes."""
    opened = await open_bus(broker.urls["control-plane"], partitions=1)
    yield opened
    await opened.close()


async def _count(trigger: dict[str, Any], url: str) -> int:
    """KEDA's question."""
    metadata = trigger["metadata"]
    assert (trigger["type"], metadata["mode"]) == ("rabbitmq", "QueueLength")
    if metadata["protocol"] == "amqp":
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(metadata["queueName"], passive=True)
            return queue.declaration_result.message_count or 0
    address = httpx.URL(url)
    async with httpx.AsyncClient(trust_env=False) as http:
        path = f"/api/queues/{address.raw_path.decode().strip('/')}/{quote(metadata['queueName'])}"
        answer = await http.get(address.copy_with(raw_path=path.encode()))
    # Figures of a queue that was made a moment ago are not there yet.
    return int(answer.raise_for_status().json().get("messages", -1))


def _replicas(scaled: dict[str, Any], trigger: dict[str, Any], count: int) -> int:
    """KEDA's rule, and the HPA's."""
    bounds = scaled["minReplicaCount"], scaled["maxReplicaCount"]
    if count <= float(trigger["metadata"].get("activationValue", 0)):
        return int(bounds[0])
    wanted = math.ceil(count / float(trigger["metadata"]["value"]))
    return int(min(max(wanted, bounds[0], 1), bounds[1]))


@pytest.mark.rabbitmq
@pytest.mark.parametrize(
    ("name", "user", "in_hand_counts"),
    [("keda", "scaler", False), ("keda by the management api", "scaler-http", True)],
)
async def test_a_queue_wakes_as_many_runners_as_it_needs(
    name: str, user: str, in_hand_counts: bool, broker: Broker, bus: Bus
) -> None:
    (scaled,) = helm_chart.objects(name, "ScaledObject")
    trigger = scaled["spec"]["triggers"][0]

    async def runners(jobs: int) -> int:
        """What the rule says once the broker's answer is `jobs`; statistics over HTTP come a second late."""
        async with asyncio.timeout(40):
            while (count := await _count(trigger, broker.urls[user])) != jobs:
                await asyncio.sleep(0.1)
        return _replicas(scaled["spec"], trigger, count)

    assert trigger["metadata"]["value"] == "20"
    assert await runners(0) == 0
    await bus.publish([Outgoing(JOBS, b"job")])
    assert await runners(1) == 1
    await bus.publish([Outgoing(JOBS, b"job")] * 49)
    assert await runners(50) == 3

    held: set[int] = set()
    all_held, done = asyncio.Event(), asyncio.Event()

    async def hold(_: Delivery) -> None:
        held.add(len(held))
        if len(held) == IN_HAND:
            all_held.set()
        await done.wait()

    runner = await open_bus(broker.urls["runner"], partitions=1)
    consumption = await runner.consume(JOBS, hold, IN_HAND)
    await all_held.wait()
    assert await runners(50 if in_hand_counts else 50 - IN_HAND) == 3
    await bus.publish([Outgoing(JOBS, b"job")] * 400)
    assert await runners(450 if in_hand_counts else 450 - IN_HAND) == 20  # of 23 no more than the maximum

    done.set()
    assert await runners(0) == 0
    await consumption.close(5)
    await runner.close()
