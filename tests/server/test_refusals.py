"""An environment that refuses an action: the same for a client wherever the environment lives."""

import pytest
from tests.toys import Add, Count, Counter

from openenv.client import EnvClient
from openenv.errors import InvalidRequestError
from openenv.models import State


class Refusing(Counter):
    def step(self, action: Add) -> Count:
        if action.amount == 17:
            raise InvalidRequestError("seventeen is not played here")
        return super().step(action)


class RefusingEnv(EnvClient[Add, Count, State]):
    pass


@pytest.mark.parametrize("isolation", ["none", "process"])
def test_a_refused_action_is_the_policys_fault_and_changes_nothing(serve, isolation):
    server = serve(Refusing, isolation=isolation)
    with RefusingEnv(base_url=server.url) as env:
        env.reset()
        env.step(Add(amount=2))
        with pytest.raises(InvalidRequestError, match="seventeen is not played here") as refused:
            env.step(Add(amount=17))
        assert refused.value.outcome.status == "policy_fault"
        assert env.step(Add(amount=3)).observation.total == 5
