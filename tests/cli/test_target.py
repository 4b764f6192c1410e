"""What `openenv serve` may be pointed at, and what it says of what it cannot serve."""

import sys
from pathlib import Path

import click
import pytest
from fastapi import FastAPI

from openenv.cli.target import load, locate, package_name

pytestmark = pytest.mark.usefixtures("clean_imports")


def test_a_folder_is_served_under_its_own_name(make_environment):
    target = locate(str(make_environment()))
    app, has_a_name = load(target)
    assert (target.name, target.import_string) == ("counter_env", "counter_env.server.app:app")
    assert has_a_name
    assert sys.modules["counter_env.server.app"].app is app
    assert "server" not in sys.modules


def test_a_name_that_is_missing_is_answered_with_those_there_are(make_environment, monkeypatch):
    monkeypatch.chdir(make_environment().parent)
    with pytest.raises(click.ClickException, match=r"It has counter_env\.server\.app:app\."):
        load(locate("counter_env.server.app:nosuch"))


def test_the_current_folder_may_be_a_dot(make_environment, monkeypatch):
    monkeypatch.chdir(make_environment())
    assert locate(".").module == "counter_env.server.app"


def test_the_manifest_says_where_the_app_is(make_environment):
    manifest = "name: Counting\napp: web:application\n"
    app = "from .server.app import app as application\n"
    target = locate(str(make_environment(files={"openenv.yaml": manifest, "web.py": app})))
    assert (target.name, target.import_string) == ("Counting", "counter_env.web:application")
    assert callable(load(target)[0])


def test_the_manifest_may_name_the_package_too(make_environment):
    folder = make_environment(files={"openenv.yaml": "app: counter_env.server.app:app"})
    assert locate(str(folder)).module == "counter_env.server.app"


def test_a_folder_of_another_name_is_imported_under_the_name_its_project_gives(make_environment):
    project = '[tool.setuptools]\npackage-dir = { "counter_env" = ".", "counter_env.server" = "server" }\n'
    folder = make_environment("checkout-main", files={"pyproject.toml": project})
    target = locate(str(folder))
    _, has_a_name = load(target)
    assert target.module == "counter_env.server.app"
    assert sys.modules["counter_env"].__file__ == str(folder / "__init__.py")
    assert not has_a_name  # another process would not find it


def test_dashes_in_a_folder_name_become_underscores(make_environment):
    folder = make_environment("counter-env")
    assert package_name(folder) == "counter_env"
    assert callable(load(locate(str(folder)))[0])


def test_a_folder_that_is_no_package_is_served_from_within(make_environment):
    sample = make_environment("sample") / "server"
    files = {
        "__init__.py": None,
        "server/app.py": (sample / "app.py").read_text().replace("from .environment", "from server.environment"),
        "server/environment.py": (sample / "environment.py").read_text().replace("..models", "models"),
    }
    folder = make_environment(files=files)
    target = locate(str(folder))
    assert target.import_string == "server.app:app"
    assert callable(load(target)[0])


def test_an_installed_package_is_found_by_its_name(make_environment, monkeypatch):
    folder = make_environment()
    monkeypatch.syspath_prepend(folder.parent)
    assert locate("counter_env").folder == folder


def test_an_app_is_found_by_module_and_name(make_environment, monkeypatch):
    monkeypatch.chdir(make_environment().parent)
    app, has_a_name = load(locate("counter_env.server.app:app"))
    assert callable(app)
    assert has_a_name


def test_an_environment_class_is_wrapped_into_an_app(make_environment, monkeypatch):
    monkeypatch.chdir(make_environment().parent)
    app, has_a_name = load(locate("counter_env.server.environment:Counter"))
    assert isinstance(app, FastAPI)
    assert not has_a_name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no/such/place", "no such folder"),
        ("nowhere", "openenv init"),
        ("nowhere:app", "no module 'nowhere'"),
        (":app", "module:attribute"),
        ("json:", "module:attribute"),
        ("json:application", "json has no 'application'"),
        ("json:loads.deeper", "json has no 'loads.deeper'"),
        ("json:__name__", "neither an app nor an Environment class"),
        ("json:JSONDecoder", "has no reset()"),
    ],
)
def test_what_is_no_environment_is_told_plainly(text, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(click.ClickException) as caught:
        load(locate(text))
    assert told in caught.value.message


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"server/app.py": None}, "no server/app.py"),
        ({"openenv.yaml": "app: wsgi:app"}, "no wsgi.py"),
        ({"openenv.yaml": "app: 5"}, "write module:attribute"),
        ({"openenv.yaml": "- app"}, "must hold 'key: value' lines"),
        ({"openenv.yaml": "app: [server"}, "not valid YAML"),
        ({"server/app.py": "app = None"}, "neither an app nor an Environment class"),
        ({"server/app.py": "application = 1"}, "no 'app'"),
        (
            {"server/app.py": "\nimport not_there_at_all"},
            "ModuleNotFoundError: No module named 'not_there_at_all'",
        ),
        ({"models.py": "\nimport not_there_at_all"}, "(models.py, line 2)"),
        ({"server/app.py": "import not_there_at_all"}, "pip install -e"),
        ({"server/app.py": "1 / 0"}, "ZeroDivisionError: division by zero (server/app.py, line 1)"),
        (
            {"server/environment.py": "x = 1\ny = ("},
            "SyntaxError: '(' was never closed (server/environment.py, line 2)",
        ),
        ({"server/app.py": "app = ("}, "SyntaxError"),
    ],
)
def test_a_folder_that_cannot_be_served_says_why(make_environment, files, told):
    with pytest.raises(click.ClickException) as caught:
        load(locate(str(make_environment(files=files))))
    assert told in caught.value.message


def test_a_file_is_answered_with_its_folder(make_environment):
    path = make_environment() / "server" / "app.py"
    with pytest.raises(click.ClickException, match=r"give the environment's folder"):
        locate(str(path))


def test_a_copy_elsewhere_on_the_path_is_not_taken_for_the_folder(make_environment, monkeypatch, tmp_path):
    other: Path = tmp_path / "site" / "counter_env"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(other.parent)
    folder = make_environment()
    load(locate(str(folder)))
    assert sys.modules["counter_env"].__file__ == str(folder / "__init__.py")
