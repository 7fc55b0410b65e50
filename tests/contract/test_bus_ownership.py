"""Whose the queues of a namespace are: one deployment's, until another one takes them over on purpose."""

import asyncio

import pytest
from bus_inbox import Inbox, numbered, reaches
from fixtures_bus import Place
from headrace.bus.port import JOBS, Bus, Outgoing, events_queue
from headrace.errors import BusUnavailable, ForeignQueues
from headrace.ids import new_id

EVENTS = events_queue(0)
OURS, THEIRS = new_id(), new_id()


async def refused(bus: Bus) -> None:
    """Wait until nothing can be published any more."""
    while True:
        try:
            await bus.publish([Outgoing(JOBS, b"stray")])
        except ForeignQueues:
            return
        except BusUnavailable:  # the connection that was cut
            await asyncio.sleep(0.02)


async def test_the_queues_of_a_namespace_are_one_deployments(place: Place) -> None:
    first = await place.open(deployment=OURS)
    with pytest.raises(ForeignQueues, match="another deployment"):
        await place.open(deployment=THEIRS)
    elsewhere = await place.open(deployment=THEIRS, namespace=f"{place.namespace}other.")
    again, asks_nobody = await place.open(deployment=OURS), await place.open()
    for bus in (first, elsewhere, again, asks_nobody):
        await bus.publish(numbered(JOBS, 1))
        await bus.ping()
    assert (await first.depth(JOBS)).ready == 3


async def test_of_many_at_once_one_gets_them(place: Place) -> None:
    await place.open()
    answers = await asyncio.gather(
        *(place.open(deployment=new_id()) for _ in range(8)), return_exceptions=True
    )
    assert [type(answer) for answer in answers].count(ForeignQueues) == 7


async def test_a_bus_that_learns_whose_it_is_later_can_do_nothing_on_anothers_queues(place: Place) -> None:
    await place.open(deployment=OURS)
    ours, stray = await place.open(), await place.open()
    assert await ours.own(OURS)
    with pytest.raises(ForeignQueues):
        await stray.own(THEIRS)
    for call in (stray.publish(numbered(JOBS, 1)), stray.consume(JOBS, Inbox().one, 1), stray.ping()):
        with pytest.raises(ForeignQueues):
            await call
    await ours.publish(numbered(JOBS, 1))
    await reaches(ours, JOBS, 1)


async def test_who_connects_anew_to_anothers_queues_takes_nothing(place: Place) -> None:
    """As when a name leads to another server from now on."""
    inbox, theirs = Inbox(), Inbox()
    bus = await place.open(through_proxy=True, deployment=OURS)
    await bus.consume(JOBS, inbox.one, 5)
    await bus.consume_batches(EVENTS, inbox.many, 5)
    taking = await place.open()
    assert await taking.own(THEIRS, anyway=True)
    place.proxy.cut()
    async with asyncio.timeout(30):
        await refused(bus)
        with pytest.raises(ForeignQueues):
            await bus.ping()
        await reaches(taking, JOBS, 0, consumers=0)
        await reaches(taking, EVENTS, 0, consumers=0)
        await taking.consume(JOBS, theirs.one, 5)
        await taking.consume_batches(EVENTS, theirs.many, 5)
        await taking.publish([Outgoing(JOBS, b"job"), Outgoing(EVENTS, b"event")])
        assert await theirs.bodies(1) == [b"job"]
        assert await theirs.batched_bodies(1) == [b"event"]
    assert inbox.deliveries.empty()


async def test_who_was_taken_over_from_hears_of_it_and_may_take_over_again(place: Place) -> None:
    bus = await place.open(deployment=OURS)
    await (await place.open()).own(THEIRS, anyway=True)
    with pytest.raises(ForeignQueues):
        await bus.ping()
    with pytest.raises(ForeignQueues):
        await bus.publish(numbered(JOBS, 1))
    with pytest.raises(ForeignQueues):
        await place.open(deployment=OURS)
    assert await (await place.open()).own(OURS, anyway=True)
    await (await place.open(deployment=OURS)).publish(numbered(JOBS, 1))
