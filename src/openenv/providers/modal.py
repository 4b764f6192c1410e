"""Environment servers in Modal sandboxes, through Modal's own SDK.

A server is reached at the URL of a connect token, which lets nobody in without the token. The lifetime is the
sandbox's timeout, which Modal enforces.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

__all__ = ["ModalProvider"]

APP = "openenv"
LONGEST_LIFE_S = 86400.0

_NO_IMAGE = re.compile(r"manifest unknown|pull access denied|not found|image build.*failed", re.IGNORECASE)


class ModalProvider(HostedProvider):
    """Runs environment servers in Modal sandboxes. Needs `pip install 'openenv[modal]'` and an account.

    ```python
    provider = ModalProvider(image="ada/echo-env:1.0", cpu=2.0, memory_mib=4096)
    async with EchoEnv.with_provider(provider) as env:
        await env.reset()
    ```

    Args:
        image: An image in a registry that Modal can pull from; None takes the client class's own.
        command: What starts the server, for a shell. None serves the client class's package on `port`.
        port: Where the server listens in the sandbox.
        replicas: Sandboxes to start.
        app: The app of Modal's that the sandboxes belong to; made if it is not there.
        cpu: Cores that each reserves; None leaves it to Modal.
        memory_mib: Memory that each reserves, MiB; None leaves it to Modal.
        network: Whether the sandbox may reach the internet.
        region: Where to run; None leaves it to Modal.
        env_vars: Environment variables of the server.
        token_id: Half of Modal's credentials; by default `MODAL_TOKEN_ID`, or what `modal setup` has stored.
        token_secret: The other half; by default `MODAL_TOKEN_SECRET`.
        ready_timeout_s: Seconds until all servers must be healthy.
        lifetime_s: Seconds after which Modal ends the sandboxes; a day at most.

    Raises:
        ConfigurationError: The lifetime is longer than a day, or one half of the credentials is missing.
    """

    kind = "modal"

    def __init__(
        self,
        *,
        image: str | None = None,
        command: str | None = None,
        port: int = PORT,
        replicas: int = 1,
        app: str = APP,
        cpu: float | None = None,
        memory_mib: int | None = None,
        network: bool = False,
        region: str | None = None,
        env_vars: Mapping[str, str] | None = None,
        token_id: str | None = None,
        token_secret: str | None = None,
        ready_timeout_s: float = 120.0,
        lifetime_s: float = LONGEST_LIFE_S,
    ) -> None:
        if not 1 <= lifetime_s <= LONGEST_LIFE_S:
            raise ConfigurationError(f"A sandbox of Modal's lives 1 to {LONGEST_LIFE_S:g} s, not {lifetime_s:g}.")
        if (token_id is None) != (token_secret is None):
            raise ConfigurationError("Give both token_id and token_secret, or none of them.")
        self.image = image
        self.command = command
        self.port = port
        self.replicas = replicas
        self.app = app
        self.cpu = cpu
        self.memory_mib = memory_mib
        self.network = network
        self.region = region
        self.env_vars = dict(env_vars or {})
        self.token_id = token_id
        self.token_secret = token_secret
        self.ready_timeout_s = ready_timeout_s
        self.lifetime_s: float = lifetime_s
        self._made_client: Any = None

    # --- what a hosted provider implements -------------------------------------------------------

    def _prepare(self, source: Source) -> Any:
        image, command = self._image_for(source), self._command_for(source)
        client = self._client
        import modal

        with _told(f"find the app {self.app}", self._secrets()):
            app = modal.App.lookup(self.app, client=client, create_if_missing=True)
        return functools.partial(
            modal.Sandbox.create,
            "/bin/sh",
            "-c",
            command,
            app=app,
            tags=self.ownership.labels(),
            image=modal.Image.from_registry(image),
            env=dict(self.env_vars),
            timeout=int(self.lifetime_s),
            cpu=self.cpu,
            memory=self.memory_mib,
            region=self.region,
            # Not `block_network`, which would keep requests out, too.
            outbound_cidr_allowlist=None if self.network else [],
            client=client,
        )

    def _create(self, name: str, order: Any) -> Any:
        import modal

        with _told(f"create {name}", self._secrets()):
            try:
                return order(name=name)
            except modal.exception.AlreadyExistsError:
                return self._own(name)

    def _serve(self, name: str, handle: Any, source: Source) -> list[Hosted]:
        with _told(f"give access to {name}", self._secrets()):
            access = handle.create_connect_token(port=self.port)
        return [Hosted(name, access.url.rstrip("/"), handle, {"Authorization": f"Bearer {access.token}"})]

    def _delete(self, name: str) -> None:
        import modal

        client = self._client
        with _told(f"delete {name}", self._secrets()):
            try:
                modal.Sandbox.from_name(self.app, name, client=client).terminate()
            except modal.exception.NotFoundError:  # gone already
                return

    def _problem(self, hosted: Hosted) -> str | None:
        try:
            with _told(f"ask for {hosted.name}", self._secrets()):
                code = hosted.handle.poll()
        except EngineUnavailableError:  # it says nothing of the sandbox
            return None
        if code is None:
            return None
        return f"Its command ended with exit code {code}, or its lifetime is over. Modal's dashboard has its log."

    def _tail(self, hosted: Hosted, lines: int) -> str:
        return ""  # Modal has a service of its own for logs, which no double stands for

    def _secrets(self) -> Mapping[str, str]:
        return self.env_vars if self.token_secret is None else {**self.env_vars, "TOKEN_SECRET": self.token_secret}

    # --- what the engine keeps -------------------------------------------------------------------

    def where(self) -> dict[str, str]:
        """Return the name of the app; credentials are never told."""
        return {"app": self.app}

    @classmethod
    def owned(cls, where: Mapping[str, str]) -> list[OwnedResource]:
        """Return the running sandboxes of an app, of all programs; the app is `openenv` unless `where` says."""
        client = _client(None, None)
        import modal

        with _told("list sandboxes", {}):
            try:
                app = modal.App.lookup(where.get("app", APP), client=client)
            except modal.exception.NotFoundError:  # nobody has made anything
                return []
            wanted = {f"{PREFIX}provider": cls.kind}
            sandboxes = list(modal.Sandbox.list(app_id=app.app_id, tags=wanted, client=client))
            found = [(sandbox.object_id, Ownership.from_labels(sandbox.get_tags())) for sandbox in sandboxes]
        return [
            OwnedResource(owned, id_, "sandbox", "running", where=dict(where))
            for id_, owned in found
            if owned is not None
        ]

    @classmethod
    def remove(cls, resource: OwnedResource) -> None:
        """Terminate a sandbox."""
        client = _client(None, None)
        import modal

        with _told(f"delete {resource.id}", {}):
            try:
                modal.Sandbox.from_id(resource.id, client=client).terminate()
            except modal.exception.NotFoundError:
                return

    # --- Modal's SDK -----------------------------------------------------------------------------

    @property
    def _client(self) -> Any:
        if self._made_client is None:
            self._made_client = _client(self.token_id, self.token_secret)
        return self._made_client

    def _own(self, name: str) -> Any:
        """Return the sandbox that an earlier, unanswered create of ours has made."""
        import modal

        sandbox = modal.Sandbox.from_name(self.app, name, client=self._client)
        if Ownership.from_labels(sandbox.get_tags()) != self.ownership:
            raise self.failure(NameTakenError, f"Modal has a sandbox {name} of somebody else's; start again.")
        return sandbox


def _client(token_id: str | None, token_secret: str | None) -> Any:
    """Return a client of Modal's.

    Raises:
        ConfigurationError: The SDK is not installed, or there are no credentials.
    """
    try:
        import modal
    except ImportError as error:
        raise ConfigurationError(
            f"The provider 'modal' needs Modal's SDK: pip install 'openenv[modal]' ({error})."
        ) from error
    if token_id is None and not modal.config.config.get("token_id"):
        raise ConfigurationError(
            "There are no credentials of Modal's: set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET, run 'modal setup', or "
            "give token_id and token_secret."
        )
    with _told("let us in", {"TOKEN_SECRET": token_secret or ""}):
        if token_id is None:
            return modal.Client.from_env()
        client = modal.Client.from_credentials(token_id, token_secret)
        client.hello()
        return client


@contextmanager
def _told(what: str, secrets: Mapping[str, str]) -> Iterator[None]:
    """Turn Modal's errors into this project's."""
    import modal

    try:
        yield
    except modal.exception.Error as error:
        kind, advice = _kind_of(error)
        raise kind(redact(f"Modal did not {what}: {error}. {advice}", secrets)) from error


def _kind_of(error: Any) -> tuple[type[ProviderError], str]:
    from modal import exception

    if isinstance(error, exception.AuthError | exception.PermissionDeniedError):
        return EngineUnavailableError, "Check MODAL_TOKEN_ID and MODAL_TOKEN_SECRET (or token_id and token_secret)."
    if isinstance(error, exception.ConnectionError | exception.ServiceError | exception.InternalError):
        return EngineUnavailableError, "Is the service up, and is MODAL_SERVER_URL right if it is set?"
    if isinstance(error, exception.ResourceExhaustedError):
        return OutOfSpaceError, "End sandboxes (openenv gc), ask for less, or have the quota raised."
    if isinstance(error, exception.ImageBuildError) or _NO_IMAGE.search(str(error)):
        return ImageNotFoundError, "Push the image to a registry that Modal can pull from, or correct its name."
    return ProviderStartError, "See the app in Modal's dashboard for more."
