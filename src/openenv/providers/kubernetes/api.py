"""Requests to a cluster's API, with what it refuses told as this project's errors.

Every request may be sent again: what we create has a name of its own, so a second create finds the first. That
makes a lost answer harmless, and it is why there is no cleanup for half a create.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from openenv.errors import (
    EngineUnavailableError,
    NameTakenError,
    OutOfSpaceError,
    ProviderError,
    ProviderStartError,
)
from openenv.providers.kubernetes.access import ClusterAccess

if TYPE_CHECKING:
    import httpx

__all__ = ["Api", "ForbiddenError", "NoAnswerError", "path_of"]

HOMES = {
    "events": "api/v1",
    "jobs": "apis/batch/v1",
    "networkpolicies": "apis/networking.k8s.io/v1",
    "pods": "api/v1",
    "services": "api/v1",
    "statefulsets": "apis/apps/v1",
}
REQUEST_S = 30.0
CONNECT_S = 10.0
# Pauses before sending a request again. A server that restarts takes seconds; nobody waits for a minute.
PAUSES_S = (0.2, 0.5, 1.0, 2.0)
WATCH_S = 240
AT_ONCE = 16
BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, GONE, INVALID, TOO_MANY = (
    400,
    401,
    403,
    404,
    409,
    410,
    422,
    429,
)
PAGE = "docs/providers/kubernetes.md has the whole role"

Object = dict[str, Any]


class ForbiddenError(EngineUnavailableError):
    """The cluster knows us and does not allow it."""


class NoAnswerError(EngineUnavailableError):
    """What was asked for may have been done or not."""


def path_of(kind: str, namespace: str | None, name: str = "", part: str = "") -> str:
    """Return the path of a kind of things, of one of them, or of a part of one such as its log.

    Args:
        kind: Such as `pods`.
        namespace: None for all of them.
        name: Empty for the whole collection.
        part: Such as `log`.
    """
    within = f"namespaces/{namespace}/{kind}" if namespace is not None else kind
    return "/".join(["", HOMES[kind], within, *filter(None, (name, part))])


class Api:
    """One cluster's API. All methods belong to one event loop.

    Args:
        access: Where it is and what lets us in.
    """

    def __init__(self, access: ClusterAccess) -> None:
        import httpx

        self.access = access
        self._extensions = {"sni_hostname": access.tls_name} if access.tls_name else {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._http = httpx.AsyncClient(
            base_url=access.server,
            verify=access.tls or False,
            proxy=access.proxy,
            timeout=httpx.Timeout(REQUEST_S, connect=CONNECT_S),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def create(self, kind: str, namespace: str, body: Mapping[str, Any]) -> Object:
        """Create a thing and return it; the one that is there already, if it carries the same labels.

        Raises:
            NameTakenError: There is another of this name.
            ProviderStartError: The cluster refuses.
        """
        metadata = body["metadata"]
        answer = await self._send("POST", path_of(kind, namespace), body=body)
        if answer.status_code != CONFLICT:
            return self._content(answer)
        found = await self.get(kind, namespace, metadata["name"])
        theirs = (found or {}).get("metadata", {})
        ours = metadata["labels"].items() <= theirs.get("labels", {}).items()
        if found is None or not ours or theirs.get("deletionTimestamp"):
            raise NameTakenError(
                f"The namespace {namespace!r} has {kind} named {metadata['name']!r} already, which are not ours. "
                "Start again, which takes a new name."
            )
        return found

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return a thing, or None if there is none of this name."""
        answer = await self._send("GET", path_of(kind, namespace, name))
        return None if answer.status_code == NOT_FOUND else self._content(answer)

    async def list(self, kind: str, namespace: str | None, **query: str) -> Object:
        """Return the list of things that a query selects, such as `labelSelector`."""
        return self._content(await self._send("GET", path_of(kind, namespace), query=query))

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete a thing and, before it, all that it owns; nothing happens if it is gone."""
        options = {"propagationPolicy": "Foreground"}
        answer = await self._send("DELETE", path_of(kind, namespace, name), body=options)
        if answer.status_code != NOT_FOUND:
            self._content(answer)

    async def log(self, namespace: str, pod: str, lines: int, *, previous: bool = False) -> str:
        """Return the last lines of a pod, each with its time; empty if there are none to be had."""
        query = {"tailLines": str(lines), "timestamps": "true", "previous": "true" if previous else "false"}
        answer = await self._send("GET", path_of("pods", namespace, pod, "log"), query=query)
        return answer.text if answer.is_success else ""

    async def version(self) -> str:
        """Return the cluster's version; asked first, it tells whether there is a cluster at all.

        Raises:
            EngineUnavailableError: It does not answer or does not let us in.
        """
        answer = await self._send("GET", "/version")
        if answer.status_code == FORBIDDEN:  # it answers and knows us; its version is no business of ours
            return "unknown"
        return str(self._content(answer).get("gitVersion", "unknown"))

    async def watch(
        self, kind: str, namespace: str, *, since: str, selector: str
    ) -> AsyncIterator[tuple[str, Object]]:
        """Yield what happens to things: `ADDED`, `MODIFIED` or `DELETED`, and the thing.

        It ends after minutes, or when the cluster no longer remembers `since`; look anew and watch again.

        Args:
            kind: Such as `pods`.
            namespace: Where.
            since: The `resourceVersion` of the list that came before.
            selector: Labels.

        Raises:
            EngineUnavailableError: The connection was lost.
        """
        import httpx

        query = {
            "watch": "1",
            "resourceVersion": since,
            "labelSelector": selector,
            "timeoutSeconds": str(WATCH_S),
            "allowWatchBookmarks": "false",
        }
        timeout = httpx.Timeout(REQUEST_S, read=WATCH_S + REQUEST_S)
        request = self._http.build_request(
            "GET",
            path_of(kind, namespace),
            params=query,
            headers=await self._headers(),
            timeout=timeout,
            extensions={**self._extensions, "timeout": timeout.as_dict()},
        )
        try:
            answer = await self._http.send(request, stream=True)
            try:
                if answer.status_code == GONE:
                    return
                if not answer.is_success:
                    await answer.aread()
                    self._content(answer)
                async for line in answer.aiter_lines():
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    yield event["type"], event["object"]
            finally:
                await answer.aclose()
        except httpx.TransportError as error:
            raise self._unavailable(error) from error

    async def _headers(self) -> dict[str, str]:
        # A program may have to be run for it.
        value = await asyncio.to_thread(self.access.authorization)
        return {"Authorization": value} if value else {}

    async def _send(
        self, method: str, path: str, *, body: Any = None, query: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send a request, again if it is lost or the server is too busy."""
        import httpx

        for pause in (*PAUSES_S, None):
            try:
                async with self._slots:
                    answer = await self._http.request(
                        method,
                        path,
                        json=body,
                        params=query,
                        headers=await self._headers(),
                        extensions=dict(self._extensions),
                    )
            except httpx.TransportError as error:
                if pause is None or _is_final(error):
                    raise self._unavailable(error) from error
            else:
                busy = answer.status_code == TOO_MANY or answer.status_code >= 500
                if pause is None or not busy:
                    return answer
            await asyncio.sleep(pause)
        raise AssertionError("not reached")

    def _unavailable(self, error: Exception) -> NoAnswerError:
        return NoAnswerError(
            f"The Kubernetes cluster at {self.access.server} does not answer: "
            f"{_deepest(error)}. See whether `kubectl version` reaches it with the "
            "same kubeconfig and context."
        )

    def _content(self, answer: httpx.Response) -> Object:
        """Return the answer's object, or raise what its refusal means."""
        try:
            content = answer.json()
        except ValueError:
            content = {"message": answer.text[:500]}
        if answer.is_success and isinstance(content, dict):
            return content
        message = str(content.get("message") if isinstance(content, dict) else content)
        raise _refusal(answer.status_code, message, self.access.server)


def _refusal(status: int, message: str, server: str) -> ProviderError:
    if status == UNAUTHORIZED:
        return EngineUnavailableError(
            f"The cluster at {server} does not know who we are ({message}); the token or certificate of the "
            "kubeconfig has expired or belongs to another cluster."
        )
    if status == FORBIDDEN and "quota" in message:
        return OutOfSpaceError(f"A quota of the namespace does not allow it: {message}")
    if status == FORBIDDEN and " cannot " in message:
        return ForbiddenError(f"A permission is missing: {message}. Grant it; {PAGE}.")
    if status == FORBIDDEN:  # an admission controller: limits of the namespace, a policy
        return ProviderStartError(f"The cluster does not admit it: {message}")
    if status == NOT_FOUND and "namespaces" in message:
        return ProviderStartError(f"{message}. Make it by `kubectl create namespace`, or name another one.")
    if status in (BAD_REQUEST, INVALID):
        return ProviderStartError(f"The cluster finds an option invalid: {message}")
    return NoAnswerError(f"The cluster at {server} answers {status}: {message}")


def _deepest(error: BaseException) -> str:
    """Return what an error comes from: that a connection was refused, say, not that all attempts have failed."""
    cause = error.__cause__ or error.__context__
    while cause is not None and not isinstance(cause, ExceptionGroup):
        error, cause = cause, cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def _is_final(error: Exception) -> bool:
    """Whether trying again is of no use: the name or the certificate is wrong."""
    text = str(error)
    return "CERTIFICATE" in text or "Name or service" in text or "UnsupportedProtocol" in type(error).__name__
