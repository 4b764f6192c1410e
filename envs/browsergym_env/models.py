"""What goes to the browser environment and what comes back."""

from pydantic import Field

from openenv.models import Action, Observation, State


class BrowserGymAction(Action):
    """One action in the browser, as BrowserGym writes it."""

    action_str: str = Field(
        min_length=1,
        max_length=4096,
        description="One call of an action, such as `click('12')`, `fill('14', 'Anna')` or `mouse_click(40, 6.5)`. "
        "Elements are named by the numbers in brackets of the accessibility tree, places by pixels of the picture. "
        "Text around the call is left out of account. An action that fails is a step, too: what is seen says why.",
    )


class BrowserGymObservation(Observation):
    """What the active page looks like."""

    goal: str = Field(default="", description="What is to be done.")
    url: str = Field(default="", description="Address of the active page.")
    axtree_txt: str = Field(
        default="", description="The page's accessibility tree as text; an element's number is in brackets."
    )
    pruned_html: str = Field(
        default="", description="The page's HTML without scripts and styles, if it is asked for."
    )
    screenshot: bytes | None = Field(
        default=None,
        description="A picture of the page: PNG, 498 by 321 pixels for MiniWoB; None if it is left out.",
    )
    focused_element_bid: str = Field(default="", description="The number of the element that has the focus.")
    last_action: str = Field(default="", description="The action before this observation.")
    last_action_error: str = Field(default="", description="Why that action failed; empty if it did not.")
    open_pages_urls: list[str] = Field(default_factory=list, description="Addresses of all tabs.")


class BrowserGymState(State):
    """Where an episode stands."""

    task_name: str = Field(default="", description="The task, such as `click-test`.")
    goal: str = Field(default="", description="What is to be done.")
    max_steps: int = Field(default=0, description="Steps after which the episode is cut off.")
    messages: list[str] = Field(default_factory=list, description="What the agent has said by its actions.")
    browser: str = Field(default="", description="The browser's program and version.")
    browser_sandbox: bool = Field(default=False, description="Whether chromium's own sandbox is on.")
