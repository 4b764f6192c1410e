"""A cluster whose answers are lost, cut off or refusals, which is a few lines here and no cluster."""

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest
from tests.servers import BOUND_S

from openenv.errors import NameTakenError, OutOfSpaceError, ProviderStartError
from openenv.providers.kubernetes import api, watch
from openenv.providers.kubernetes.access import ClusterAccess
from openenv.providers.kubernetes.api import Api
from openenv.providers.kubernetes.manifests import PodOptions
from openenv.providers.kubernetes.rollout import Plan, Rollout, TroubleError
from openenv.providers.kubernetes.watch import PodWatch
from openenv.providers.ownership import Ownership

POD = {
    "metadata": {"name": "openenv-x-0", "uid": "u"},
    "spec": {"containers": [{"image": "some/image:1"}]},
    "status": {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]},
}


class Cluster:
    """Keeps the jobs it was asked for, has the pods it is given, and never runs anything.

    Attributes:
        jobs: The jobs by their names.
        pods: What a list of pods has.
        instead: What it does in place of its duty, by method and kind: each once, in this order.
        watched: Set when a watch goes on that nothing comes of.
    """

    def __init__(self, **instead: list[Callable[[httpx.Request], httpx.Response]]) -> None:
        self.jobs: dict[str, dict] = {}
        self.pods: list[dict] = []
        self.instead = instead
        self.watched = asyncio.Event()
        self.api = Api(ClusterAccess("http://cluster", "default", None, None, None, lambda: None))
        self.api._http = httpx.AsyncClient(transport=httpx.MockTransport(self.answer), base_url="http://cluster")

    async def answer(self, request: httpx.Request) -> httpx.Response:
        *_, kind, name = request.url.path.split("/")
        if kind == "default":  # the namespace
            kind, name = name, ""
        what = "watch" if "watch" in request.url.params else f"{request.method}_{kind}".lower()
        if self.instead.get(what):
            return self.instead[what].pop(0)(request)
        if what == "watch":
            self.watched.set()
            await asyncio.Event().wait()
        if request.method == "POST":
            return httpx.Response(201, json=self.make(request))
        if kind == "jobs":
            found = self.jobs.pop(name, None) if request.method == "DELETE" else self.jobs.get(name)
            return (
                httpx.Response(404, json={"message": "none"}) if found is None else httpx.Response(200, json=found)
            )
        items = self.pods if kind == "pods" else []
        return httpx.Response(200, json={"items": items, "metadata": {"resourceVersion": "1"}})

    def make(self, request: httpx.Request) -> dict:
        body = json.loads(request.content)
        body["metadata"]["uid"] = "u"
        if body["kind"] == "Job":
            self.jobs[body["metadata"]["name"]] = body
        return body

    def rollout(self) -> Rollout:
        plan = Plan(
            namespace="default",
            ownership=Ownership.new("kubernetes", 60),
            options=PodOptions("some/image:1"),
            replicas=1,
            access="pod-ip",
            lifetime_s=60,
            create_timeout_s=0,
            network_policy=False,
            local_port=0,
        )
        return Rollout(self.api, plan, lambda _: None)


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch):
    monkeypatch.setattr(api, "PAUSES_S", (0.0,))
    monkeypatch.setattr(watch, "AGAIN_S", 0.0)


def refused(status: int, message: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, json={"message": message})


# --- a start ----------------------------------------------------------------------------------------------


def test_an_anchor_is_deleted_whose_answer_was_lost_and_whose_second_request_was_refused():
    async def start():
        def made_and_lost(request):
            cluster.make(request)
            raise httpx.ReadError("the connection was lost")

        over_quota = refused(403, 'jobs.batch "x" is forbidden: exceeded quota: one, used: count/jobs=1')
        cluster = Cluster(post_jobs=[made_and_lost, over_quota])
        rollout = cluster.rollout()
        with pytest.raises(OutOfSpaceError):
            await rollout.begin()
        assert len(cluster.jobs) == 1
        await rollout.end()
        return cluster.jobs

    assert asyncio.run(start()) == {}


def test_a_job_of_the_same_name_that_is_not_ours_is_left_alone():
    async def start():
        def taken(request):
            job = cluster.make(request)
            job["metadata"]["labels"] = {"of": "somebody else"}
            return httpx.Response(409, json={"message": "already exists"})

        cluster = Cluster(post_jobs=[taken])
        rollout = cluster.rollout()
        with pytest.raises(NameTakenError):
            await rollout.begin()
        await rollout.end()
        return cluster.jobs

    assert len(asyncio.run(start())) == 1


def test_a_right_that_is_missing_is_told_and_not_asked_for_again_at_the_end():
    async def start():
        missing = refused(403, 'User "ada" cannot create resource "jobs"')
        cluster = Cluster(post_jobs=[missing], delete_jobs=[missing])
        rollout = cluster.rollout()
        with pytest.raises(ProviderStartError, match="permission is missing"):
            await rollout.begin()
        await rollout.end()

    asyncio.run(start())


def test_pods_that_do_not_run_within_the_create_budget_have_not_been_started():
    """So it is the error of every other provider; that a server is not ready is said of one that runs."""

    async def start():
        cluster = Cluster()
        rollout = cluster.rollout()
        with pytest.raises(TroubleError, match="create budget") as caught:
            await rollout.begin()
        await rollout.end()
        return caught.value.trouble

    assert asyncio.run(start()).error is ProviderStartError


# --- the watch --------------------------------------------------------------------------------------------


def cut_off(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=b'{"type": "MODI')


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ({"watch": [cut_off]}, "JSONDecodeError"),
        ({"get_pods": [refused(403, "by a proxy")]}, "by a proxy"),
        ({"get_pods": [lambda _: httpx.Response(200, json={})]}, "KeyError"),
    ],
)
def test_pods_are_watched_on_whatever_comes_of_the_cluster_and_it_is_told(instead, said):
    async def follow():
        cluster = Cluster(**instead)
        cluster.pods = [POD]
        told: list[str] = []
        pods = PodWatch(cluster.api, "default", "openenv.name=x", told.append)
        watching = asyncio.create_task(pods.run())
        await asyncio.wait_for(cluster.watched.wait(), BOUND_S)
        watching.cancel()
        return told, pods.pods

    told, pods = asyncio.run(follow())
    assert pods[0].running
    assert "cannot be watched" in told[0]
    assert said in told[0]
    assert told[1:] == ["The Kubernetes cluster answers again."]
