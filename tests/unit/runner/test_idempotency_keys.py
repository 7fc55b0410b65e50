"""P3: under which idempotency key a row's calls are made, over its attempts, rounds and re-runs."""

from dataclasses import replace

from headrace.ids import new_id
from headrace.workflow.document import Condition, ForEach, Repeat, Step
from headrace_runner.steps.protocol import Outcome, Prepared, StepContext, Succeeded

from tests.unit.runner.scripted import Scripted, again_after, giving, run_of


class Telling(Scripted):
    """Keeps the keys that it would have made its calls under."""

    def __init__(self, *attempts: Outcome) -> None:
        super().__init__(*(giving(attempt) for attempt in attempts))
        self.keys: list[str] = []

    async def attempt(self, context: StepContext, prepared: Prepared) -> Outcome:
        self.keys.append(context.idempotency_key)
        return await super().attempt(context, prepared)


async def test_all_attempts_have_one_key() -> None:
    handler = Telling(again_after(0), again_after(0), Succeeded(None))
    async with run_of(Step("a", "x"), x=handler) as run:
        await run.to_its_end()
        assert handler.keys == [f"{run.engine.run.run_id}-a"] * 3


async def test_a_later_claim_has_the_same_key() -> None:
    handler = Telling(Succeeded(None))
    async with run_of(Step("a", "x"), x=handler) as run:
        run.engine.run = replace(run.engine.run, epoch=7)
        await run.to_its_end()
        assert handler.keys == [f"{run.engine.run.run_id}-a"]


async def test_each_item_and_each_round_has_a_key_of_its_own() -> None:
    items = Telling(Succeeded(None), Succeeded(None))
    rounds = Telling(Succeeded({"n": 1}), again_after(0), Succeeded({"n": 2}))
    async with run_of(
        Step("each", "x", for_each=ForEach([1, 2], max_concurrency=1)),
        Step("poll", "y", repeat=Repeat(Condition("output.n", "eq", 2), every_ms=1, max=5)),
        x=items,
        y=rounds,
    ) as run:
        await run.to_its_end()
        run_id = run.engine.run.run_id
    assert items.keys == [f"{run_id}-each[0]", f"{run_id}-each[1]"]
    assert rounds.keys == [f"{run_id}-poll", f"{run_id}-poll-r1", f"{run_id}-poll-r1"]


async def test_what_a_rerun_does_again_goes_under_the_key_that_it_had() -> None:
    first, second = Telling(Succeeded(None)), Telling(Succeeded(None))
    origin = new_id()
    async with run_of(Step("a", "x"), Step("b", "y"), x=first, y=second) as run:
        run.engine.run = replace(run.engine.run, kept_keys={"a": str(origin)})
        await run.to_its_end()
        assert (first.keys, second.keys) == ([f"{origin}-a"], [f"{run.engine.run.run_id}-b"])
