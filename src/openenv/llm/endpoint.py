"""A chat endpoint as OpenAI's API has it: vLLM, SGLang, `transformers serve` and the like.

What comes of a request is a `Reply` or an `EndpointError` with a code; nothing of HTTP gets past here. What may
pass is tried again. A rate limit holds up all requests of the endpoint, not only the one that met it, and one that
was found down is not waited for by every other request in turn.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self
from urllib.parse import urlsplit, urlunsplit

from openenv.errors import ConfigurationError, EndpointError
from openenv.llm.chat import Reply, read_reply, sayable

if TYPE_CHECKING:
    import httpx

__all__ = ["ChatEndpoint", "Patience"]

_log = logging.getLogger(__name__)

_CONTEXT_FULL = re.compile(
    r"context.{0,20}(length|window|size)|maximum.{0,20}(context|sequence)|max_model_len|too long|too many tokens",
    re.IGNORECASE,
)

_CONNECT_S = 10.0
_LARGEST = 64 << 20
"""Bytes of an answer that are read. No model writes so many; an endpoint without end would fill the memory."""


@dataclass(frozen=True)
class Patience:
    """How long an endpoint is borne with.

    Attributes:
        timeout_s: Seconds an answer may take, to its end; connecting has as many of its own, but no more than ten.
        attempts: Times a request is tried before it counts as failed; a rate limit does not count.
        first_pause_s: Seconds before the second attempt; doubled before each further one, and shortened by chance.
        longest_pause_s: The longest such pause, and the longest that an endpoint can ask for.
        rate_limit_s: Seconds after which a request that is only ever told to come later counts as failed.
    """

    timeout_s: float = 120.0
    attempts: int = 4
    first_pause_s: float = 1.0
    longest_pause_s: float = 30.0
    rate_limit_s: float = 300.0


class ChatEndpoint:
    """A model behind an OpenAI-compatible address.

    ```python
    async with ChatEndpoint("http://localhost:8000") as model:
        print((await model.complete([{"role": "user", "content": "Hello"}])).text)
    ```

    Args:
        base_url: The address; `/v1` is added if it has no path.
        model: Name of the model; None for the only one that the endpoint lists.
        api_key: Sent as a bearer token.
        patience: How long to wait, and how often to try.
        sampling: Further members of each request, such as `temperature` and `max_tokens`.

    Attributes:
        troubles: How often an attempt failed, by the code of `EndpointError`.

    Raises:
        ConfigurationError: The address is none.
    """

    def __init__(
        self,
        base_url: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        patience: Patience | None = None,
        sampling: Mapping[str, Any] | None = None,
    ) -> None:
        self.base_url = _address(base_url)
        self.model = model
        self.troubles: Counter[str] = Counter()
        self._api_key = api_key
        self._patience = patience or Patience()
        self._sampling = dict(sampling or {})
        self._http: httpx.AsyncClient | None = None
        self._not_before = 0.0
        self._was_down = False

    async def __aenter__(self) -> Self:
        import httpx

        headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        patience = self._patience
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(patience.timeout_s, connect=self._connect_s, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=256),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.aclose()

    @property
    def _connect_s(self) -> float:
        return min(_CONNECT_S, self._patience.timeout_s)

    @property
    def address(self) -> str:
        """The address without a password, for people."""
        parts = urlsplit(self.base_url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    async def find_model(self) -> str:
        """Return the name of the model, asked for if it was not given.

        Raises:
            EndpointError: Nobody answers, or not with a list of one model.
        """
        if self.model is None:
            names = await self._names()
            if len(names) != 1:
                told = ", ".join(names[:10]) or "none"
                raise EndpointError(f"{self.address} lists these models: {told}. Name the one to ask")
            self.model = names[0]
        return self.model

    async def check(self) -> None:
        """Find out whether anybody is there, and the name of the model.

        Raises:
            EndpointError: Nobody answers, or a key is wanted, or the model was not given and cannot be told.
        """
        if self.model is None:
            await self.find_model()
            return
        try:
            await self._once("GET", "/models", None)
        except EndpointError as error:  # not all have such a list; the requests will tell
            if error.status in (401, 403):
                raise
            if error.code in ("ENDPOINT_DOWN", "ENDPOINT_SLOW"):
                await self._persistently("GET", "/models", None)

    async def complete(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()
    ) -> Reply:
        """Return what the model says next.

        Args:
            messages: The conversation so far.
            tools: The tools it may call, as OpenAI's API has them.

        Raises:
            EndpointError: There was no answer, or none that can be used, after all attempts.
        """
        body = {"model": await self.find_model(), "messages": messages, "stream": False, **self._sampling}
        if tools:
            body["tools"] = tools
        data = await self._persistently("POST", "/chat/completions", body)
        assert isinstance(data, Reply)
        return data

    # --- attempts --------------------------------------------------------------------------------

    async def _names(self) -> list[str]:
        data = await self._persistently("GET", "/models", None)
        listed = data.get("data") if isinstance(data, dict) else None
        if not isinstance(listed, list):
            raise EndpointError(f"{self.address} lists no models; name the one to ask", code="ENDPOINT_NONSENSE")
        return [str(one["id"]) for one in listed if isinstance(one, dict) and "id" in one]

    async def _persistently(self, method: str, path: str, body: Any) -> Any:
        """Make a request until it succeeds, or there is no use in trying again."""
        loop = asyncio.get_running_loop()
        began, failures = loop.time(), 0
        while True:
            # Others may put it off meanwhile.
            while (pause := self._not_before - loop.time()) > 0:  # noqa: ASYNC110 - a time, nothing that happens
                await asyncio.sleep(pause)
            try:
                answer = await self._once(method, path, body)
            except EndpointError as error:
                self.troubles[error.code] += 1
                failures += error.code != "ENDPOINT_BUSY"
                pause = self._pause(error, failures)
                if not error.retryable or self._enough(error, failures, loop.time() + pause - began):
                    self._was_down = error.code == "ENDPOINT_DOWN"
                    raise
                level = logging.WARNING if self.troubles[error.code] == 1 else logging.DEBUG  # once of each kind
                _log.log(level, "%s; trying again in %.1f s", error.message, pause)
                if error.code == "ENDPOINT_BUSY":
                    self._not_before = max(self._not_before, loop.time() + pause)
                else:
                    await asyncio.sleep(pause)
            else:
                self._was_down = False
                return answer

    def _enough(self, error: EndpointError, failures: int, seconds: float) -> bool:
        if error.code == "ENDPOINT_BUSY":
            return seconds > self._patience.rate_limit_s
        return failures >= self._patience.attempts or (self._was_down and error.code == "ENDPOINT_DOWN")

    def _pause(self, error: EndpointError, failures: int) -> float:
        patience = self._patience
        if error.retry_after is not None:
            return min(error.retry_after, patience.longest_pause_s)
        pause = patience.first_pause_s * 2.0 ** max(failures - 1, 0)
        return min(pause, patience.longest_pause_s) * (0.5 + random.random() / 2)  # noqa: S311 - spreads requests

    async def _once(self, method: str, path: str, body: Any) -> Any:
        import httpx

        if self._http is None:
            raise ConfigurationError("Use the endpoint by `async with`")
        try:
            # The limits of the client begin anew with every byte; only that of connecting, on top, does not.
            async with asyncio.timeout(self._connect_s + self._patience.timeout_s):
                answer, content = await self._asked(method, path, body)
        except httpx.ConnectTimeout as error:
            self._fail("ENDPOINT_DOWN", f"{self.address} does not take connections", error)
        except (httpx.TimeoutException, TimeoutError) as error:
            said = f"{self.address} has not answered within {self._patience.timeout_s:g} s"
            self._fail("ENDPOINT_SLOW", said, error)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._fail("ENDPOINT_DOWN", f"{self.address} cannot be reached: {error or type(error).__name__}", error)
        if answer.status_code != 200:
            raise self._refusal(answer, content.decode("utf-8", "replace"))
        try:
            data = json.loads(content)
            return read_reply(data) if method == "POST" else data
        except (ValueError, RecursionError) as error:
            self._fail("ENDPOINT_NONSENSE", f"{self.address} answers with what is no completion: {error}", error)

    async def _asked(self, method: str, path: str, body: Any) -> tuple[httpx.Response, bytes]:
        """Return an answer and its content, or as much of it as is read."""
        assert self._http is not None
        content = bytearray()
        async with self._http.stream(method, f"{self.base_url}{path}", json=body) as answer:
            async for part in answer.aiter_bytes():
                content += part
                if len(content) > _LARGEST:
                    said = f"{self.address} answers with more than {_LARGEST >> 20} MiB"
                    raise EndpointError(said, code="ENDPOINT_NONSENSE")
        return answer, bytes(content)

    def _refusal(self, answer: httpx.Response, text: str) -> EndpointError:
        status, text = answer.status_code, self._without_key(text)
        said = f"{self.address} answers HTTP {status}: {_reason(text)}"
        if status == 429:
            return EndpointError(said, code="ENDPOINT_BUSY", status=status, retry_after=_retry_after(answer))
        if status in (408, 409, 425) or status >= 500:
            return EndpointError(said, code="ENDPOINT_FAILED", status=status, retry_after=_retry_after(answer))
        if status < 400:
            return EndpointError(said, code="ENDPOINT_NONSENSE", status=status)
        full = status in (400, 413, 422) and _CONTEXT_FULL.search(text)
        return EndpointError(said, code="CONTEXT_FULL" if full else "ENDPOINT_REFUSED", status=status)

    def _fail(self, code: str, said: str, error: Exception) -> NoReturn:
        raise EndpointError(self._without_key(said), code=code) from error

    def _without_key(self, text: str) -> str:
        return text.replace(self._api_key, "***") if self._api_key else text


def _address(text: str) -> str:
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # the port is no number
        valid = False
    if not valid:
        raise ConfigurationError(f"{text!r} is no address of a model's endpoint, such as http://localhost:8000/v1")
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return urlunsplit((parts.scheme, parts.netloc, path or "/v1", "", ""))


def _reason(text: str) -> str:
    """Return what an error says, out of the forms in which servers say it."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return " ".join(text.split())[:200] or "nothing"
    for key in ("error", "detail", "message"):
        if isinstance(data, dict) and data.get(key):
            data = data[key]
    return " ".join(sayable(data if isinstance(data, str) else json.dumps(data)).split())[:200]


def _retry_after(answer: httpx.Response) -> float | None:
    text = answer.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time()
        except (ValueError, TypeError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
