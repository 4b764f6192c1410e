"""Where a cluster is and what lets us in: a kubeconfig file, or the service account of the pod we run in.

What `kubectl` takes is taken here: several files in KUBECONFIG, certificates and tokens in the file or beside it,
and programs that print a token (`exec`), by which the clouds log in. Tokens expire, so they are asked for anew.
"""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openenv import settings
from openenv.errors import EngineUnavailableError
from openenv.providers.kubernetes.tokens import from_file, from_program, unchanging

__all__ = ["ClusterAccess", "in_a_cluster", "load_access"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class ClusterAccess:
    """How the API of one cluster is reached.

    Attributes:
        server: Its base URL.
        namespace: The namespace to use where none is named.
        tls: What its certificate is checked against and what we show; None for plain HTTP.
        tls_name: The name its certificate must have, if not that of the URL.
        proxy: URL of an HTTP proxy to go through.
        authorization: Returns the value of the header `Authorization`, or None if there is none to send.
    """

    server: str
    namespace: str
    tls: ssl.SSLContext | None
    tls_name: str | None
    proxy: str | None
    authorization: Callable[[], str | None]


def in_a_cluster() -> bool:
    """Return whether this program runs in a pod that may talk to its cluster."""
    return settings.kubernetes_service() is not None and (SERVICE_ACCOUNT / "token").is_file()


def load_access(
    kubeconfig: str | os.PathLike[str] | None = None, context: str | None = None, in_cluster: bool | None = None
) -> ClusterAccess:
    """Return how to reach a cluster.

    Args:
        kubeconfig: The file; None takes those of KUBECONFIG, else `~/.kube/config`.
        context: A context of it; None takes its current one.
        in_cluster: Whether to take the cluster this program runs in; None does so if it runs in one and no
            kubeconfig is named.

    Raises:
        EngineUnavailableError: There is no such file or context, or it cannot be used.
    """
    if in_cluster is None:
        in_cluster = kubeconfig is None and context is None and not settings.kubeconfig() and in_a_cluster()
    if in_cluster:
        return _of_the_pod()
    paths = [os.fspath(kubeconfig)] if kubeconfig is not None else _usual_paths()
    return _of_context(_merged(paths), context, " and ".join(paths))


def _of_the_pod() -> ClusterAccess:
    service = settings.kubernetes_service()
    if service is None or not in_a_cluster():
        raise EngineUnavailableError(
            f"This program runs in no pod with a service account: there is no {SERVICE_ACCOUNT}/token. Outside a "
            "cluster leave in_cluster out and name a kubeconfig; inside, let the pod mount its service account."
        )
    host, port = service
    return ClusterAccess(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        namespace=(SERVICE_ACCOUNT / "namespace").read_text().strip(),
        tls=ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt")),
        tls_name=None,
        proxy=None,
        authorization=from_file(SERVICE_ACCOUNT / "token"),
    )


def _usual_paths() -> list[str]:
    return [path for path in settings.kubeconfig().split(os.pathsep) if path] or [
        str(Path.home() / ".kube" / "config")
    ]


def _merged(paths: list[str]) -> dict[str, Any]:
    """Return several files as one: of two entries of the same name the first counts, as for kubectl."""
    merged: dict[str, Any] = {"clusters": {}, "users": {}, "contexts": {}, "current-context": ""}
    found = [Path(path) for path in paths if Path(path).is_file()]
    if not found:
        raise EngineUnavailableError(
            f"No Kubernetes cluster is configured: there is no file {' or '.join(paths)}. Name one by "
            "kubeconfig=... or KUBECONFIG; `kubectl config view` shows what kubectl uses."
        )
    for path in found:
        content = _read(path)
        merged["current-context"] = merged["current-context"] or content.get("current-context") or ""
        for group, key in (("clusters", "cluster"), ("users", "user"), ("contexts", "context")):
            for entry in content.get(group) or []:
                value = {**(entry.get(key) or {}), "folder": path.resolve().parent}
                merged[group].setdefault(entry.get("name"), value)
    return merged


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise EngineUnavailableError(f"The kubeconfig {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise EngineUnavailableError(f"{path} is no kubeconfig: it has no 'key: value' lines.")
    return content


def _of_context(config: Mapping[str, Any], name: str | None, origin: str) -> ClusterAccess:
    name = name or config["current-context"]
    context = _entry(config, "contexts", name, origin)
    cluster = _entry(config, "clusters", context.get("cluster"), origin)
    user = _entry(config, "users", context.get("user"), origin)
    if not cluster.get("server"):
        raise EngineUnavailableError(f"The cluster of context {name!r} in {origin} has no server.")
    try:
        authorization, shown = _login(user, cluster)
        return ClusterAccess(
            server=str(cluster["server"]).rstrip("/"),
            namespace=context.get("namespace") or "default",
            tls=_tls(cluster, {**user, **shown}) if str(cluster["server"]).startswith("https:") else None,
            tls_name=cluster.get("tls-server-name"),
            proxy=cluster.get("proxy-url"),
            authorization=authorization,
        )
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError, binascii.Error a ValueError
        if isinstance(error, EngineUnavailableError):
            raise
        raise EngineUnavailableError(f"Context {name!r} of {origin} cannot be used: {error}") from error


def _entry(config: Mapping[str, Any], group: str, name: str | None, origin: str) -> dict[str, Any]:
    entries: dict[str | None, dict[str, Any]] = config[group]
    if name not in entries:
        known = ", ".join(sorted(map(str, entries))) or "none"
        raise EngineUnavailableError(f"{origin} has no {group[:-1]} {name!r}; its {group} are: {known}.")
    return entries[name]


def _login(user: Mapping[str, Any], cluster: Mapping[str, Any]) -> tuple[Callable[[], str | None], dict[str, str]]:
    """Return what gives the header, and certificates that a program has given instead."""
    if user.get("token"):
        return unchanging(f"Bearer {user['token']}"), {}
    if user.get("tokenFile"):
        return from_file(user["folder"] / user["tokenFile"]), {}
    if user.get("username"):
        pair = f"{user['username']}:{user.get('password') or ''}"
        return unchanging(f"Basic {base64.b64encode(pair.encode()).decode()}"), {}
    if user.get("exec"):
        return from_program(user["exec"], user["folder"], cluster)
    if user.get("auth-provider"):
        raise EngineUnavailableError(
            f"The kubeconfig logs in by the auth-provider {user['auth-provider'].get('name')!r}, which Kubernetes "
            "itself has removed; write it anew with your cloud's command line, which then uses `exec`."
        )
    return unchanging(None), {}


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    authority = _content(cluster, "certificate-authority")
    tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    certificate, key = _content(user, "client-certificate"), _content(user, "client-key")
    if certificate and key:
        # Python takes these from files only. The folder is ours alone, and gone when this returns.
        with tempfile.TemporaryDirectory(prefix="openenv-") as folder:
            paths = Path(folder, "certificate"), Path(folder, "key")
            for path, content in zip(paths, (certificate, key), strict=True):
                path.write_bytes(content)
            tls.load_cert_chain(*map(str, paths))
    return tls


def _content(entry: Mapping[str, Any], key: str) -> bytes | None:
    """Return what is written in the file as base64, or in a file beside it."""
    if entry.get(f"{key}-data"):
        return base64.b64decode(entry[f"{key}-data"])
    if entry.get(key):
        return Path(entry["folder"], entry[key]).read_bytes()
    return None
