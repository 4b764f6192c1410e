"""The model that code may ask, and how much it may ask: in the server's process, out of the code's reach."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

SubModel = Callable[[str], Awaitable[str]]

REQUEST_S = 120.0


@dataclass(frozen=True)
class QueryLimits:
    """How much the sub-model may be asked in an episode.

    Attributes:
        queries: How often.
        prompt_characters: Characters of a prompt.
        answer_characters: Characters that are kept of an answer.
    """

    queries: int = 50
    prompt_characters: int = 400_000
    answer_characters: int = 20_000


def openai_compatible(url: str, model: str, api_key: str = "") -> SubModel:
    """Return a model behind the chat completions of an OpenAI-compatible server.

    Args:
        url: Its base, such as `http://127.0.0.1:8001/v1`.
        model: The name of the model.
        api_key: The key, where one is needed.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    async def ask(prompt: str) -> str:
        body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
        async with httpx.AsyncClient(timeout=REQUEST_S, headers=headers) as client:
            answer = await client.post(f"{url.rstrip('/')}/chat/completions", json=body)
        if answer.is_error:
            raise RuntimeError(f"the sub-model's server answers {answer.status_code}")
        return str(answer.json()["choices"][0]["message"]["content"])

    return ask


class Queries:
    """The queries of one episode.

    Args:
        model: What is asked; None if there is nobody.
        limits: How much it may be asked.
    """

    def __init__(self, model: SubModel | None, limits: QueryLimits) -> None:
        self._model = model
        self._limits = limits
        self._asked = 0
        self._sizes: list[tuple[int, int]] = []
        self._running: set[asyncio.Task[object]] = set()

    @property
    def left(self) -> int:
        """How many more there may be."""
        return max(0, self._limits.queries - self._asked) if self._model is not None else 0

    async def ask(self, prompts: object) -> list[str]:
        """Ask the model several things at once; the code calls it, so anything may come.

        Raises:
            RuntimeError: There is no model, or so many may not be asked any more.
            ValueError: A prompt is no text, or too long.
        """
        if self._model is None:
            raise RuntimeError("this environment has no sub-model: llm_query cannot be used here")
        asked = self._checked(prompts)
        if len(asked) > self.left:
            raise RuntimeError(f"of the {self._limits.queries} queries of the episode {self.left} are left")
        self._asked += len(asked)
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            async with asyncio.TaskGroup() as group:
                answers = [group.create_task(self._one(self._model, prompt)) for prompt in asked]
        except BaseExceptionGroup as failed:
            raise RuntimeError(f"the sub-model has failed: {failed.exceptions[0]}") from None
        finally:
            self._running.discard(task)
        return [answer.result() for answer in answers]

    async def _one(self, model: SubModel, prompt: str) -> str:
        answer = (await model(prompt))[: self._limits.answer_characters]
        self._sizes.append((len(prompt), len(answer)))
        return answer

    def _checked(self, prompts: object) -> list[str]:
        most = self._limits.prompt_characters
        if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
            raise ValueError("a prompt is a text")
        longest = max(map(len, prompts), default=0)
        if longest > most:
            raise ValueError(f"a prompt may have {most:,} characters, and this one has {longest:,}")
        return prompts

    def end_step(self) -> list[tuple[int, int]]:
        """Give up the queries that nobody waits for any more; return the sizes of this step's others."""
        for task in self._running:
            task.cancel()
        sizes, self._sizes = self._sizes, []
        return sizes
