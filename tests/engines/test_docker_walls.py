"""What holds a container in: as the engine tells it, and as it is seen from the inside."""

import json

import httpx
import pytest
from tests.engines.dock import inside, inspected

from openenv.providers import LocalDockerProvider

OUTSIDE = """
import socket
for family, address in ((socket.AF_INET, ("1.1.1.1", 53)), (socket.AF_INET, ("172.17.0.1", 22))):
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.settimeout(2)
        try:
            one.connect(address)
            print("reached", address)
        except OSError as error:
            print(type(error).__name__, error.errno)
"""
WRITABLE = """
import os
found = []
for folder in ("/", "/etc", "/usr", "/root", "/srv", "/run", "/run/openenv", "/var/tmp", "/home"):
    try:
        with open(os.path.join(folder, "probe"), "w"):
            found.append(folder)
    except OSError:
        pass
print(found)
"""
FILLING = """
import os
file = os.open("/tmp/full", os.O_CREAT | os.O_WRONLY)
try:
    for _ in range(400):
        os.write(file, b"x" * 10**6)
except OSError as error:
    print(error.errno)
os.truncate("/tmp/full", 0)
"""
STATUS = "print(open('/proc/self/status').read())"


@pytest.fixture(scope="module")
def hardened(docker_engine, toy_image):
    with LocalDockerProvider(toy_image, env_vars={"COLOUR": "blue"}) as provider:
        yield provider


def who(provider):
    return httpx.get(provider.base_url + "/who", timeout=30, trust_env=False).json()


def test_the_engine_says_that_every_wall_is_up(docker_engine, hardened):
    found = inspected(docker_engine, hardened)
    host = found["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert host["Memory"] == host["MemorySwap"] == 2 * 1024**3
    assert host["CpuQuota"] / host["CpuPeriod"] == 2.0
    assert host["PidsLimit"] == 512
    assert host["ReadonlyRootfs"]
    assert set(host["Tmpfs"]) == {"/tmp"}
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert not host["Privileged"]
    assert host["AutoRemove"]
    assert host["RestartPolicy"]["Name"] in ("", "no")
    assert host["PidMode"] == host["UTSMode"] == ""
    assert host["LogConfig"]["Config"]["max-size"]
    assert found["Config"]["User"] == "65534:65534"
    assert not host["PortBindings"]


def test_its_labels_say_whose_it_is(docker_engine, hardened):
    labels = inspected(docker_engine, hardened)["Config"]["Labels"]
    assert hardened.ownership.labels().items() <= labels.items()
    assert "openenv.expires" in labels


def test_the_only_mount_is_read_only_and_empty_and_gone_from_this_machine(docker_engine, hardened):
    (mount,) = (one for one in inspected(docker_engine, hardened)["Mounts"] if one["Type"] == "bind")
    assert mount["Destination"] == "/run/openenv"
    assert not mount["RW"]
    assert inside(docker_engine, hardened, "import os; print(os.listdir('/run/openenv'))") == "[]"
    assert inside(docker_engine, hardened, f"import os; print(os.path.exists({mount['Source']!r}))") == "False"


def test_it_is_nobody_without_any_capability(docker_engine, hardened):
    assert who(hardened)["uid"] == 65534
    status = inside(docker_engine, hardened, STATUS)
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"


def test_nothing_outside_is_reached(docker_engine, hardened):
    assert "reached" not in inside(docker_engine, hardened, OUTSIDE)
    names = inside(docker_engine, hardened, "import socket; print([name for _, name in socket.if_nameindex()])")
    assert "eth" not in names
    assert "lo" in names


def test_only_the_folder_in_memory_can_be_written_to(docker_engine, hardened):
    assert inside(docker_engine, hardened, WRITABLE) == "[]"
    assert inside(docker_engine, hardened, "open('/tmp/probe', 'w').write('x'); print('ok')") == "ok"
    assert inside(docker_engine, hardened, FILLING) == "28"


def test_the_first_process_can_be_neither_traced_nor_killed(docker_engine, hardened):
    probe = """
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
print(libc.ptrace(16, 1, 0, 0), os.access('/proc/1/environ', os.R_OK))
os.kill(1, signal.SIGKILL)
os.kill(1, signal.SIGSTOP)
print("alive")
"""
    assert inside(docker_engine, hardened, probe).split() == ["-1", "False", "alive"]
    assert who(hardened)["uid"] == 65534


def test_io_uring_is_refused(hardened):
    assert httpx.get(hardened.base_url + "/uring", timeout=30, trust_env=False).text == "[-1, 1]"


def test_the_port_is_on_the_loopback_only(hardened, docker_engine, toy_image):
    assert hardened.base_url.startswith("http://127.0.0.1:")
    with LocalDockerProvider(toy_image, network="bridge") as provider:
        ports = inspected(docker_engine, provider)["NetworkSettings"]["Ports"]
        assert {one["HostIp"] for one in ports["8000/tcp"]} == {"127.0.0.1"}


def test_each_wall_is_taken_down_by_its_name(docker_engine, toy_image):
    provider = LocalDockerProvider(
        toy_image,
        network="bridge",
        memory=None,
        cpus=None,
        pids_limit=None,
        user="root",
        read_only=False,
        tmpfs=None,
        cap_drop=(),
        no_new_privileges=False,
        init=True,
        shm_size="8m",
        labels={"mine": "yes"},
    )
    with provider:
        found = inspected(docker_engine, provider)
    host = found["HostConfig"]
    assert host["NetworkMode"] == "bridge"
    assert (host["Memory"], host["CpuQuota"], host["PidsLimit"] or 0) == (0, 0, 0)
    assert found["Config"]["User"] == "root"
    assert not host["ReadonlyRootfs"]
    assert not host.get("Tmpfs")
    assert not host["CapDrop"]
    assert not host["SecurityOpt"]
    assert host["Init"]
    assert host["ShmSize"] == 8 * 1024**2
    assert found["Config"]["Labels"]["mine"] == "yes"


def test_options_can_be_given_to_one_start(docker_engine, toy_image):
    provider = LocalDockerProvider(env_vars={"COLOUR": "blue", "SHAPE": "round"})
    try:
        url = provider.start_container(toy_image, env_vars={"COLOUR": "red"}, memory="256m")
        provider.wait_for_ready(url)
        assert inspected(docker_engine, provider)["HostConfig"]["Memory"] == 256 * 1024**2
        env = who(provider)["env"]
        assert (env["COLOUR"], env["SHAPE"]) == ("red", "round")
        assert env["HOME"] == "/tmp"
    finally:
        provider.stop_container()
    assert provider.urls == []


def test_a_unix_domain_socket_leads_to_it_as_well(docker_engine, toy_image):
    with LocalDockerProvider(toy_image, uds=True) as provider:
        path = provider.base_url.removeprefix("unix://")
        with httpx.Client(transport=httpx.HTTPTransport(uds=path)) as client:
            assert client.get("http://localhost/who").json()["uid"] == 65534


def test_much_goes_through_in_both_directions(hardened):
    with httpx.Client(base_url=hardened.base_url, trust_env=False, timeout=60) as client:
        assert len(client.get("/blob/30000000").content) == 30_000_000
        assert client.post("/", content=b"x" * 30_000_000).text == "30000000"


def test_variables_reach_the_server_and_secrets_do_not_reach_the_log(docker_engine, toy_image):
    with LocalDockerProvider(toy_image, env_vars={"API_TOKEN": "tangerine-7"}) as provider:
        assert who(provider)["env"]["API_TOKEN"] == "tangerine-7"
        assert "tangerine-7" not in provider.logs()
        assert "secret: ***" in provider.logs()
        assert json.dumps(provider.where()) == "{}"
