"""What is sent as `Authorization`, fresh for every request that needs it to be."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from openenv import settings
from openenv.errors import EngineUnavailableError

__all__ = ["from_file", "from_program", "unchanging"]

# The kubelet writes a pod's token anew long before it expires.
FILE_KEPT_S = 60.0
PROGRAM_BUDGET_S = 60.0
EARLY_S = 60.0


def unchanging(value: str | None) -> Callable[[], str | None]:
    """Return what always gives this value."""
    return lambda: value


def from_file(path: Path) -> Callable[[], str | None]:
    """Return what reads a token from a file, and again each minute."""

    def read() -> tuple[str, float]:
        return f"Bearer {path.read_text().strip()}", time.time() + FILE_KEPT_S

    return _kept_until_it_expires(*read(), read)


def from_program(
    program: Mapping[str, Any], folder: Path, cluster: Mapping[str, Any]
) -> tuple[Callable[[], str | None], dict[str, str]]:
    """Run the program that logs in, as `client.authentication.k8s.io` says.

    Args:
        program: The entry `exec` of a kubeconfig's user.
        folder: Where the kubeconfig is.
        cluster: The cluster's entry; shown to the program if it asks for it.

    Returns:
        What gives the header and runs the program again when its token expires; and the certificate and key it
        gave, named as in a kubeconfig.

    Raises:
        EngineUnavailableError: It cannot be run, fails or prints something else.
    """
    status = _run(program, folder, cluster)
    certificates = {
        f"{name}-data": base64.b64encode(status[key].encode()).decode()
        for name, key in (("client-certificate", "clientCertificateData"), ("client-key", "clientKeyData"))
        if status.get(key)
    }

    def renew() -> tuple[str | None, float]:
        return _header(_run(program, folder, cluster))

    return _kept_until_it_expires(*_header(status), renew), certificates


def _kept_until_it_expires(
    value: str | None, expires: float, renew: Callable[[], tuple[str | None, float]]
) -> Callable[[], str | None]:
    lock = threading.Lock()

    def current() -> str | None:
        nonlocal value, expires
        with lock:
            if time.time() >= expires:
                value, expires = renew()
            return value

    return current


def _header(status: Mapping[str, Any]) -> tuple[str | None, float]:
    expires = float("inf")
    if status.get("expirationTimestamp"):
        expires = datetime.fromisoformat(status["expirationTimestamp"]).timestamp() - EARLY_S
    return (f"Bearer {status['token']}" if status.get("token") else None), expires


def _run(program: Mapping[str, Any], folder: Path, cluster: Mapping[str, Any]) -> dict[str, Any]:
    name = str(program.get("command") or "")
    if "/" in name and not name.startswith("/"):
        name = str(folder / name)
    spec: dict[str, Any] = {"interactive": False}
    if program.get("provideClusterInfo"):
        spec["cluster"] = {key: value for key, value in cluster.items() if key != "folder"}
    question = {"apiVersion": program.get("apiVersion"), "kind": "ExecCredential", "spec": spec}
    own = {str(pair["name"]): str(pair["value"]) for pair in program.get("env") or []}
    try:
        ran = subprocess.run(
            [name, *map(str, program.get("args") or [])],
            env={**settings.inherited_environment(), "KUBERNETES_EXEC_INFO": json.dumps(question), **own},
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROGRAM_BUDGET_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        hint = program.get("installHint") or "It is named in the kubeconfig, as `exec` of the user."
        raise EngineUnavailableError(
            f"The program that logs in to the cluster cannot be used: {error}. {hint}"
        ) from error
    try:
        status = json.loads(ran.stdout)["status"]
    except (ValueError, KeyError, TypeError) as error:
        raise EngineUnavailableError(
            f"The program {name}, which logs in to the cluster, gave no credential (exit code {ran.returncode}): "
            f"{ran.stderr.strip()[-1000:]}"
        ) from error
    return dict(status)
