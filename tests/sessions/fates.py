"""What becomes of the frames of a request: the ways of a network, by name, for a machine that has a cable."""

from typing import Any

from hypothesis import strategies as st
from tests.sessions.cable import Cable


def flow(machine: Any) -> None:
    machine.world.carry_everything()


def stay(machine: Any) -> None:
    """Nothing moves."""


def cut(machine: Any) -> None:
    """The frames are lost on their way, or have never been answered."""
    machine.on_cable(Cable.unplug)
    machine.on_cable(Cable.drop)


def cut_for_the_client_only(machine: Any) -> None:
    """The server goes on holding the sessions for a connection that is dead."""
    machine.on_cable(Cable.unplug)


def arrive_and_cut(machine: Any) -> None:
    """The request is executed, or begins to be, and its reply is lost."""
    machine.on_cable(Cable.carry_request)
    cut(machine)


def arrive_and_cut_for_the_client_only(machine: Any) -> None:
    machine.on_cable(Cable.carry_request)
    cut_for_the_client_only(machine)


def arrive(machine: Any) -> None:
    """The reply stays on its way."""
    machine.on_cable(Cable.carry_request)


def be_answered_and_cut(machine: Any) -> None:
    machine.world.carry_everything()
    cut(machine)


fates = st.sampled_from(
    [
        *[flow] * 6,
        stay,
        cut,
        cut_for_the_client_only,
        arrive,
        arrive_and_cut,
        arrive_and_cut_for_the_client_only,
        be_answered_and_cut,
    ]
)
