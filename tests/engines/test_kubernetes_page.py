"""The program of docs/providers/kubernetes.md runs as it stands there."""

import os
import subprocess
import sys
from pathlib import Path

from tests.engines.cluster import Place, until

PAGE = Path(__file__).parents[2] / "docs" / "providers" / "kubernetes.md"
NAMESPACE = "rl-training"
IMAGE = "echo-env:1.0.0"


def test_the_program_of_the_page_runs(pods: Place):
    program = PAGE.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    assert f'image="{IMAGE}"' in program
    in_node = ["ctr", "-a", pods.cluster.containerd, "-n", "k8s.io", "images"]
    known = pods.image if "." in pods.image.partition("/")[0] else f"docker.io/{pods.image}"
    subprocess.run([*in_node, "tag", "--force", known, f"docker.io/library/{IMAGE}"], check=True, timeout=60)
    pods.cluster.kubectl("create", "namespace", NAMESPACE)
    try:
        until(lambda: "default" in pods.cluster.kubectl("-n", NAMESPACE, "get", "serviceaccounts"), "an account")
        ran = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "KUBECONFIG": pods.cluster.kubeconfig},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout == f"{['Echo environment ready!'] * 4}\n"
        assert not pods.cluster.kubectl("-n", NAMESPACE, "get", "pods,jobs,statefulsets", "-o", "name")
    finally:
        pods.cluster.kubectl("delete", "namespace", NAMESPACE, timeout_s=120)
