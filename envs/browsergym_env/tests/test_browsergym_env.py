"""What browsergym_env promises: the contract, its tasks, actions that succeed and fail, and what is refused."""

import asyncio
import functools
from collections.abc import Awaitable, Callable

import pytest

pytest.importorskip("browsergym.miniwob", reason="BrowserGym is not installed")

from browsergym_env import BrowserGymAction, BrowserGymEnv, BrowserGymObservation, policies
from browsergym_env.server import app
from browsergym_env.server.actions import ActionError, Actions
from browsergym_env.server.browsergym_environment import BrowserGymEnvironment
from browsergym_env.server.launching import find_browser
from browsergym_env.server.tasks import NAMES, make
from openenv.errors import ConfigurationError, InvalidRequestError, IsolationError
from openenv.models import StepResult
from openenv.providers import ProcessProvider, SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract, LocalServer

try:
    NO_BROWSER = find_browser() and ""
except ConfigurationError as error:
    NO_BROWSER = str(error)

LOCAL = "http://miniwob.localhost/miniwob/"
a_browser = pytest.mark.skipif(bool(NO_BROWSER), reason=NO_BROWSER)


def action(text: str) -> BrowserGymAction:
    return BrowserGymAction(action_str=text)


@pytest.mark.slow
@a_browser
class TestContract(EnvironmentContract):
    environment = functools.partial(BrowserGymEnvironment, "click-button", max_steps=6)
    actions = (action("noop(0)"), action("mouse_click(2, 2)"), action("click('none')"))
    bad_actions = (
        {},
        {"action_str": ""},
        {"action_str": None},
        {"action_str": 1},
        {"action_str": "x" * 4097},
        {"action_str": "noop(0)", "more": 1},
    )
    patience_s = 120


@pytest.mark.slow
@a_browser
class TestMemory(EnvironmentMemoryContract):
    environment = functools.partial(BrowserGymEnvironment, screenshot=False)
    actions = (action("noop(0)"),)
    steps = 1
    episodes = 150  # each loads a page
    patience_s = 600


Play = Callable[[BrowserGymEnvironment], Awaitable[None]]


def play(story: Play, *arguments: object, **options: object) -> None:
    """Run a test on an environment without a server."""

    async def bounded() -> None:
        environment = BrowserGymEnvironment(*arguments, **options)
        try:
            async with asyncio.timeout(120):
                await story(environment)
        finally:
            await environment.close()

    asyncio.run(bounded())


async def step(environment: BrowserGymEnvironment, text: str) -> StepResult[BrowserGymObservation]:
    return await environment.step(action(text))


# --- tasks -------------------------------------------------------------------------------------------


def test_there_are_the_125_tasks_of_miniwob():
    assert len(NAMES) == len(set(NAMES)) == 125
    assert make("miniwob.click-test", 1).subdomain == make("click-test", 1).subdomain == "click-test"


@pytest.mark.parametrize("seed", [0, -1, 2**32, 2**80])
def test_any_integer_is_a_seed(seed):
    assert make("click-test", seed).random.randint(10**6) == make("click-test", seed).random.randint(10**6)


@pytest.mark.slow
@a_browser
def test_each_task_begins_with_a_goal_and_the_same_page_for_the_same_seed():
    async def story(environment: BrowserGymEnvironment) -> None:
        different = []
        for name in NAMES:
            first, second = [await environment.reset(seed=5, task_name=name) for _ in range(2)]
            assert first.goal, name
            assert first.url == f"{LOCAL}{name}.html"
            if first != second and name != "stock-market":  # which moves by the clock
                different.append(name)
        assert different == []

    async def bounded() -> None:
        environment = BrowserGymEnvironment()
        async with asyncio.timeout(400):
            await story(environment)
        await environment.close()

    asyncio.run(bounded())


@pytest.mark.slow
@a_browser
def test_a_task_that_there_is_not_is_refused_and_the_session_goes_on():
    async def story() -> None:
        async with LocalServer(BrowserGymEnvironment) as server, server.client() as env:
            for name in ("chess", "", "../core", "miniwob.", "Click-Test"):
                with pytest.raises(InvalidRequestError, match="There is no task"):
                    await env.reset(task_name=name)
            assert (await env.reset(task_name="click-test-2", seed=1)).observation.goal == "Click button ONE."

    asyncio.run(story())


@pytest.mark.slow
@a_browser
def test_seeds_choose_what_a_task_asks_for():
    async def story(environment: BrowserGymEnvironment) -> None:
        goals = [(await environment.reset(seed=seed)).goal for seed in range(5)]
        assert len(set(goals)) > 2

    play(story, "enter-text", screenshot=False)


# --- policies ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served():
    folder = app.__file__.rpartition("/server/")[0]
    settings = {"BROWSERGYM_SCREENSHOT": "false", "BROWSERGYM_MAX_STEPS": "8"}
    with BrowserGymEnv.with_provider(ProcessProvider(folder, env_vars=settings)) as env:
        yield env


@pytest.mark.slow
@a_browser
@pytest.mark.parametrize("name", policies.SCRIPTS)
def test_the_scripts_solve_their_tasks(served, name):
    assert [policies.oracle(served, task_name=name, seed=seed) for seed in range(3)] == [policies.MAX_RETURN] * 3


@pytest.mark.slow
@a_browser
def test_who_does_nothing_is_cut_off_without_a_reward(served):
    assert policies.null(served) == policies.MIN_RETURN
    result = served.reset(task_name="click-test", seed=1)
    while not result.done:
        result = served.step(action("noop(0)"))
    assert (result.reward, result.terminated, result.truncated) == (None, False, True)


# --- actions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no action in it"),
        ("Click the button", "no action in it"),
        ("click('1') click('2')", "2 actions"),
        ("fly('1')", "There is no action 'fly'"),
        ("click()", "missing"),
        ("click('1', speed=3)", "speed"),
        ("click(12)", "a text in quotes, not 12"),
        ("mouse_click('a', 1)", "a number"),
        ("mouse_click(1e400, 1)", "a number"),
        ("mouse_click(nan, 1)", "no action in it"),
        ("scroll(True, 1)", "a number"),
        ("noop(60000)", "5000 ms at most"),
        ("click(__import__('os'))", "There is no action '__import__'"),
        ("click('\ud800')", "cannot be read"),
        ("click(" * 600, "no action in it"),
        ("[" * 4096, "no action in it"),
        ("upload_file('3', '/etc/passwd')", "There is no action 'upload_file'"),
        ("mouse_upload_file(3, 3, '/etc/passwd')", "There is no action 'mouse_upload_file'"),
        ("goto('file:///etc/passwd')", "http or https"),
        ("goto('javascript:core.endEpisode(1)')", "http or https"),
        ("goto('data:text/html,hello')", "http or https"),
        ("goto('http://[')", "http or https"),
    ],
)
def test_an_action_that_makes_no_sense_is_not_run(text, message):
    with pytest.raises(ActionError, match=message):
        Actions().read(text)


@pytest.mark.parametrize("text", ["click('12')", "```\nclick('12')\n```", "I think click('12')  # is right"])
def test_text_around_an_action_is_left_out_of_account(text):
    function, given, named = Actions().read(text)
    assert (function.__name__, given, named) == ("click", ("12",), {})


def test_the_actions_may_be_fewer():
    assert "mouse_click" not in Actions(["bid"]).describe()
    with pytest.raises(ActionError, match="Actions are: noop, scroll"):
        Actions(["bid"]).read("mouse_click(1, 2)")
    with pytest.raises(ConfigurationError, match="bids"):
        Actions(["bids"])
    with pytest.raises(ConfigurationError):
        Actions([])


@pytest.mark.slow
@a_browser
def test_an_action_that_fails_is_seen_and_the_episode_goes_on():
    async def story(environment: BrowserGymEnvironment) -> None:
        await environment.reset(seed=1)
        for text, error in (
            ("click('nothing')", 'Could not find element with bid "nothing"'),
            ("fill('13', 'words')", "not an <input>"),
            ("keyboard_press('NoSuchKey')", "Unknown key"),
            ("tab_focus(7)", "IndexError"),
            ("fly('13')", "There is no action 'fly'"),
            ("goto('http://example.com')", "not allowed here"),
        ):
            result = await step(environment, text)
            assert error in result.observation.last_action_error
            assert (result.observation.last_action, result.reward, result.done) == (text, None, False)
        result = await step(environment, "click('13')")
        assert (result.observation.last_action_error, result.reward, result.terminated) == ("", 1.0, True)
        assert environment.state.step_count == 7

    play(story)


@pytest.mark.slow
@a_browser
def test_the_wrong_button_ends_the_episode_with_nothing():
    async def story(environment: BrowserGymEnvironment) -> None:
        await environment.reset(seed=1)
        result = await step(environment, "click('14')")
        assert (result.reward, result.terminated, result.info["raw_reward"]) == (0.0, True, -1)

    play(story, "click-test-2")


@pytest.mark.slow
@a_browser
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"goto('{LOCAL}click-test-2.html')", "page was left"),
        (f"goto('{LOCAL}click-test.html')", "page was left"),  # the task's own page, where another one waits
        ("go_back()", "page was left"),
        ("new_tab()", "page was left"),
        ("tab_close()", "page was left"),
        ("report_infeasible('No.')", "given up"),
    ],
)
def test_leaving_the_task_ends_it_with_nothing(text, reason):
    async def story(environment: BrowserGymEnvironment) -> None:
        await environment.reset(seed=1)
        result = await step(environment, text)
        assert (result.observation.last_action_error, result.reward, result.terminated) == ("", 0.0, True)
        assert result.info == {"reason": reason}

    play(story)


@pytest.mark.slow
@a_browser
@pytest.mark.parametrize(
    "text",
    ["go_forward()", "keyboard_press('F5')", "keyboard_press('Control+r')", f"goto('{LOCAL}click-test.html#')"],
)
def test_no_other_way_brings_another_task_either(text):
    async def story(environment: BrowserGymEnvironment) -> None:
        seen = await environment.reset(seed=1)
        result = await step(environment, text)
        if result.done:
            assert result.reward == 0.0
        else:
            assert result.observation.axtree_txt == seen.axtree_txt

    play(story, "click-button", screenshot=False)


@pytest.mark.slow
@a_browser
def test_what_the_agent_says_is_in_the_state():
    async def story(environment: BrowserGymEnvironment) -> None:
        await environment.reset(seed=1)
        assert not (await step(environment, "send_msg_to_user('I am at it.')")).done
        assert environment.state.messages == ["I am at it."]
        await environment.reset(seed=1)
        assert environment.state.messages == []

    play(story)


@pytest.mark.slow
@a_browser
def test_a_click_on_a_place_of_the_picture_hits_what_is_shown_there():
    async def story(environment: BrowserGymEnvironment) -> None:
        seen = await environment.reset(seed=2)
        assert seen.screenshot is not None
        result = None
        for row in range(90, 320, 20):  # the button is somewhere in the area below the goal
            for column in range(10, 240, 25):
                result = await step(environment, f"mouse_click({column}, {row})")
                if result.done:
                    assert result.reward == 1.0
                    return
        pytest.fail(f"no click hit the button: {result}")

    play(story, max_steps=1000, settle_s=0.05)


# --- what is seen ------------------------------------------------------------------------------------


@pytest.mark.slow
@a_browser
def test_an_observation_has_what_is_asked_for():
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    import io

    async def story(environment: BrowserGymEnvironment) -> None:
        seen = await environment.reset(seed=1, pruned_html=True)
        assert image.open(io.BytesIO(seen.screenshot)).size == (498, 321)
        assert "Click Me!" in seen.pruned_html
        assert seen.axtree_txt.endswith("\n\t[13] button 'Click Me!'")
        assert environment.render() == seen.screenshot
        shown = environment.render_web(seen)
        assert "Click the button." in shown
        assert "data:image/png" in shown
        focused = (await step(environment, "focus('13')")).observation
        assert focused.focused_element_bid == "13"
        seen = await environment.reset(seed=1, screenshot=False)
        assert (seen.screenshot, seen.pruned_html) == (None, "")
        assert "<img" not in environment.render_web(seen)

    play(story)


@pytest.mark.slow
@a_browser
def test_pages_are_read_as_utf_8():
    async def story(environment: BrowserGymEnvironment) -> None:
        seen = await environment.reset(seed=7)
        assert "ÖK" in seen.goal
        assert "确定" in seen.axtree_txt

    play(story, "unicode-test", screenshot=False)


# --- settings ----------------------------------------------------------------------------------------


def test_the_server_reads_its_settings(monkeypatch):
    monkeypatch.setenv("BROWSERGYM_ALLOW", "example.com, example.org")
    monkeypatch.setenv("BROWSERGYM_PROGRAM", "true")
    environment = app.make()
    assert environment._launch.allow == ("example.com", "example.org")
    assert environment._launch.program.endswith("/true")
    monkeypatch.setenv("BROWSERGYM_HTML", "perhaps")
    with pytest.raises(ConfigurationError, match="BROWSERGYM_"):
        app.make()


def test_a_browser_that_there_is_not_is_told_of():
    with pytest.raises(ConfigurationError, match="no browser nothing-such"):
        BrowserGymEnvironment(program="nothing-such")


@pytest.mark.slow
@a_browser
def test_it_plays_in_a_sandbox():
    try:
        folder = app.__file__.rpartition("/server/")[0]
        with BrowserGymEnv.with_provider(SandboxProvider(folder)) as env:
            assert policies.oracle(env, task_name="login-user", seed=1) == 1.0
    except IsolationError as error:
        pytest.skip(str(error))
