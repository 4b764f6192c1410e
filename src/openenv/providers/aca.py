"""Environment servers in dynamic sessions of Azure Container Apps, through Azure's management SDK.

A start is one session pool of its own, whose sessions run the environment's image in Hyper-V sandboxes; a replica
is one session. A session is told by a query parameter and wants an Entra token, which no base URL can say, so a
relay on this machine's loopback adds both. The pool says how long a session may live, and Azure ends it then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from openenv import settings
from openenv.errors import (
    ConfigurationError,
    EngineUnavailableError,
    ImageNotFoundError,
    OutOfSpaceError,
    ProviderError,
    ProviderStartError,
)
from openenv.providers.hosted import PORT, Hosted, HostedProvider
from openenv.providers.ownership import OwnedResource, Ownership
from openenv.providers.redaction import names_a_secret, redact
from openenv.providers.relay import Relay
from openenv.providers.source import Source

__all__ = ["ACASandboxProvider"]

SESSIONS_SCOPE = "https://dynamicsessions.io/.default"
DELETE_S = 300.0
RETRIES = 2

_NO_ROOM = re.compile(r"quota|limit|capacity", re.IGNORECASE)
_NO_IMAGE = re.compile(r"MANIFEST_UNKNOWN|pull image|image.*(not found|invalid)|UNAUTHORIZED: auth", re.IGNORECASE)


class ACASandboxProvider(HostedProvider):
    """Runs environment servers in dynamic sessions of Azure Container Apps. Needs `pip install 'openenv[aca]'`.

    ```python
    provider = ACASandboxProvider(
        image="lab.azurecr.io/echo-env:1.0", resource_group="rl", environment="lab", location="westeurope"
    )
    async with EchoEnv.with_provider(provider) as env: ...
    ```

    Whoever runs it needs the role "Container Apps SessionPools Contributor" to make pools and "Azure ContainerApps
    Session Executor" to use sessions.

    Args:
        image: An image in a registry that Azure can pull from; None takes the client class's own.
        resource_group: The resource group that the pool is made in.
        environment: The Container Apps environment, by name in that group or by resource id.
        location: Azure region.
        subscription_id: By default `AZURE_SUBSCRIPTION_ID`.
        credential: A credential of `azure.identity`; by default its `DefaultAzureCredential`, which takes the
            `AZURE_...` variables, a managed identity, or the login of the `az` command line.
        command: What starts the server, for a shell; None starts what the image starts by itself.
        port: Where the server listens in its session.
        replicas: Sessions to start.
        cpu: Cores of each session.
        memory: Memory of each, such as `1Gi`.
        network: Whether sessions may reach the internet.
        ready_sessions: Sessions that Azure keeps started, for a faster first answer; they cost as if in use.
        env_vars: Environment variables of the servers; those with a secret's name are kept as secrets of the pool.
        management_url: Where Azure's resource manager is; for other clouds.
        ready_timeout_s: Seconds until all servers must be healthy.
        create_timeout_s: Seconds until Azure must have made the pool.
        lifetime_s: Seconds a session may live, then Azure ends it. The empty pool is left to `openenv gc`.
    """

    kind = "aca"

    def __init__(
        self,
        *,
        resource_group: str,
        environment: str,
        location: str,
        image: str | None = None,
        subscription_id: str | None = None,
        credential: Any = None,
        command: str | None = None,
        port: int = PORT,
        replicas: int = 1,
        cpu: float = 0.5,
        memory: str = "1Gi",
        network: bool = False,
        ready_sessions: int = 0,
        env_vars: Mapping[str, str] | None = None,
        management_url: str | None = None,
        ready_timeout_s: float = 120.0,
        create_timeout_s: float = 600.0,
        lifetime_s: float = 3600.0,
    ) -> None:
        self.resource_group = resource_group
        self.environment = environment
        self.location = location
        self.image = image
        self.subscription_id = subscription_id or settings.azure_subscription()
        self.credential = credential
        self.command = command
        self.port = port
        self.replicas = replicas
        self.cpu = cpu
        self.memory = memory
        self.network = network
        self.ready_sessions = ready_sessions
        self.env_vars = dict(env_vars or {})
        self.management_url = management_url
        self.ready_timeout_s = ready_timeout_s
        self.create_timeout_s = create_timeout_s
        self.lifetime_s: float = lifetime_s
        self._relays: list[Relay] = []
        self._made_azure: _Azure | None = None

    # --- what a hosted provider implements -------------------------------------------------------

    def shutdown(self) -> None:
        """Close the relays and delete the pool, and its sessions with it."""
        while self._relays:
            self._relays.pop().close()
        super().shutdown()

    def _count(self) -> int:
        return 1  # one pool has the sessions of all replicas

    def _prepare(self, source: Source) -> Any:
        azure, pool = self._azure, self._pool(source)
        from azure.core.exceptions import ResourceNotFoundError

        with _told("answer", self.env_vars), suppress(ResourceNotFoundError):
            azure.pools.get(self.resource_group, self.ownership.name, **azure.options)  # which there is not
        return pool

    def _create(self, name: str, order: Any) -> Any:
        with _told(f"make the session pool {name}", self.env_vars):
            making = self._azure.pools.begin_create_or_update(
                self.resource_group, name, order, **self._azure.options
            )
            making.wait(self.create_timeout_s)
            if making.done():
                return making.result()
        raise ProviderStartError(
            f"Azure did not make the session pool {name} within the create budget of {self.create_timeout_s:g} s. "
            "If it needs longer, set create_timeout_s of the provider."
        )

    def _serve(self, name: str, handle: Any, source: Source) -> list[Hosted]:
        endpoint = handle.properties.pool_management_endpoint
        for number in range(self.replicas):
            self._relays.append(Relay(endpoint, query={"identifier": f"{name}-{number}"}, headers=self._authorized))
        return [Hosted(name, relay.url, None) for relay in self._relays]

    def _delete(self, name: str) -> None:
        self._azure.delete(self.resource_group, name)

    def _problem(self, hosted: Hosted) -> str | None:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            with _told(f"ask for the session pool {hosted.name}", self.env_vars):
                pool = self._azure.pools.get(self.resource_group, hosted.name, **self._azure.options)
        except EngineUnavailableError:  # it says nothing of the pool
            return None
        except ProviderError as error:
            if isinstance(error.__cause__, ResourceNotFoundError):
                return "Its session pool has been deleted."
            raise
        state = _state(pool)
        return f"Its session pool is {state}." if state in ("Failed", "Canceled", "Deleting") else None

    def _tail(self, hosted: Hosted, lines: int) -> str:
        return ""  # Azure tells what a session writes to Log Analytics only

    # --- what the engine keeps -------------------------------------------------------------------

    def where(self) -> dict[str, str]:
        """Return the subscription, and the resource manager if it is not the usual one."""
        url = {} if self.management_url is None else {"management_url": self.management_url}
        return {"subscription_id": self.subscription_id, **url}

    @classmethod
    def owned(cls, where: Mapping[str, str]) -> list[OwnedResource]:
        """Return the session pools of a subscription that providers have made."""
        azure = _Azure(where.get("subscription_id"), None, where.get("management_url"))
        with _told("list session pools", {}):
            pools = list(azure.pools.list_by_subscription(**azure.options))
        found = ((pool, Ownership.from_labels(pool.tags or {})) for pool in pools)
        return [
            OwnedResource(owned, str(pool.id), "session pool", _state(pool), where=dict(where))
            for pool, owned in found
            if owned is not None
        ]

    @classmethod
    def remove(cls, resource: OwnedResource) -> None:
        """Delete a session pool."""
        where = resource.where
        azure = _Azure(where.get("subscription_id"), None, where.get("management_url"))
        parts = resource.id.split("/")
        azure.delete(parts[parts.index("resourceGroups") + 1], parts[-1])

    # --- what is asked of Azure ------------------------------------------------------------------

    @property
    def _azure(self) -> _Azure:
        if self._made_azure is None:
            self._made_azure = _Azure(self.subscription_id, self.credential, self.management_url)
        return self._made_azure

    def _authorized(self) -> Mapping[str, str]:
        token = self._azure.credential.get_token(SESSIONS_SCOPE)  # kept and renewed by azure.identity
        return {"Authorization": f"Bearer {token.token}"}

    def _pool(self, source: Source) -> Any:
        models = _models()
        secret = set(filter(names_a_secret, self.env_vars))
        container = models.SessionContainer(
            name="environment",
            image=self._image_for(source),
            command=["/bin/sh", "-c", self.command] if self.command is not None else None,
            env=[
                models.EnvironmentVar(name=name, secret_ref=_secret_ref(name))
                if name in secret
                else models.EnvironmentVar(name=name, value=value)
                for name, value in self.env_vars.items()
            ],
            resources=models.SessionContainerResources(cpu=self.cpu, memory=self.memory),
        )
        lifecycle = models.LifecycleConfiguration(
            lifecycle_type="OnContainerExit", max_alive_period_in_seconds=int(self.lifetime_s)
        )
        return models.SessionPool(
            location=self.location,
            tags=self.ownership.labels(),
            properties=models.SessionPoolProperties(
                environment_id=self._environment_id(),
                container_type="CustomContainer",
                pool_management_type="Dynamic",
                scale_configuration=models.ScaleConfiguration(
                    max_concurrent_sessions=self.replicas, ready_session_instances=self.ready_sessions
                ),
                secrets=[
                    models.SessionPoolSecret(name=_secret_ref(n), value=self.env_vars[n]) for n in sorted(secret)
                ],
                dynamic_pool_configuration=models.DynamicPoolConfiguration(lifecycle_configuration=lifecycle),
                custom_container_template=models.CustomContainerTemplate(
                    containers=[container], ingress=models.SessionIngress(target_port=self.port)
                ),
                session_network_configuration=models.SessionNetworkConfiguration(
                    status="EgressEnabled" if self.network else "EgressDisabled"
                ),
            ),
        )

    def _environment_id(self) -> str:
        if self.environment.startswith("/"):
            return self.environment
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.App/managedEnvironments/{self.environment}"
        )


class _Azure:
    """A client of Azure's resource manager.

    Raises:
        ConfigurationError: The SDK is not installed, or no subscription is known.
    """

    def __init__(self, subscription_id: str | None, credential: Any, url: str | None) -> None:
        _models()
        from azure.identity import DefaultAzureCredential
        from azure.mgmt.appcontainers import ContainerAppsAPIClient

        subscription_id = subscription_id or settings.azure_subscription()
        if not subscription_id:
            raise ConfigurationError(
                "No Azure subscription is known: set AZURE_SUBSCRIPTION_ID, or give subscription_id."
            )
        self.credential = credential or DefaultAzureCredential()
        # A token goes over plain HTTP to this very machine only, and only if somebody says so.
        plain = url is not None and url.startswith("http://127.0.0.1:")
        self.options: dict[str, Any] = {"enforce_https": False} if plain else {}
        client = ContainerAppsAPIClient(
            self.credential, subscription_id, url, retry_total=RETRIES, polling_interval=1 if plain else 5
        )
        self.pools = client.container_apps_session_pools

    def delete(self, resource_group: str, name: str) -> None:
        """Delete a session pool and wait until it is gone; nothing happens if there is none."""
        from azure.core.exceptions import ResourceNotFoundError

        with _told(f"delete the session pool {name}", {}):
            try:
                deleting = self.pools.begin_delete(resource_group, name, **self.options)
                deleting.wait(DELETE_S)
            except ResourceNotFoundError:
                return
        if not deleting.done():
            raise ProviderError(
                f"Azure has not deleted the session pool {name} within {DELETE_S:g} s; stop() again."
            )


def _models() -> Any:
    try:
        import azure.identity  # noqa: F401 - a missing one is to be told now
        from azure.mgmt.appcontainers import models
    except ImportError as error:
        raise ConfigurationError(
            f"The provider 'aca' needs Azure's SDK: pip install 'openenv[aca]' ({error})."
        ) from error
    return models


@contextmanager
def _told(what: str, secrets: Mapping[str, str]) -> Iterator[None]:
    """Turn Azure's errors into this project's."""
    from azure.core.exceptions import AzureError

    try:
        yield
    except AzureError as error:
        kind, advice = _kind_of(error)
        raise kind(redact(f"Azure did not {what}: {error}. {advice}", secrets)) from error


def _kind_of(error: Any) -> tuple[type[ProviderError], str]:
    from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError, ServiceResponseError

    status = getattr(error, "status_code", None) or 0
    if isinstance(error, ServiceRequestError | ServiceResponseError) or status >= 500:
        return EngineUnavailableError, "Is Azure's resource manager reachable (management_url)?"
    if isinstance(error, ClientAuthenticationError) or status in (401, 403):
        return EngineUnavailableError, (
            "Log in with 'az login', or set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET, and see "
            "which roles the account has."
        )
    if status == 429 or _NO_ROOM.search(str(error)):
        return OutOfSpaceError, "Delete session pools (openenv gc), or have the quota raised."
    if _NO_IMAGE.search(str(error)):
        return ImageNotFoundError, "Push the image to a registry that Azure can pull from, or correct its name."
    return ProviderStartError, "See the resource group in Azure's portal for more."


def _state(pool: Any) -> str:
    state = pool.properties.provisioning_state
    return str(getattr(state, "value", state))


def _secret_ref(name: str) -> str:
    return re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")
