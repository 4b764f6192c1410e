"""`create_app`: an environment becomes a FastAPI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response

from openenv import settings
from openenv._version import __version__
from openenv.environment.adapter import Shape
from openenv.errors import ConfigurationError, RequestError
from openenv.mcp.actions import ActionTools
from openenv.mcp.functions import declared
from openenv.mcp.types import CallToolAction
from openenv.models import State
from openenv.protocol.codec import ServerCodec
from openenv.protocol.codec_v2 import ServerCodecV2
from openenv.protocol.codes import ServerMode
from openenv.protocol.messages import ConcurrencyConfig, SchemaResponse
from openenv.server.budgets import Budgets
from openenv.server.config import ServerContext
from openenv.server.given import as_factory, concurrency, instances_meet, isolation_of
from openenv.server.manager import SessionManager
from openenv.server.routes import http, info, mcp, websocket
from openenv.server.slots import Slots
from openenv.server.snapshots import SnapshotLimits
from openenv.server.worker.forks import ForkServer


class HTTPEnvServer:
    """The sessions and routes of one environment, to be put into an application of one's own.

    Args:
        env: An environment class, a function that makes one, or one instance (then there is one session).
        action_cls: The action class or union; taken from the environment's type arguments if not given.
        observation_cls: The observation class; likewise.
        env_name: What `/metadata` calls the environment; its class name by default.
        max_concurrent_envs: Sessions at once. By default `MAX_CONCURRENT_ENVS` if set, else 128 for a class
            with `SUPPORTS_CONCURRENT_SESSIONS`, else 1.
        concurrency_config: The same and the idle timeout, as one object.
        budgets: How long things may take; see `Budgets`.
        isolation: `auto` (default): a process for each session unless the class declares
            SUPPORTS_CONCURRENT_SESSIONS; `process`: always; `none`: never.
        state_cls: The state class; likewise taken from the environment.
        mode: `simulation` (default) or `production`.
        reset_observation_cls: What `reset` returns, where that differs.
        strict: Refuse a seed or other argument that the environment does not declare, instead of warning.
        snapshots: How many snapshots to keep; by default `OPENENV_MAX_SNAPSHOTS` and `OPENENV_MAX_SNAPSHOTS_MB` if
            set, else 64 and 256 MiB.

    Raises:
        ConfigurationError: The environment can not be served as asked.
    """

    def __init__(
        self,
        env: Any,
        action_cls: Any = None,
        observation_cls: Any = None,
        *,
        env_name: str | None = None,
        max_concurrent_envs: int | None = None,
        concurrency_config: ConcurrencyConfig | None = None,
        budgets: Budgets | None = None,
        state_cls: Any = State,
        mode: str | ServerMode | None = None,
        reset_observation_cls: Any = None,
        isolation: str = "auto",
        strict: bool = False,
        snapshots: SnapshotLimits | None = None,
    ) -> None:
        if max_concurrent_envs is not None and concurrency_config is not None:
            raise ConfigurationError("Give max_concurrent_envs or concurrency_config, not both")
        if max_concurrent_envs is not None and max_concurrent_envs < 1:
            raise ConfigurationError(f"max_concurrent_envs is at least 1, not {max_concurrent_envs}")
        factory, shared = as_factory(env)
        shape = Shape.of(type(env) if shared else env) if shared or isinstance(env, type) else None
        if shape is None and (action_cls is None or observation_cls is None):
            raise ConfigurationError("Give action_cls and observation_cls: a factory does not tell its types")
        if shape is not None and action_cls is None and "action" not in shape.types:
            raise ConfigurationError(
                f"{shape.cls.__name__} does not say which actions it takes: subclass Environment[ActionType, ...], "
                "annotate the action of step(), or give action_cls"
            )
        action = action_cls if action_cls is not None or shape is None else shape.action
        observation = observation_cls if observation_cls is not None or shape is None else shape.observation
        tools = ActionTools(action, observation)
        if shape is not None:
            _refuse_forgotten_tools(shape.cls)
        codec = ServerCodec(
            action,
            observation,
            shape.state if shape is not None and state_cls is State else state_cls,
            reset_observation_cls,
            tools.called,
        )
        limit = max_concurrent_envs if max_concurrent_envs is not None else settings.max_concurrent_envs()
        target = isolation_of(env, shared, isolation)
        self.mode = _mode(mode)
        self.manager = SessionManager(
            factory,
            concurrency(env, shared, concurrency_config, limit, isolated=target is not None),
            forks=ForkServer(target, codec.action) if target is not None else None,
            budgets=budgets,
            name=env_name,
            shared=shared,
            strict=strict,
            mode=self.mode,
            tools=tools,
            snapshots=snapshots or SnapshotLimits.model_validate(settings.snapshot_limits()),
        )
        self._shared_environment = env if shared else None
        self._meeting = getattr(env, "__name__", type(env).__name__) if instances_meet(env) else ""
        self._context: ServerContext = ServerContext(
            self.manager,
            codec,
            ServerCodecV2(codec.action, tools.called),
            _titled(codec.schema(), tools),
            self.mode,
            settings.max_message_size(),
        )

    def register_routes(self, app: FastAPI) -> None:
        """Add the routes of this environment to an application."""
        app.state.openenv = self
        routers = [info.router(self._context), mcp.router(self._context)]
        if self.mode is ServerMode.SIMULATION:
            app.state.openenv_fast = self._context  # `/ws` may take the way of `server.fast`
            routers += [*http.routers(self._context), websocket.router(self._context)]
        for router in routers:
            app.include_router(router)
        app.add_exception_handler(RequestError, _refuse)

    def join(self, slots: Slots) -> ServerContext:
        """Count and name sessions together with other processes; return what the routes share.

        Args:
            slots: What they count by. There must be no session yet.

        Raises:
            ConfigurationError: Its sessions have to be in one process.
        """
        if self._meeting:
            raise ConfigurationError(
                f"{self._meeting} can not be served by several processes: its sessions play with one another, and "
                "meet in one. Leave out --workers; start more servers if one is not enough"
            )
        self.manager.slots = slots
        return self._context

    async def close(self) -> None:
        """End all sessions, and the environment if it was given as an instance."""
        await self.manager.close()
        close = getattr(self._shared_environment, "close", None)
        closing = close() if callable(close) else None
        if isinstance(closing, Awaitable):
            await closing


def create_app(
    env: Any,
    action_cls: Any = None,
    observation_cls: Any = None,
    env_name: str | None = None,
    max_concurrent_envs: int | None = None,
    concurrency_config: ConcurrencyConfig | None = None,
    gradio_builder: Callable[..., Any] | None = None,
    custom_tab_name: str = "Custom",
    custom_tab_primary: bool = False,
    show_default_tab: bool = True,
    title_override: str | None = None,
    state_cls: Any = State,
    *,
    mode: str | ServerMode | None = None,
    reset_observation_cls: Any = None,
    budgets: Budgets | None = None,
    isolation: str = "auto",
    strict: bool = False,
    snapshots: SnapshotLimits | None = None,
) -> FastAPI:
    """Return an application that serves an environment.

    The arguments that are not described here are those of `HTTPEnvServer`.

    Args:
        env: An environment class, a function that makes one, or one instance.
        gradio_builder: Builds a tab of one's own on the web page, which ENABLE_WEB_INTERFACE turns on.
        custom_tab_name: Its title.
        custom_tab_primary: Show it first.
        show_default_tab: Show the generated tab too.
        title_override: Title of the page and of the API document.

    Raises:
        ConfigurationError: The environment can not be served as asked.
    """
    server = HTTPEnvServer(
        env,
        action_cls,
        observation_cls,
        env_name=env_name,
        max_concurrent_envs=max_concurrent_envs,
        concurrency_config=concurrency_config,
        budgets=budgets,
        isolation=isolation,
        state_cls=state_cls,
        mode=mode,
        reset_observation_cls=reset_observation_cls,
        strict=strict,
        snapshots=snapshots,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await server.close()

    app = FastAPI(title=title_override or "OpenEnv Environment HTTP API", version=__version__, lifespan=lifespan)
    server.register_routes(app)
    if settings.web_interface() and server.mode is ServerMode.SIMULATION:
        from openenv.server.web import Page, add_page

        add_page(app, Page(gradio_builder, custom_tab_name, custom_tab_primary, show_default_tab, title_override))
    return app


create_fastapi_app = create_app


def _titled(schema: SchemaResponse, tools: ActionTools) -> SchemaResponse:
    """Return the schemas, with a title by which trainers know that the actions are nothing but calls of tools."""
    if tools.takes_calls and not tools.tools:
        schema.action.setdefault("title", CallToolAction.__name__)
    return schema


def _refuse_forgotten_tools(cls: type) -> None:
    """Refuse a class whose `@tool` methods nobody would ever see."""
    names = [one.function.mark.name for one in declared(cls)]
    if names and not hasattr(cls, "list_tools"):
        raise ConfigurationError(
            f"{cls.__name__} has tools ({', '.join(names)}) and no list_tools(): subclass MCPEnvironment, which "
            "lists and calls them beside other actions"
        )


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return http.error_response(error)


def _mode(mode: str | ServerMode | None) -> ServerMode:
    wanted = mode if mode is not None else settings.server_mode()
    try:
        return ServerMode(wanted)
    except ValueError:
        names = ", ".join(m.value for m in ServerMode)
        raise ConfigurationError(f"mode is one of {names}, not {wanted!r}") from None
