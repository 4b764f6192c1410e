"""The command table: printed without importing a command, and open to other distributions."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from openenv._version import __version__
from openenv.cli.main import COMMANDS, cli

PLUGIN = """
import click

@click.command()
def hello():
    "Say hello."
    click.echo("hello from outside")
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """Install a distribution that adds commands, the way pip would leave it."""
    (tmp_path / "outside.py").write_text(PLUGIN)
    info = tmp_path / "outside_openenv-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-openenv\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[openenv.commands]\n"
        "hello = outside:hello\n"
        "serve = outside:hello\n"
        "broken = nowhere:hello\n"
        "odd = outside:click\n"
    )
    return tmp_path


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_row_of_the_table_is_a_command_with_help(name):
    with click.Context(cli) as context:
        command = cli.get_command(context, name)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help


def test_help_imports_no_command_and_no_heavy_library():
    program = (
        "import sys\n"
        "from openenv.cli.main import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "print([m for m in sys.modules if m.startswith('openenv.cli.') or m in "
        "('fastapi', 'starlette', 'uvicorn', 'pydantic', 'rich', 'yaml', 'httpx')])\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    *help_page, loaded = ran.stdout.splitlines()
    assert loaded == "['openenv.cli.main']"
    for name, row in COMMANDS.items():
        assert any(line.split()[:1] == [name] and row.help[:20] in line for line in help_page)


def test_the_version_is_printed(run_openenv):
    assert run_openenv("--version").stdout == f"openenv {__version__}\n"


def test_an_unknown_command_is_an_error(run_openenv):
    ran = run_openenv("sevre")
    assert ran.returncode == 2
    assert "No such command 'sevre'" in ran.stderr


def test_an_error_of_this_project_is_shown_without_a_traceback():
    result = CliRunner(env={"OPENENV_MAX_MESSAGE_SIZE_MB": "big"}).invoke(
        cli, ["serve", "json:loads", "--port", "0"]
    )
    assert result.exit_code == 1
    assert result.output.endswith("Error: OPENENV_MAX_MESSAGE_SIZE_MB='big' is not a positive number\n")


def test_another_distribution_can_add_a_command(run_openenv, plugin):
    assert "From outside-openenv." in run_openenv("--help", path=str(plugin)).stdout
    assert run_openenv("hello", path=str(plugin)).stdout == "hello from outside\n"


def test_another_distribution_cannot_replace_a_command(run_openenv, plugin):
    assert "hello from outside" not in run_openenv("serve", "--help", path=str(plugin)).stdout


@pytest.mark.parametrize(
    ("name", "reason"), [("broken", "No module named 'nowhere'"), ("odd", "must be a click command")]
)
def test_a_broken_command_of_another_distribution_names_it(run_openenv, plugin, name, reason):
    ran = run_openenv(name, path=str(plugin))
    assert ran.returncode == 1
    assert reason in ran.stderr
    assert "outside-openenv" in ran.stderr
    assert "Traceback" not in ran.stderr
