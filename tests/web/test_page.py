"""The page's files and JSON routes, and what is there when it is off."""

import re
import subprocess
import sys

import httpx
import pytest
from tests.toys import Counter
from tests.web.shown import Shown

from openenv.errors import ConfigurationError
from openenv.server.app import create_app
from openenv.server.web import add_page
from openenv.server.web.about import rendered, reset_schema


def test_the_variable_turns_the_page_on(serve, monkeypatch):
    monkeypatch.setenv("ENABLE_WEB_INTERFACE", "true")
    server = serve(Counter)
    assert httpx.get(server.url, follow_redirects=True).url.path == "/web"


def test_the_page_is_off_by_default(serve):
    server = serve(Counter)
    assert httpx.get(f"{server.url}/web").status_code == 404
    assert httpx.get(server.url).status_code == 404


def test_there_is_no_page_in_production_mode(serve, monkeypatch):
    monkeypatch.setenv("ENABLE_WEB_INTERFACE", "true")
    assert httpx.get(f"{serve(Counter, mode='production').url}/web").status_code == 404
    with pytest.raises(ConfigurationError, match="production"):
        add_page(create_app(Counter, mode="production"))


@pytest.mark.parametrize("on", ["", "true"])
def test_neither_way_loads_gradio(on):
    program = (
        "import sys\nfrom openenv.server.app import create_app\nfrom tests.toys import Counter\n"
        "create_app(Counter)\n"
        "print([m for m in ('gradio', 'pandas', 'openenv.server.web') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PYTHONPATH": ":".join(sys.path), "ENABLE_WEB_INTERFACE": on},
    )
    assert run.stdout.strip() == ("['openenv.server.web']" if on else "[]")


def test_all_that_the_page_names_is_served_and_nothing_is_elsewhere(open_page):
    server = open_page(Shown)
    page = httpx.get(f"{server.url}/web")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    named, seen = set(re.findall(r'(?:src|href)="(web/static/[^"]+)"', page.text)), set()
    while named - seen:
        path = min(named - seen)
        seen.add(path)
        answer = httpx.get(f"{server.url}/{path}")
        assert answer.status_code == 200, path
        assert "http://" not in re.sub(r"http://www\.w3\.org/\S+", "", answer.text).replace('"http"', "")
        assert "https://" not in answer.text
        named |= {f"web/static/{name}" for name in re.findall(r'from "\./([\w.]+)"', answer.text)}
    assert len(seen) >= 10


def test_a_file_that_has_not_changed_is_not_sent_again(open_page):
    server = open_page(Shown)
    tag = httpx.get(f"{server.url}/web/static/page.css").headers["etag"]
    again = httpx.get(f"{server.url}/web/static/page.css", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert httpx.get(f"{server.url}/web/static/../page.py").status_code == 404


def test_the_old_routes_share_the_default_session(open_page):
    server = open_page(Shown)
    with httpx.Client(base_url=server.url) as client:
        assert client.post("/web/reset").json() == {
            "observation": {"metadata": {}, "total": 0, "extra": None},
            "reward": None,
            "done": False,
        }
        assert client.post("/web/step", json={"action": {"amount": 2}}).json()["observation"]["total"] == 2
        assert client.post("/step", json={"action": {"amount": 2}}).json()["observation"]["total"] == 4
        assert client.get("/web/state").json()["total"] == 4
        assert client.get("/web/metadata").json()["name"] == "Shown"
        assert client.post("/web/step", json={"action": {"amount": "x"}}).status_code == 422


def test_the_form_of_a_reset_is_made_of_its_parameters(open_page):
    about = httpx.get(f"{open_page(Shown).url}/web/about").json()
    assert list(about["reset"]["properties"]) == ["start", "seed"]
    assert about["reset"]["properties"]["start"]["description"] == "Where to begin."
    assert about["reset"]["additionalProperties"] is False


def test_what_a_reset_takes_may_be_unknown():
    assert reset_schema(lambda: None)["additionalProperties"] is True

    def make() -> Shown:
        return Shown()

    assert "start" in reset_schema(make)["properties"]


def test_html_in_a_readme_is_text():
    shown = rendered("# A *title*\n<script>x</script> [a](javascript:x)\n\n|a|\n|-|\n|b|\n")
    assert "<h1>A <em>title</em></h1>" in shown
    assert "<script>" not in shown
    assert 'href="javascript' not in shown
    assert "<table>" in shown
