"""Tidying a RabbitMQ that many tests share."""

import aio_pika
from headrace.bus.names import Names

PARTITIONS = 2


async def delete_queues(url: str, names: Names) -> None:
    """Remove every queue of a namespace, and the mark whose they were."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for queue in names.queues():
            await channel.queue_delete(names.outside(queue))
        await channel.exchange_delete(names.mark)
