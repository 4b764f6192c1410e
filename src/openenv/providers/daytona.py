"""Environment servers in Daytona sandboxes, through Daytona's own SDK.

A server is reached at the sandbox's preview URL, which lets nobody in without the token that goes with it. The
lifetime is the sandbox's time to live, counted by Daytona from its creation.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from openenv.errors import (
    ConfigurationError,
    EngineUnavailableError,
    ImageNotFoundError,
    NameTakenError,
    OutOfSpaceError,
    ProviderError,
    ProviderStartError,
)
from openenv.providers.hosted import PORT, Hosted, HostedProvider
from openenv.providers.ownership import PREFIX, OwnedResource, Ownership
from openenv.providers.redaction import redact
from openenv.providers.source import Source

__all__ = ["DaytonaProvider"]

SESSION = "openenv"
DELETE_S = 60.0
ASK_S = 15.0
TOKEN_HEADER = "x-daytona-preview-token"  # noqa: S105 - the name of a header
ENDED = ("stopped", "destroyed", "destroying", "stopping", "error", "archived", "archiving", "build_failed")

_NO_ROOM = re.compile(
    r"quota|limit exceeded|limit reached|exceeds? (the )?(maximum|limit)|insufficient", re.IGNORECASE
)
_NO_IMAGE = re.compile(
    r"snapshot.*not found|manifest unknown|pull access denied|(image|repository).*(not found|not exist)",
    re.IGNORECASE,
)


class DaytonaProvider(HostedProvider):
    """Runs environment servers in Daytona sandboxes. Needs `pip install 'openenv[daytona]'` and an account.

    ```python
    provider = DaytonaProvider(image="ada/echo-env:1.0", resources={"cpu": 2, "memory": 4})
    async with EchoEnv.with_provider(provider) as env:
        await env.reset()
    ```

    Args:
        image: An image in a registry that Daytona can pull from; None takes the client class's own.
        snapshot: A snapshot of Daytona's instead of an image.
        command: What starts the server in the sandbox. None serves the client class's package on `port`.
        port: Where the server listens in the sandbox.
        replicas: Sandboxes to start.
        resources: `cpu` (cores), `memory` (GiB), `disk` (GiB), `gpu`; with an image only.
        network: Whether the sandbox may reach the internet.
        auto_stop_minutes: Minutes without a request to the sandbox's own API after which Daytona deletes it.
            Requests to the server do not count, so 0, which never does it, is the default.
        env_vars: Environment variables of the server.
        api_key: Daytona's API key; by default `DAYTONA_API_KEY`.
        api_url: Where Daytona's API is; by default `DAYTONA_API_URL`, else Daytona's own service.
        target: Region; by default `DAYTONA_TARGET`, else that of the organization.
        ready_timeout_s: Seconds until all servers must be healthy.
        create_timeout_s: Seconds until Daytona must have started each sandbox.
        lifetime_s: Seconds after which Daytona deletes the sandboxes, rounded up to minutes; None for never.

    Raises:
        ConfigurationError: Both image and snapshot were given.
    """

    kind = "daytona"

    def __init__(
        self,
        *,
        image: str | None = None,
        snapshot: str | None = None,
        command: str | None = None,
        port: int = PORT,
        replicas: int = 1,
        resources: Mapping[str, int] | None = None,
        network: bool = False,
        auto_stop_minutes: int = 0,
        env_vars: Mapping[str, str] | None = None,
        api_key: str | None = None,
        api_url: str | None = None,
        target: str | None = None,
        ready_timeout_s: float = 120.0,
        create_timeout_s: float = 300.0,
        lifetime_s: float | None = 86400.0,
    ) -> None:
        if image is not None and snapshot is not None:
            raise ConfigurationError("DaytonaProvider starts an image or a snapshot; leave one of them out.")
        if snapshot is not None and resources:
            raise ConfigurationError("A snapshot of Daytona's has its own resources; leave resources out.")
        self.image = image
        self.snapshot_name = snapshot
        self.command = command
        self.port = port
        self.replicas = replicas
        self.resources = dict(resources or {})
        self.network = network
        self.auto_stop_minutes = auto_stop_minutes
        self.env_vars = dict(env_vars or {})
        self.api_key = api_key
        self.api_url = api_url
        self.target = target
        self.ready_timeout_s = ready_timeout_s
        self.create_timeout_s = create_timeout_s
        self.lifetime_s = lifetime_s
        self._made_client: Any = None

    # --- what a hosted provider implements -------------------------------------------------------

    def _prepare(self, source: Source) -> Any:
        self._command_for(source)  # if it is not known, nothing needs to be made
        client = self._client
        order = self._order(source)
        import daytona

        with self._speaking("answer"), contextlib.suppress(daytona.DaytonaNotFoundError):
            client.get(self.ownership.name, request_timeout=ASK_S)  # which there is not
        return order

    def _create(self, name: str, order: Any) -> Any:
        import daytona

        with self._speaking(f"create {name}"):
            try:
                return self._client.create(order(name=name), timeout=self.create_timeout_s)
            except daytona.DaytonaConflictError:
                return self._own(name)

    def _serve(self, name: str, handle: Any, source: Source) -> list[Hosted]:
        import daytona

        with self._speaking(f"start the server in {name}"):
            handle.process.create_session(SESSION, request_timeout=ASK_S)
            order = daytona.SessionExecuteRequest(command=self._command_for(source), run_async=True)
            started = handle.process.execute_session_command(SESSION, order, timeout=int(ASK_S))
            link = handle.get_preview_link(self.port, request_timeout=ASK_S)
        return [Hosted(name, link.url.rstrip("/"), (handle, started.cmd_id), {TOKEN_HEADER: link.token})]

    def _delete(self, name: str) -> None:
        _delete(self._client, name, self._speaking)

    def _problem(self, hosted: Hosted) -> str | None:
        import daytona

        sandbox, command = hosted.handle
        try:
            with self._speaking(f"ask for {hosted.name}"):
                sandbox.refresh_data(request_timeout=ASK_S)
                state = _state(sandbox)
                if state in ENDED:
                    return f"The sandbox is {state}{f': {sandbox.error_reason}' if sandbox.error_reason else ''}."
                code = sandbox.process.get_session_command(SESSION, command, request_timeout=ASK_S).exit_code
        except EngineUnavailableError:  # it says nothing of the sandbox
            return None
        except ProviderError as error:
            if isinstance(error.__cause__, daytona.DaytonaNotFoundError):
                return "The sandbox has been deleted, or its lifetime is over."
            raise
        return None if code is None else f"Its command ended with exit code {code}."

    def _tail(self, hosted: Hosted, lines: int) -> str:
        sandbox, command = hosted.handle
        with self._speaking(f"read the log of {hosted.name}"):
            logs = sandbox.process.get_session_command_logs(SESSION, command, request_timeout=ASK_S)
        return "\n".join((logs.output or "").splitlines()[-lines:])

    def _secrets(self) -> Mapping[str, str]:
        return self.env_vars if self.api_key is None else {**self.env_vars, "API_KEY": self.api_key}

    # --- what the engine keeps -------------------------------------------------------------------

    def where(self) -> dict[str, str]:
        """Return the URL of the API, if one was given; an API key is never told."""
        return {} if self.api_url is None else {"api_url": self.api_url}

    @classmethod
    def owned(cls, where: Mapping[str, str]) -> list[OwnedResource]:
        """Return the sandboxes that `DAYTONA_API_KEY` lets see, of all programs."""
        client = _client(None, where.get("api_url"), None)
        import daytona

        with _told("list sandboxes", where):
            wanted = daytona.ListSandboxesQuery(labels={f"{PREFIX}provider": cls.kind})
            sandboxes = list(client.list(wanted, request_timeout=ASK_S))
        found = ((sandbox, Ownership.from_labels(sandbox.labels)) for sandbox in sandboxes)
        return [
            OwnedResource(owned, sandbox.name, "sandbox", _state(sandbox), _created(sandbox), dict(where))
            for sandbox, owned in found
            if owned is not None and _state(sandbox) not in ("destroyed", "destroying")
        ]

    @classmethod
    def remove(cls, resource: OwnedResource) -> None:
        """Delete a sandbox."""
        client = _client(None, resource.where.get("api_url"), None)
        _delete(client, resource.id, lambda what: _told(what, resource.where))

    # --- Daytona's SDK ---------------------------------------------------------------------------

    @property
    def _client(self) -> Any:
        if self._made_client is None:
            self._made_client = _client(self.api_key, self.api_url, self.target)
        return self._made_client

    def _speaking(self, what: str) -> Any:
        return _told(what, self._secrets())

    def _order(self, source: Source) -> Any:
        """Return what makes the parameters of a sandbox from its name."""
        import daytona

        common: dict[str, Any] = {
            "env_vars": dict(self.env_vars),
            "labels": self.ownership.labels(),
            "public": False,
            "auto_stop_interval": self.auto_stop_minutes,
            "auto_delete_interval": 0,  # what is stopped is of no use any more
            "ttl_minutes": 0 if self.lifetime_s is None else max(1, math.ceil(self.lifetime_s / 60)),
            "network_block_all": not self.network,
        }
        if self.snapshot_name is not None:
            return functools.partial(daytona.CreateSandboxFromSnapshotParams, snapshot=self.snapshot_name, **common)
        image, resources = self._image_for(source), daytona.Resources(**self.resources) if self.resources else None
        return functools.partial(daytona.CreateSandboxFromImageParams, image=image, resources=resources, **common)

    def _own(self, name: str) -> Any:
        """Return the sandbox that an earlier, unanswered create of ours has made."""
        sandbox = self._client.get(name, request_timeout=ASK_S)
        if Ownership.from_labels(sandbox.labels) != self.ownership:
            raise self.failure(NameTakenError, f"Daytona has a sandbox {name} of somebody else's; start again.")
        sandbox.wait_for_sandbox_start(timeout=self.create_timeout_s)
        return sandbox


def _client(api_key: str | None, api_url: str | None, target: str | None) -> Any:
    """Return a client of Daytona's.

    Raises:
        ConfigurationError: The SDK is not installed, or there is no API key.
    """
    try:
        import daytona
    except ImportError as error:
        raise ConfigurationError(
            f"The provider 'daytona' needs Daytona's SDK: pip install 'openenv[daytona]' ({error})."
        ) from error
    try:
        return daytona.Daytona(daytona.DaytonaConfig(api_key=api_key, api_url=api_url, target=target))
    except daytona.DaytonaAuthenticationError as error:
        raise ConfigurationError(
            "There is no API key of Daytona's: set the environment variable DAYTONA_API_KEY, or give api_key."
        ) from error


def _delete(client: Any, name: str, speaking: Any) -> None:
    import daytona

    with speaking(f"delete {name}"):
        try:
            client.get(name, request_timeout=ASK_S).delete(timeout=DELETE_S, wait=True)
        except (daytona.DaytonaNotFoundError, daytona.DaytonaConflictError) as error:
            # A conflict: Daytona is deleting it already, such as at the end of its lifetime.
            if isinstance(error, daytona.DaytonaConflictError) and _is_there(client, name):
                raise


def _is_there(client: Any, name: str) -> bool:
    import daytona

    try:
        return _state(client.get(name, request_timeout=ASK_S)) not in ("destroyed", "destroying")
    except daytona.DaytonaNotFoundError:
        return False


@contextlib.contextmanager
def _told(what: str, secrets: Mapping[str, str]) -> Iterator[None]:
    """Turn Daytona's errors into this project's."""
    import daytona

    try:
        yield
    except daytona.DaytonaError as error:
        kind, advice = _kind_of(error)
        raise kind(redact(f"Daytona did not {what}: {error}. {advice}", secrets)) from error


def _kind_of(error: Any) -> tuple[type[ProviderError], str]:
    import daytona

    said = str(error)
    if isinstance(error, daytona.DaytonaTimeoutError):
        return ProviderStartError, "If it needs longer, set create_timeout_s of the provider."
    if _is_down(error):
        return EngineUnavailableError, "Is the service up, and is api_url (DAYTONA_API_URL) right?"
    if _NO_ROOM.search(said):
        return OutOfSpaceError, "Delete sandboxes (openenv gc), ask for less, or have the quota raised."
    if isinstance(error, daytona.DaytonaRateLimitError):
        return OutOfSpaceError, "Daytona limits how often it is asked; start fewer at the same time."
    if isinstance(error, daytona.DaytonaAuthenticationError | daytona.DaytonaForbiddenError):
        return EngineUnavailableError, "Check the API key in DAYTONA_API_KEY (or api_key) and what it may do."
    if _NO_IMAGE.search(said):
        return ImageNotFoundError, "Push the image to a registry that Daytona can pull from, or correct its name."
    return ProviderStartError, "See the sandbox in Daytona's dashboard for more."


def _is_down(error: Any) -> bool:
    """Whether Daytona could not be asked. Its SDK leaves some failures to connect without a class of their own."""
    import daytona
    from urllib3.exceptions import HTTPError

    if (error.status_code or 0) >= 500:
        return True
    return _has_cause(error, daytona.DaytonaConnectionError, HTTPError, ConnectionError)


def _has_cause(error: BaseException | None, *kinds: type[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, kinds):
            return True
        error = error.__cause__ or error.__context__
    return False


def _state(sandbox: Any) -> str:
    return str(getattr(sandbox.state, "value", sandbox.state) or "")


def _created(sandbox: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(sandbox.created_at)).timestamp()
    except ValueError:
        return None
