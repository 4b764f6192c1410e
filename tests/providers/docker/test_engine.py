"""What an engine says, and what becomes of it, without an engine."""

from types import SimpleNamespace

import docker.errors
import pytest

from openenv.errors import ImageNotFoundError, OutOfSpaceError, PortTakenError
from openenv.providers.docker.engine import told
from openenv.providers.docker.images import find_image

PLACE = "tcp://engine:2376"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Bind for 0.0.0.0:80 failed: port is already allocated", PortTakenError),
        ("port '80' is already in use by service 'web' (ab) as an ingress port", PortTakenError),
        ("write /var/lib/docker/x: No space left on device", OutOfSpaceError),
    ],
)
def test_what_an_engine_says_becomes_an_error_that_helps(said, kind):
    with pytest.raises(kind), told("do it", PLACE):
        raise docker.errors.APIError(said, explanation=said)


class Puller:
    """A client of an engine that lacks an image, and pulls it with an answer of some lines."""

    def __init__(self, *lines: dict[str, object]) -> None:
        self.has = False
        self.lines = lines
        self.images = SimpleNamespace(get=self.get)
        self.api = SimpleNamespace(pull=self.pull)

    def pull(self, name, *, stream, decode):
        assert stream
        assert decode
        yield from self.lines
        self.has = True

    def get(self, name):
        if not self.has:
            raise docker.errors.NotFound("none", explanation=f"No such image: {name}")
        return SimpleNamespace(attrs={"Id": "sha256:1"})


def test_an_image_that_is_missing_is_pulled():
    assert find_image(Puller({"status": "Pulling"}, {"status": "Done"}), "ada/big:1", PLACE).id == "sha256:1"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("failed to register layer: write /usr/lib/x: no space left on device", OutOfSpaceError),
        ("failed to register layer: write /usr/lib/x: Disk quota exceeded", OutOfSpaceError),
        ("unexpected EOF", ImageNotFoundError),
    ],
)
def test_a_pull_that_fails_after_the_engine_has_begun_to_answer_is_told_with_its_reason(said, kind):
    client = Puller({"status": "Pulling"}, {"errorDetail": {"message": said}, "error": said})
    with pytest.raises(kind, match=said) as caught:
        find_image(client, "ada/big:1", PLACE)
    assert type(caught.value) is kind
