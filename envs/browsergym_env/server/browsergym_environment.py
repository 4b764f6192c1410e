"""The browser environment: MiniWoB's web tasks through BrowserGym, in browsers that stay warm.

A session is a context of a browser that others may share: it has its own pages, cookies and storage. A browser that
ends is the environment's fault, never a reward; the next reset begins with a new one.
"""

import asyncio
import base64
import html
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import uuid4

from openenv.environment import Environment
from openenv.errors import NotResetError, WorkspaceLostError
from openenv.models import StepResult

from ..models import BrowserGymAction, BrowserGymObservation, BrowserGymState
from . import tasks
from .actions import DEFAULT_SUBSETS, Actions
from .browsers import Browser, BrowserPool
from .launching import Launch, find_browser, may_make_namespaces
from .pages import Episode, Graded, View

T = TypeVar("T")

CLOSE_S = 5.0


class BrowserGymEnvironment(Environment[BrowserGymAction, BrowserGymObservation, BrowserGymState]):
    """Web tasks on a real browser. Reward 1.0 if the task is solved and 0.0 if it is not, at the end.

    Args:
        task_name: The task of an episode that names none, such as `click-test`.
        browsers: How many browsers the sessions of this process share.
        max_steps: Steps of an episode; then it is cut off.
        screenshot: Whether observations have a picture.
        pruned_html: Whether observations have HTML.
        allow: Hosts that pages may be loaded from besides the packaged ones; `*` for all.
        action_subsets: BrowserGym's names of sets of actions.
        program: The browser; None for the first that is installed.
        settle_s: Seconds that a page may take to come to rest after an action.
        limit_s: Seconds that a step or a reset may take; then the page is given up as hung.

    Raises:
        ConfigurationError: There is no browser, or no such set of actions.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(
        self,
        task_name: str = "click-test",
        *,
        browsers: int = 1,
        max_steps: int = 30,
        screenshot: bool = True,
        pruned_html: bool = False,
        allow: Sequence[str] = (),
        action_subsets: Sequence[str] = DEFAULT_SUBSETS,
        program: str | None = None,
        settle_s: float = 0.3,
        limit_s: float = 30.0,
    ) -> None:
        super().__init__()
        self._launch = Launch(find_browser(program), tuple(allow), sandbox=may_make_namespaces())
        self._pool = BrowserPool.of(self._launch, browsers)
        self._actions = Actions(action_subsets)
        self._task_name, self._max_steps = task_name, max_steps
        self._view = self._default_view = View(screenshot, pruned_html)
        self._settle_s, self._limit_s = settle_s, limit_s
        self._browser: Browser | None = None
        self._episode: Episode | None = None
        self._playing = False
        self._picture: bytes | None = None
        self._state = BrowserGymState()

    async def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        task_name: str | None = None,
        screenshot: bool | None = None,
        pruned_html: bool | None = None,
    ) -> BrowserGymObservation:
        """Begin a task on a fresh page.

        Args:
            seed: Chooses what the task asks for; any integer.
            episode_id: The id that the episode shall have.
            task_name: The task, such as `click-test` or `miniwob.click-test`.
            screenshot: Whether the episode's observations have a picture.
            pruned_html: Whether they have HTML.

        Raises:
            InvalidRequestError: There is no such task.
            WorkspaceLostError: The browser has ended, or cannot be started.
        """
        task = tasks.make(self._task_name if task_name is None else task_name, seed)
        self._playing = False
        if self._browser is None or self._episode is None or not self._browser.alive:
            await self._drop()
            await self._take_browser()
        assert self._browser is not None
        default = self._default_view
        view = self._view = View(
            default.screenshot if screenshot is None else screenshot,
            default.html if pruned_html is None else pruned_html,
        )

        def begin(episode: Episode) -> tuple[str, BrowserGymObservation]:
            return episode.begin(task), episode.look(view)

        goal, seen = await self._do(begin)
        browser, episode = self._browser, self._episode
        assert episode is not None
        browser.run(lambda _: episode.tidy())
        self._playing, self._picture = True, seen.screenshot
        self._state = BrowserGymState(
            episode_id=episode_id or uuid4().hex,
            step_count=0,
            task_name=task.subdomain,
            goal=goal,
            max_steps=self._max_steps,
            browser=self._browser.ready.result(),
            browser_sandbox=self._launch.sandbox,
        )
        return seen.model_copy(update={"goal": goal})

    async def step(self, action: BrowserGymAction) -> StepResult[BrowserGymObservation]:
        """Run one action. One that fails is a step, too, and the observation says why."""
        if not self._playing:
            raise NotResetError("There is no page: call reset() before step()")
        view = self._view

        def act(episode: Episode) -> tuple[str, Graded, BrowserGymObservation, list[str]]:
            error = episode.act(action.action_str)
            return error, episode.grade(), episode.look(view), list(episode.messages)

        error, graded, seen, messages = await self._do(act)
        self._state.step_count += 1
        self._state.messages, self._picture = messages, seen.screenshot
        described = {"goal": self._state.goal, "last_action": action.action_str, "last_action_error": error}
        return StepResult(
            seen.model_copy(update=described),
            reward=graded.reward,
            terminated=graded.done,
            truncated=not graded.done and self._state.step_count >= self._max_steps,
            info=graded.info,
        )

    @property
    def state(self) -> BrowserGymState:
        """The episode's id, its task and its steps."""
        return self._state

    def render(self) -> bytes | None:
        """Return the page of the last observation as a PNG file; None if that has no picture."""
        return self._picture

    def render_web(self, observation: BrowserGymObservation) -> str:
        """Return the goal, the picture and the accessibility tree as HTML."""
        drawn = base64.b64encode(observation.screenshot or b"").decode()
        image = f'<img alt="the page" src="data:image/png;base64,{drawn}">' if drawn else ""
        failed = f"<p>{html.escape(observation.last_action_error)}</p>" if observation.last_action_error else ""
        return (
            f"<p>{html.escape(observation.goal)}</p>{image}{failed}<pre>{html.escape(observation.axtree_txt)}</pre>"
        )

    async def close(self) -> None:
        """Close the session's pages; the browser stays for others."""
        self._playing = False
        await self._drop()

    # --- the browser -----------------------------------------------------------------------------

    async def _take_browser(self) -> None:
        browser = self._browser = self._pool.lease()
        await asyncio.shield(asyncio.wrap_future(browser.ready))
        settings = (browser.shelf, self._launch, self._actions, self._settle_s)
        self._episode = await _awaited(browser, lambda driven: Episode(driven, *settings))

    async def _do(self, work: Callable[[Episode], T]) -> T:
        """Do something with the page.

        Raises:
            WorkspaceLostError: The browser or the page has ended, or hangs.
        """
        browser, episode = self._browser, self._episode
        assert browser is not None
        assert episode is not None
        try:
            async with asyncio.timeout(self._limit_s):
                return await _awaited(browser, lambda _: work(episode))
        except TimeoutError:
            what = f"The page has hung for {self._limit_s:g} s"
        except Exception as error:  # Playwright's, or of BrowserGym's functions on a page that is gone
            what = f"The page is lost: {type(error).__name__}: {error}"
        except BaseException:  # cancelled: the page is in the middle of something
            await self._drop()
            raise
        await self._drop()
        raise WorkspaceLostError(f"{what}. Reset begins with a new one")

    async def _drop(self) -> None:
        """Give up the session's pages; if they cannot be closed, end their browser."""
        browser, episode = self._browser, self._episode
        self._browser = self._episode = None
        self._playing = False
        if browser is None:
            return
        try:
            if episode is not None and browser.alive:
                async with asyncio.timeout(CLOSE_S):
                    await _awaited(browser, lambda _: episode.close())
        except (TimeoutError, WorkspaceLostError):
            browser.kill()
        finally:
            self._pool.release(browser)


async def _awaited(browser: Browser, function: Callable[[Any], T]) -> T:
    return await asyncio.wrap_future(browser.run(function))
