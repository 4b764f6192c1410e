"""Environments that these tests need beside the common toys."""

from typing import Any

from tests.toys import Count, Counter, NoJson, Tally, Trouble


class Moody(Counter):
    """A counter whose reset misbehaves on request too, and that has a state before its first reset."""

    def __init__(self) -> None:
        super().__init__()
        self.tally = Tally()

    def reset(self, seed: int | None = None, episode_id: str | None = None, trouble: Trouble = "") -> Count:
        if trouble == "raise":
            raise LookupError("no such level: 'x'")
        observation = super().reset(seed, episode_id)
        observation.extra = NoJson() if trouble == "foreign" else None
        return observation


class Unbuildable(Counter):
    """A counter whose constructor raises."""

    def __init__(self) -> None:
        raise OSError("no board on /dev/board")


class Talkative(Counter):
    """A counter whose own description of itself raises."""

    def get_metadata(self) -> Any:
        raise OSError("no README in /secret/place")
