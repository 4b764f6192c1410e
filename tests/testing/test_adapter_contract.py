"""The contract lets an honest player pass, in every form, and catches each promise that is broken."""

from contextlib import contextmanager

import pytest

from openenv.rollouts import Episodes, text_of
from openenv.testing import AdapterContract, next_move

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trouble")]


class Honest(AdapterContract):
    """Plays all rows of a batch at once, by what the project's own adapters are made of."""

    def act(self, episode, move):
        return episode.call_tool(move.tool, {"number": move.number})

    def told(self, turn):
        return text_of(turn.observation)

    @contextmanager
    def adapter(self, url, budget_s):
        with Episodes(url, timeout_s=budget_s, wait_s=budget_s) as episodes:
            yield lambda rows: self.play(episodes, rows)

    def play(self, episodes, rows):
        begun = [episodes.begin(**row) for row in rows]
        playing = [(episode, reset.result()) for episode, reset in begun]
        while playing:
            moves = [(episode, next_move(self.told(turn))) for episode, turn in playing]
            acts = [(episode, self.act(episode, move)) for episode, move in moves if move]
            playing = [(episode, act.result()) for episode, act in acts]
        for episode, _ in begun:
            episode.end().result()
        return [episode.reward for episode, _ in begun]


class TestTools(Honest):
    pass


class TestText(Honest):
    form = "text"

    def act(self, episode, move):
        return episode.step({"text": str(move.number)})


class TestNumber(Honest):
    form = "number"

    def act(self, episode, move):
        return episode.step({"number": move.number})

    def told(self, turn):
        number = turn.observation and turn.observation["number"]
        return f"next: number {number}" if number else ""
