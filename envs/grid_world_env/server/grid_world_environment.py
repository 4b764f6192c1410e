"""The grid world itself: three methods, and what they share.

It is written to be read. What an environment has to do is done here in the plainest way: a generator of random
numbers for each episode, so that a seed means something; an end by the rules told apart from an end by a limit; and
legal moves for whoever wants to choose among them.
"""

from random import Random
from uuid import uuid4

from openenv.environment import Environment
from openenv.errors import ConfigurationError, NotResetError
from openenv.models import State, StepResult

from ..models import GridWorldAction, GridWorldObservation, Move

SIZE = 5
MOST_SIZE = 50
GOAL_REWARD, STEP_REWARD = 1.0, -0.1
WAYS: dict[Move, tuple[int, int]] = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}

Place = tuple[int, int]


class GridWorldEnvironment(Environment[GridWorldAction, GridWorldObservation, State]):
    """Walk over a grid to the goal: reward 1.0 for the step that reaches it, -0.1 for every other.

    Args:
        size: Rows, and columns, of the grid: 2 to 50. An episode is cut off after four times as many steps.

    Raises:
        ConfigurationError: It is out of its range.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True  # instances share nothing
    NON_BLOCKING = True  # a step takes microseconds, so it needs no thread

    def __init__(self, size: int = SIZE) -> None:
        super().__init__()
        if not 2 <= size <= MOST_SIZE:
            raise ConfigurationError(f"A grid has 2 to {MOST_SIZE} rows, not {size}")
        self._size = size
        self._state = State()
        self._agent: Place | None = None
        self._goal: Place = (0, 0)

    def reset(self, seed: int | None = None, episode_id: str | None = None) -> GridWorldObservation:
        """Put the agent and the goal somewhere, on two different fields.

        Args:
            seed: The same one, the same two fields.
            episode_id: The id that the episode shall have.
        """
        fields = [(row, column) for row in range(self._size) for column in range(self._size)]
        self._agent, self._goal = Random(seed).sample(fields, 2)
        self._state = State(episode_id=episode_id or uuid4().hex, step_count=0)
        return self._observation(self._agent)

    def step(self, action: GridWorldAction) -> StepResult[GridWorldObservation]:
        """Go one field, or stay where the grid ends."""
        if self._agent is None:
            raise NotResetError("There is no grid yet: call reset() before step()")
        self._agent = self._neighbour(self._agent, action.move) or self._agent
        self._state.step_count += 1
        there = self._agent == self._goal
        late = self._state.step_count >= 4 * self._size
        return StepResult(
            self._observation(self._agent),
            reward=GOAL_REWARD if there else STEP_REWARD,
            terminated=there,  # by the rules
            truncated=late and not there,  # by the limit: a trainer may go on valuing what would have come
        )

    @property
    def state(self) -> State:
        """The episode's id and its steps."""
        return self._state

    def _neighbour(self, place: Place, move: Move) -> Place | None:
        """Return the field that a move leads to; None off the grid."""
        row, column = (here + way for here, way in zip(place, WAYS[move], strict=True))
        inside = 0 <= row < self._size and 0 <= column < self._size
        return (row, column) if inside else None

    def _observation(self, agent: Place) -> GridWorldObservation:
        marks = {self._goal: "G", agent: "A"}
        lines = [[marks.get((row, column), ".") for column in range(self._size)] for row in range(self._size)]
        there = agent == self._goal
        return GridWorldObservation(
            row=agent[0],
            column=agent[1],
            goal_row=self._goal[0],
            goal_column=self._goal[1],
            size=self._size,
            legal_moves=[] if there else [move for move in WAYS if self._neighbour(agent, move)],
            text="\n".join(" ".join(line) for line in lines),
        )
