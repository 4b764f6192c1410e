"""A session for each visitor of the page, and what they are told."""

import json

import pytest
from tests.servers import wait_until
from tests.web.shown import AsyncShown, Isolated, Picky, Shown, Slow
from tests.web.tooled import Bakery, IsolatedBakery
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from openenv.errors import SessionLost
from openenv.server.web import visits


def test_a_look_at_the_page_takes_nobodys_place(open_page, tab):
    server = open_page(Shown)
    tab(server)
    assert server.manager.capacity().active_sessions == 0


def test_a_reset_and_a_step_are_told_with_their_rewards_and_times(open_page, tab):
    page = tab(open_page(Shown))
    reset = page.ask("reset", start=5)
    step = page.ask("step", amount=3)
    assert reset["result"]["observation"]["total"] == 5
    assert step["result"]["observation"]["total"] == 8
    turn = step["turn"]
    assert (turn["episode"], turn["step"], turn["reward"], turn["done"]) == (1, 1, 3.0, False)
    assert turn["sent"] == '{"amount": 3}'
    assert turn["at"] > 1e12
    assert turn["ms"] >= 0


def test_the_state_follows_each_turn(open_page, tab):
    page = tab(open_page(Shown))
    page.ask("reset")
    assert page.hear("state")["data"]["step_count"] == 0
    page.ask("step", amount=4)
    state = page.hear("state")["data"]
    assert (state["step_count"], state["total"]) == (1, 4)


def test_two_visitors_play_apart(open_page, tab):
    server = open_page(Shown)
    one, two = tab(server), tab(server)
    one.ask("reset", start=1)
    two.ask("reset", start=50)
    assert one.ask("step", amount=1)["result"]["observation"]["total"] == 2
    assert two.ask("step", amount=1)["result"]["observation"]["total"] == 51
    assert server.manager.capacity().active_sessions == 2


def test_a_closed_tab_frees_its_session(open_page, tab):
    server = open_page(Shown)
    page = tab(server)
    page.ask("reset")
    page.close()
    assert wait_until(lambda: server.manager.capacity().active_sessions == 0)


def test_a_page_that_is_loaded_again_goes_on_where_it_was(open_page, tab):
    server = open_page(Shown, grace_s=60)
    page = tab(server)
    page.ask("reset", start=7)
    page.ask("step", amount=1)
    page.hear("view")
    page.close()
    again = tab(server, page.visitor)
    assert again.visitor == page.visitor
    assert [turn["verb"] for turn in again.welcome["turns"]] == ["reset", "step"]
    assert again.welcome["result"]["observation"]["total"] == 8
    assert again.welcome["state"]["total"] == 8
    assert again.ask("step", amount=1)["result"]["observation"]["total"] == 9


def test_a_duplicated_tab_sees_the_same_episode(open_page, tab):
    server = open_page(Shown)
    one = tab(server)
    two = tab(server, one.visitor)
    one.ask("reset", start=3)
    assert two.hear("turn")["result"]["observation"]["total"] == 3


def test_who_has_left_makes_room_for_who_comes(open_page, tab):
    server = open_page(Shown, grace_s=600, max_concurrent_envs=1)
    gone = tab(server)
    gone.ask("reset")
    gone.close()
    assert wait_until(lambda: server.app.state.openenv_page._leaving)
    page = tab(server)
    assert wait_until(lambda: page.ask("reset")["type"] == "turn")


def test_a_session_that_ends_in_its_grace_is_in_nobodys_way(open_page, tab):
    server = open_page(Shown, grace_s=600, max_concurrent_envs=1)
    gone = tab(server)
    gone.ask("reset")
    gone.close()
    known = server.app.state.openenv_page
    assert wait_until(lambda: known._leaving)
    session = known._visits[gone.visitor].session
    server.on_loop(lambda: session.end(SessionLost("nothing was asked of it")))
    one, two = tab(server), tab(server)
    assert wait_until(lambda: one.ask("reset")["type"] == "turn")
    assert two.ask("reset")["error"]["code"] == "CAPACITY_REACHED"
    assert one.ask("step", amount=1)["type"] == "turn"


def test_a_full_server_says_so_and_the_page_stays_usable(open_page, tab):
    server = open_page(Shown, max_concurrent_envs=1)
    one, two = tab(server), tab(server)
    one.ask("reset")
    refused = two.ask("reset")
    assert refused["error"]["code"] == "CAPACITY_REACHED"
    one.close()
    assert wait_until(lambda: two.ask("reset")["type"] == "turn")


@pytest.mark.parametrize(
    ("kind", "data", "code", "words"),
    [
        ("step", {"amount": "many"}, "VALIDATION_ERROR", "valid integer"),
        ("step", {"amount": 13}, "VALIDATION_ERROR", "unlucky"),
        ("step", {"trouble": "raise"}, "EXECUTION_ERROR", "no such key"),
        ("reset", {"seed": -1}, "VALIDATION_ERROR", "seed"),
        ("dance", {}, "UNKNOWN_TYPE", "Unknown message type"),
    ],
)
def test_what_is_refused_is_told_in_words_and_playing_goes_on(open_page, tab, kind, data, code, words):
    page = tab(open_page(Shown))
    page.ask("reset")
    refused = page.ask(kind, **data)
    assert refused["error"]["code"] == code
    assert words in refused["error"]["message"]
    assert refused["turn"]["error"] == refused["error"]["message"]
    assert page.ask("step", amount=1)["type"] == "turn"


def test_a_reset_that_failed_leaves_no_episode_and_one_that_was_no_reset_leaves_it(open_page, tab):
    server = open_page(Picky, grace_s=60)
    page = tab(server)
    page.ask("reset", start=5)
    page.ask("reset", seed=-1)
    assert tab(server, page.visitor).welcome["result"]["observation"]["total"] == 5
    page.say("reset", start=-1)
    assert page.hear("lost", "refused")["type"] == "lost"
    assert page.hear("refused")["error"]["code"] == "EXECUTION_ERROR"
    assert tab(server, page.visitor).welcome["result"] is None
    assert page.ask("step", amount=1)["error"]["code"] == "NOT_RESET"


def test_an_episode_whose_environment_was_stopped_is_lost(open_page, tab):
    Slow.gate.clear()
    page = tab(open_page(Slow))
    page.ask("reset")
    page.say("step", amount=1)
    page.hear("progress")
    page.say("cancel")
    assert page.hear("lost", "refused")["type"] == "lost"
    Slow.gate.set()


def test_each_turn_tells_the_total_of_its_episode(open_page, tab):
    page = tab(open_page(Shown))
    page.ask("reset")
    assert [page.ask("step", amount=amount)["turn"]["total"] for amount in (2, 3)] == [2, 5]
    assert page.ask("step", amount=13)["turn"]["total"] == 5
    assert page.ask("reset")["turn"]["total"] == 0


def test_the_total_is_right_when_the_first_turns_are_kept_no_longer(open_page, tab, monkeypatch):
    monkeypatch.setattr(visits, "TURNS_KEPT", 3)
    server = open_page(Shown, grace_s=60)
    page = tab(server)
    page.ask("reset")
    for _ in range(5):
        page.ask("step", amount=2)
    turns = tab(server, page.visitor).welcome["turns"]
    assert [(turn["turn"], turn["step"], turn["total"]) for turn in turns] == [(4, 3, 6), (5, 4, 8), (6, 5, 10)]


def test_actions_are_kept_whole_within_a_bound_of_each_and_one_of_all(open_page, tab, monkeypatch):
    monkeypatch.setattr(visits, "ACTION_KEPT", 3_000)
    monkeypatch.setattr(visits, "SENT_KEPT", 7_000)
    server = open_page(Shown, grace_s=60)
    page = tab(server)
    page.ask("reset")
    for length in (2_900, 2_900, 4_000):
        page.ask("step", amount=1, metadata={"note": "x" * length})
    turns = tab(server, page.visitor).welcome["turns"]
    assert [turn["turn"] for turn in turns] == [3, 4]
    assert json.loads(turns[0]["sent"])["metadata"] == {"note": "x" * 2_900}
    assert "cut" not in turns[0]
    assert (len(turns[1]["sent"]), turns[1]["cut"] > 4_000) == (3_000, True)


def test_a_step_before_a_reset_is_refused_in_words(open_page, tab):
    assert "reset()" in tab(open_page(Shown)).ask("step", amount=1)["error"]["message"]


@pytest.mark.parametrize("raw", ["", "{", "5", "null", "[1]", '{"data": {}}'])
def test_a_frame_that_is_none_is_refused(open_page, tab, raw):
    page = tab(open_page(Shown))
    page.socket.send(raw)
    assert "no message" in page.hear("refused")["error"]["message"]
    assert page.ask("reset")["type"] == "turn"


def test_progress_of_a_long_step_is_told_and_it_can_be_stopped(open_page, tab):
    Slow.gate.clear()
    page = tab(open_page(Slow))
    page.ask("reset")
    page.say("step", amount=1)
    assert page.hear("progress") == {"type": "progress", "fraction": 0.5, "message": "half of it"}
    page.say("step", amount=1)
    assert "is running" in page.hear("refused")["error"]["message"]
    page.say("cancel")
    assert page.hear("refused")["error"]["code"] == "CANCELLED"
    Slow.gate.set()
    assert page.ask("reset")["type"] == "turn"


def test_the_end_of_the_session_is_told(open_page, tab):
    server = open_page(Shown)
    page = tab(server)
    page.ask("reset")
    server.on_loop(server.manager.stop)
    assert "shutting down" in page.hear("ended")["error"]["message"]


@pytest.mark.parametrize("environment", [Shown, AsyncShown, Isolated])
def test_what_the_environment_draws_and_offers_is_told_wherever_it_runs(open_page, tab, environment):
    page = tab(open_page(environment))
    page.ask("reset")
    offered = page.hear("view")["data"]["actions"]
    assert [each["label"] for each in offered][:2] == ["Two", "Ten"]
    assert offered[0]["action"] == {"amount": 2, "trouble": ""}
    assert offered[1]["action"] == {"amount": 10}
    drawn = []
    for _ in range(6):
        page.ask("step", amount=1)
        view = page.hear("view")["data"]
        del view["actions"]
        drawn.append(view)
    assert drawn[0] == {"html": "<b>one</b>"}
    assert drawn[1] == {"text": "two"}
    assert drawn[2] == {"image": "data:image/png;base64,iVBORw0KGgo="}
    assert "object" in drawn[3]["problems"][0]
    assert drawn[4] == {"html": "<svg></svg>"}
    assert drawn[5] == {"problems": ["render_web failed: ValueError: no ink"]}


@pytest.mark.parametrize("environment", [Bakery, IsolatedBakery])
def test_the_tools_of_an_episode_are_told_and_told_again_when_they_change(open_page, tab, environment):
    server = open_page(environment, grace_s=60)
    page = tab(server)
    assert page.welcome["tools"] is None
    page.ask("reset", task="buy")
    tools = page.hear("tools")["data"]
    assert [one["name"] for one in tools] == ["order", "pay", "shut"]
    assert tools[1]["input_schema"]["required"] == ["amount"]
    page.ask("step", type="call_tool", tool_name="shut", arguments={})
    assert [one["name"] for one in page.hear("tools")["data"]] == ["bake", "pay", "shut"]
    assert [one["name"] for one in tab(server, page.visitor).welcome["tools"]] == ["bake", "pay", "shut"]


def test_nobody_asks_for_tools_where_actions_are_no_calls(open_page, tab):
    page = tab(open_page(Shown))
    page.ask("reset")
    assert page.hear("tools", "view")["type"] == "view"
    assert page.ask("step", amount=1)["type"] == "turn"
    assert page.hear("tools", "view")["type"] == "view"


def test_a_page_of_another_site_is_not_let_in(open_page):
    server = open_page(Shown)
    address = server.url.replace("http", "ws") + "/ws/ui"
    with pytest.raises(InvalidStatus), connect(address, origin="https://elsewhere.example"):
        pass
