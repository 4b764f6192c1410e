"""How a kubeconfig, or the pod we run in, is read."""

import base64
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from openenv.errors import EngineUnavailableError
from openenv.providers.kubernetes import access
from openenv.providers.kubernetes.access import load_access


@pytest.fixture(autouse=True)
def _outside_any_cluster(monkeypatch, tmp_path):
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(access, "SERVICE_ACCOUNT", tmp_path / "no-service-account")


def write(path: Path, *, name="c", user=None, cluster=None, context=None, current=True) -> Path:
    """Write a kubeconfig with one context, whose parts all have its name."""
    config = {
        "clusters": [{"name": name, "cluster": cluster or {"server": f"http://{name}:8001/"}}],
        "users": [{"name": name, "user": user or {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, **(context or {})}}],
    }
    if current:
        config["current-context"] = name
    path.write_text(yaml.safe_dump(config))
    return path


def pair(folder: Path) -> tuple[Path, Path]:
    """Make a key and a certificate signed with it."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run(
        [*command, "-keyout", key, "-out", certificate, "-subj", "/CN=me", "-days", "1"],
        check=True,
        capture_output=True,
    )
    return key, certificate


def test_the_current_context_is_taken(tmp_path):
    found = load_access(write(tmp_path / "config", context={"namespace": "rl"}))
    assert (found.server, found.namespace, found.tls) == ("http://c:8001", "rl", None)
    assert found.authorization() is None


def test_the_namespace_is_default_where_none_is_named(tmp_path):
    assert load_access(write(tmp_path / "config")).namespace == "default"


def test_of_several_files_the_first_that_has_a_name_counts(tmp_path, monkeypatch):
    one = write(tmp_path / "one", name="a", current=False, user={"token": "one"})
    two = write(tmp_path / "two", name="a", user={"token": "two"})
    monkeypatch.setenv("KUBECONFIG", f"{one}:{tmp_path / 'missing'}:{two}")
    assert load_access().authorization() == "Bearer one"


def test_the_file_in_the_home_folder_is_the_usual_one(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube" / "config")
    assert load_access().server == "http://c:8001"


@pytest.mark.parametrize(
    ("user", "header"),
    [
        ({"token": "abc"}, "Bearer abc"),
        ({"username": "ada", "password": "x"}, f"Basic {base64.b64encode(b'ada:x').decode()}"),
    ],
)
def test_a_user_logs_in(tmp_path, user, header):
    assert load_access(write(tmp_path / "config", user=user)).authorization() == header


def test_a_token_in_a_file_is_read_again_when_it_is_old(tmp_path, monkeypatch):
    (tmp_path / "token").write_text("first\n")
    found = load_access(write(tmp_path / "config", user={"tokenFile": "token"}))
    (tmp_path / "token").write_text("second\n")
    assert found.authorization() == "Bearer first"
    monkeypatch.setattr("openenv.providers.kubernetes.tokens.time.time", lambda: 4e9)
    assert found.authorization() == "Bearer second"


PROGRAM = """#!{python} -IS
import json, os, sys
asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
count = open({count!r}, "a+")
count.write("x")
status = {{"token": os.environ["GREETING"] + sys.argv[1] + str(count.tell())}}
status["expirationTimestamp"] = "2001-01-01T00:00:00Z" if asked["spec"].get("cluster") else "2999-01-01T00:00:00Z"
print(json.dumps({{"apiVersion": asked["apiVersion"], "kind": "ExecCredential", "status": status}}))
"""


def program(tmp_path: Path, **more) -> dict:
    script = tmp_path / "login"
    script.write_text(PROGRAM.format(python=sys.executable, count=str(tmp_path / "count")))
    script.chmod(stat.S_IRWXU)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "./login",
            "args": ["-b-"],
            "env": [{"name": "GREETING", "value": "a"}],
            **more,
        }
    }


def test_a_program_logs_in_once_for_as_long_as_its_token_lasts(tmp_path):
    found = load_access(write(tmp_path / "config", user=program(tmp_path)))
    assert [found.authorization(), found.authorization()] == ["Bearer a-b-1", "Bearer a-b-1"]


def test_a_program_is_run_again_when_its_token_has_expired(tmp_path):
    found = load_access(write(tmp_path / "config", user=program(tmp_path, provideClusterInfo=True)))
    assert [found.authorization(), found.authorization()] == ["Bearer a-b-2", "Bearer a-b-3"]


def test_a_program_that_is_missing_is_told_with_its_hint(tmp_path):
    user = program(tmp_path, command="no-such-program", installHint="Install it from there.")
    with pytest.raises(EngineUnavailableError, match=r"Install it from there\."):
        load_access(write(tmp_path / "config", user=user))


def test_a_program_that_fails_is_told_with_what_it_said(tmp_path):
    user = {"exec": {"command": sys.executable, "args": ["-c", "raise SystemExit('log in first')"]}}
    with pytest.raises(EngineUnavailableError, match="log in first"):
        load_access(write(tmp_path / "config", user=user))


def test_certificates_may_be_in_the_file_or_beside_it(tmp_path):
    key, certificate = pair(tmp_path)
    beside = {"client-certificate": certificate.name, "client-key": key.name}
    within = {
        f"{name}-data": base64.b64encode((tmp_path / value).read_bytes()).decode() for name, value in beside.items()
    }
    for user in (beside, within):
        cluster = {
            "server": "https://c",
            "certificate-authority": certificate.name,
            "tls-server-name": "kubernetes",
        }
        found = load_access(write(tmp_path / "config", user=user, cluster=cluster))
        assert found.tls is not None
        assert [dict(part[0] for part in each["subject"]) for each in found.tls.get_ca_certs()] == [
            {"commonName": "me"}
        ]
        assert found.tls.verify_mode == ssl.CERT_REQUIRED
        assert found.tls_name == "kubernetes"


def test_a_cluster_may_be_trusted_blindly(tmp_path):
    cluster = {"server": "https://c", "insecure-skip-tls-verify": True}
    found = load_access(write(tmp_path / "config", cluster=cluster))
    assert found.tls is not None
    assert found.tls.verify_mode == ssl.CERT_NONE


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "cannot be read"),
        ("just a line", "no kubeconfig"),
        ("contexts: []", "has no context"),
        ("{contexts: [{name: a, context: {cluster: b}}], current-context: a}", "has no cluster 'b'"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path, content, told):
    (tmp_path / "config").write_text(content)
    with pytest.raises(EngineUnavailableError, match=told):
        load_access(tmp_path / "config")


def test_a_certificate_that_is_none_is_told(tmp_path):
    cluster = {"server": "https://c", "certificate-authority-data": base64.b64encode(b"nothing").decode()}
    with pytest.raises(EngineUnavailableError, match="cannot be used"):
        load_access(write(tmp_path / "config", cluster=cluster))


def test_a_way_of_logging_in_that_is_no_more_is_told(tmp_path):
    with pytest.raises(EngineUnavailableError, match="auth-provider"):
        load_access(write(tmp_path / "config", user={"auth-provider": {"name": "gcp"}}))


def test_nothing_at_all_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    with pytest.raises(EngineUnavailableError, match="KUBECONFIG"):
        load_access()


def test_a_pod_uses_its_own_cluster_unless_another_is_named(tmp_path, monkeypatch):
    _, certificate = pair(tmp_path)
    folder = tmp_path / "no-service-account"
    folder.mkdir()
    (folder / "token").write_text("mine")
    (folder / "namespace").write_text("rl\n")
    (folder / "ca.crt").write_bytes(certificate.read_bytes())
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    found = load_access()
    assert (found.server, found.namespace) == ("https://[fd00::1]:443", "rl")
    assert found.authorization() == "Bearer mine"
    assert load_access(write(tmp_path / "config")).server == "http://c:8001"


def test_outside_a_cluster_there_is_no_own_one():
    with pytest.raises(EngineUnavailableError, match="no pod"):
        load_access(in_cluster=True)
