"""Every old import path gives the object that lives at its new home, and costs no more than that does."""

import importlib
import pkgutil
import subprocess
import sys
import warnings

import pytest

import openenv.core
import openenv.core.env_server

SERVER = "openenv.core.env_server"

HOMES = {
    f"{SERVER}.interfaces": {
        "openenv.environment.base": "Environment Transform TaskProvider Message ModelTokenizer",
    },
    f"{SERVER}.types": {
        "openenv.models": "Action Observation State EnvironmentMetadata CodeExecResult",
        "openenv.protocol.codes": "HealthStatus ServerMode WSErrorCode",
        "openenv.protocol.messages": (
            "ResetRequest ResetResponse StepRequest StepResponse SchemaResponse HealthResponse BaseMessage "
            "WSResetMessage WSStepMessage WSStateMessage WSCloseMessage WSObservationResponse WSStateResponse "
            "WSErrorResponse WSIncomingMessage ConcurrencyConfig ServerCapacityStatus SessionInfo"
        ),
    },
    f"{SERVER}.http_server": {"openenv.server.app": "create_app create_fastapi_app HTTPEnvServer"},
    f"{SERVER}.mcp_environment": {"openenv.mcp.environment": "MCPEnvironment"},
    f"{SERVER}.mcp_types": {
        "openenv.mcp.types": (
            "Tool ToolError ToolErrorType ListToolsAction CallToolAction ListToolsObservation CallToolObservation "
            "JsonRpcRequest JsonRpcResponse JsonRpcError JsonRpcErrorCode McpMethod RESERVED_TOOL_NAMES"
        ),
        "openenv.protocol.messages": "WSMCPMessage WSMCPResponse",
    },
    f"{SERVER}.serialization": {
        "openenv.protocol.serialization": (
            "deserialize_action deserialize_action_with_preprocessing serialize_observation"
        ),
    },
    f"{SERVER}.exceptions": {
        "openenv.errors": (
            "OpenEnvError ConcurrencyConfigurationError SessionCapacityError SessionNotFoundError "
            "SessionCreationError EnvironmentFactoryError"
        ),
    },
    f"{SERVER}.base_transforms": {"openenv.environment.transforms": "CompositeTransform NullTransform"},
    f"{SERVER}.web_interface": {
        "openenv.server.web.application": "create_web_interface_app",
        "openenv.server.web.manager": "WebInterfaceManager",
    },
    f"{SERVER}.gradio_theme": {"openenv.server.web.theme": "OPENENV_GRADIO_CSS"},
    f"{SERVER}.gradio_ui": {"openenv.server.web.blocks": "build_gradio_app get_gradio_display_title"},
    "openenv.core.env_client": {"openenv.client.base": "EnvClient"},
    "openenv.core.sync_client": {"openenv.client.sync": "SyncEnvClient"},
    "openenv.core.generic_client": {"openenv.client.generic": "GenericEnvClient GenericAction"},
    "openenv.core.mcp_client": {"openenv.client.mcp": "MCPClientBase MCPToolClient"},
    "openenv.core.http_env_client": {"openenv.client.http": "HTTPEnvClient"},
    "openenv.core.client_types": {"openenv.models": "StepResult"},
    "openenv.core.environment": {
        "openenv.environment.base": "Environment Transform TaskProvider Message ModelTokenizer",
    },
    "openenv.core.utils": {
        "openenv.client.portal": "run_async_safely",
        "openenv.client.link": "convert_to_ws_url",
    },
    "openenv.core.containers.runtime": {"openenv.providers.spellings": "ContainerProvider RuntimeProvider"},
    "openenv.core.containers.runtime.providers": {
        "openenv.providers.spellings": "ContainerProvider RuntimeProvider",
    },
    "openenv": {
        "openenv.client.base": "EnvClient",
        "openenv.client.generic": "GenericEnvClient GenericAction",
        "openenv.client.sync": "SyncEnvClient",
        "openenv._version": "__version__",
    },
}

ROWS = [
    (old, home, name) for old, homes in HOMES.items() for home, names in homes.items() for name in names.split()
]
SERVER_ROWS = [row for row in ROWS if row[0].startswith(f"{SERVER}.")]
CLIENT_ROWS = [
    row for row in ROWS if row[0].split(".")[-1] in ("env_client", "sync_client", "generic_client", "mcp_client")
]


def at(module: str, name: str) -> object:
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize(("old", "home", "name"), ROWS)
def test_an_old_path_gives_the_object_of_its_new_home(old, home, name):
    assert at(old, name) is at(home, name)


def test_the_packages_give_every_name_of_their_modules():
    for _, home, name in SERVER_ROWS:
        assert at(SERVER, name) is at("openenv.core", name) is at(home, name)
    for _, home, name in CLIENT_ROWS:
        assert at("openenv.core", name) is at(home, name)


def test_the_packages_list_what_they_give_and_nothing_else():
    server = {name for _, _, name in SERVER_ROWS}
    assert set(openenv.core.env_server.__all__) == server
    assert set(openenv.core.__all__) == server | {name for _, _, name in CLIENT_ROWS}
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = openenv.core.no_such_name
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = openenv.core.env_server.no_such_name


def modules_of_core() -> list[str]:
    found = pkgutil.walk_packages(openenv.core.__path__, "openenv.core.")
    return sorted(module.name for module in found)


def test_every_module_of_core_is_in_the_table_and_defines_nothing():
    packages = {SERVER, "openenv.core.containers"}
    assert set(modules_of_core()) - packages == {old for old in HOMES if old.startswith("openenv.core.")}
    for name in modules_of_core():
        own = [
            value
            for value in vars(importlib.import_module(name)).values()
            if getattr(value, "__module__", None) == name
            and getattr(value, "__name__", "") not in ("__getattr__", "__dir__")
        ]
        assert not own, f"{name} defines {own}"


def test_modules_are_attributes_of_their_packages_without_being_imported():
    program = (
        "import openenv.core\n"
        "assert openenv.core.env_server.types.Action is openenv.core.Action\n"
        "assert openenv.core.env_client.EnvClient is openenv.core.EnvClient\n"
        "assert openenv.core.env_server.http_server.create_app is openenv.core.create_app\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_names_that_need_no_web_framework_load_none():
    program = (
        "import sys\n"
        "from openenv.core import Action, EnvClient, Environment, GenericEnvClient, SyncEnvClient, Tool\n"
        "from openenv.core.env_server import State, deserialize_action\n"
        "from openenv.core.env_server.interfaces import Environment\n"
        "from openenv.core.env_server.types import Observation\n"
        "from openenv.core.containers.runtime import ContainerProvider\n"
        "import openenv.core.client_types, openenv.core.http_env_client, openenv.core.utils\n"
        "print(*{'fastapi', 'starlette', 'uvicorn'} & sys.modules.keys())\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == ""


# --- the name before that ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def openenv_core():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module("openenv_core")


def test_openenv_core_warns_at_the_line_that_imports_it():
    program = "\n\nimport openenv_core.env_server\n"
    ran = subprocess.run(
        [sys.executable, "-W", "always::DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "<string>:3: DeprecationWarning: openenv_core is the old name of openenv.core" in ran.stderr
    assert ran.stderr.count("DeprecationWarning") == 1


def test_openenv_core_gives_every_name(openenv_core):
    assert openenv_core.__all__ == openenv.core.__all__
    for name in openenv_core.__all__:
        assert getattr(openenv_core, name) is getattr(openenv.core, name)
    assert {"EnvClient", "create_app"} <= set(dir(openenv_core))


def test_every_module_of_openenv_core_is_that_of_openenv_core_with_a_dot(openenv_core):
    for new in modules_of_core():
        old = new.replace("openenv.core", "openenv_core", 1)
        assert importlib.import_module(old) is importlib.import_module(new)
        assert importlib.import_module(new).__name__ == new


def test_a_module_that_openenv_core_lacks_is_missed_by_its_old_name(openenv_core):
    with pytest.raises(ModuleNotFoundError, match=r"openenv_core\.no_such_module"):
        importlib.import_module("openenv_core.no_such_module")
