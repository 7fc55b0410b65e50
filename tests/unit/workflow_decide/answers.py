"""By which answers a run is led, and how many runs are tried."""

from random import Random

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.unit.workflow_decide.graphs import MOST_STEPS


def many(seed: int) -> list[int]:
    random = Random(seed)
    return [random.randrange(61) for _ in range(random.randrange(400))]


# Short lists shrink well; long random ones lead further.
ANSWERS = st.lists(st.integers(0, 60), max_size=120) | st.integers(0, 2**32).map(many)
UNSAFE = st.frozensets(st.sampled_from([f"s{n}" for n in range(MOST_STEPS)]))
thorough = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    phases=[phase for phase in Phase if phase is not Phase.explain],
)
