"""What the tests of Kubernetes share: a namespace, providers in it, and looks into the cluster."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.engines.reach import Kubernetes

from openenv.providers import KubernetesProvider, Provider

PATIENCE_S = 60.0
SELECTOR = "openenv.name={name}"
KINDS = "jobs,statefulsets,pods,services,networkpolicies"

# Quick to start, healthy at once, and ends when it is asked to.
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"status": "healthy"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
import signal
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("listening", flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""
HEALTHY = ["python", "-I", "-S", "-c", SERVER]
SLEEPING = ["python", "-I", "-S", "-c", "import signal; signal.pause()"]
DYING = ["python", "-I", "-S", "-c", "print('the weights are missing', flush=True); raise SystemExit(3)"]


@dataclass(frozen=True)
class Place:
    """A namespace of the cluster, and the image that its node has.

    Attributes:
        cluster: The cluster.
        namespace: Made for these tests, and deleted with them.
        image: The echo environment's.
    """

    cluster: Kubernetes
    namespace: str
    image: str

    def provider(self, **options: Any) -> KubernetesProvider:
        """Return a provider of a small server in this namespace."""
        usual = {
            "namespace": self.namespace,
            "image": self.image,
            "image_pull_policy": "Never",
            "kubeconfig": self.cluster.kubeconfig,
            "command": HEALTHY,
            "resource_limits": {"cpu": "1", "memory": "256Mi"},
            "resource_requests": {"cpu": "10m", "memory": "32Mi"},
            "stop_grace_s": 1.0,
            "ready_timeout_s": PATIENCE_S,
        }
        return KubernetesProvider(**{**usual, **options})

    def kubectl(self, *arguments: str, timeout_s: float = PATIENCE_S) -> str:
        """Run kubectl in this namespace and return what it printed."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, timeout_s=timeout_s)

    def found(self, kinds: str, provider: Provider) -> list[dict[str, Any]]:
        """Return what the cluster has of the last start of a provider."""
        chosen = SELECTOR.format(name=provider.ownership.name)
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", kinds, "-l", chosen, "-o", "json"))["items"]
        return items

    def leftovers(self, provider: Provider) -> list[str]:
        """Return what there still is of the last start of a provider."""
        return [f"{each['kind']} {each['metadata']['name']}" for each in self.found(KINDS, provider)]

    def inside(self, provider: Provider, program: str, replica: int = 0) -> str:
        """Run a Python program in a server's container and return what it printed."""
        pod = f"{provider.ownership.name}-{replica}"
        return self.kubectl("exec", pod, "--", "python", "-I", "-S", "-c", program)


def until(true: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """Ask again and again until the answer is true, and return it."""
    end = time.monotonic() + timeout_s
    while not (found := true()):
        assert time.monotonic() < end, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.1)
    return found
