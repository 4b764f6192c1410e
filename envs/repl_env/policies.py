"""Two ways to play an episode: with all answers, and with none. They bound what any agent can earn."""

from typing import Any

from .models import ReplAction

MAX_RETURN = 1.0
MIN_RETURN = 0.0

SEARCHES = {
    "Which number": r"""
place, keeper = re.search(r"the lock of (.+) that (\w+) changed", question).groups()
found = re.search(rf"{keeper} has changed the lock of {place}: the number is now (\d+)", context)
answer = int(found[1])
""",
    "How many times": r"""
ship, good = re.search(r"has the (\w+) unloaded (\w+)", question).groups()
answer = len(re.findall(rf"The {ship} has unloaded \d+ tons of {good}\.", context))
""",
    "In which town": r"""
captain = re.search(r"whose captain is (\w+)", question)[1]
ship = re.search(rf"{captain} is the new captain of the (\w+)\.", context)[1]
answer = re.search(rf"This year the {ship} will winter in (\w+)\.", context)[1]
""",
}


def oracle(env: Any, **task: Any) -> float:
    """Play an episode: look at the text, search it, answer. Return the sum of the rewards.

    Args:
        env: A blocking client.
        **task: What `reset` is given, such as `task` and `size`; a seed by default.
    """
    question = env.reset(**(task or {"seed": 0})).observation.question
    search = next(code for start, code in SEARCHES.items() if question.startswith(start))
    results = [
        env.step(ReplAction(code="print(len(context)); print(context[:500])")),
        env.step(ReplAction(code=f"import re\nquestion = {question!r}\n{search}\nanswer")),
        env.step(ReplAction(code="FINAL_VAR('answer')")),
    ]
    return sum(result.reward or 0.0 for result in results)


def null(env: Any, **task: Any) -> float:
    """Answer without having looked, and return the sum of the rewards.

    Args:
        env: A blocking client.
        **task: As for `oracle`.
    """
    env.reset(**(task or {"seed": 0}))
    return env.step(ReplAction(final_answer="")).reward or 0.0
