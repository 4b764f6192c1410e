"""Control groups of both versions, in folders like those of the system, and the real ones where there are."""

import os

import pytest

from openenv.containment import cgroup


@pytest.fixture
def system(tmp_path):
    """A maker of what tells about a process: its mounts and its groups."""

    def make(mounts, groups):
        proc = tmp_path / "proc"
        proc.mkdir()
        (proc / "mounts").write_text(
            "".join(f"x {tmp_path}/{place} {kind} {rw} 0 0\n" for place, kind, rw in mounts)
        )
        (proc / "cgroup").write_text("\n".join(groups) + "\n")
        return proc

    return make


def fake(folder, **files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


def test_the_first_version_has_a_folder_for_each_controller(system, tmp_path):
    proc = system(
        [("memory", "cgroup", "rw,memory"), ("pids", "cgroup", "rw,pids")], ["4:memory:/ours", "3:pids:/", "0::/"]
    )
    fake(tmp_path / "memory" / "ours")
    fake(tmp_path / "pids")
    assert cgroup.unavailable(proc) is None
    made = cgroup.make("box", {"memory": 2**20, "processes": 5, "cpus": None}, proc)
    assert made == [tmp_path / "memory" / "ours" / "box", tmp_path / "pids" / "box"]


def test_the_second_version_has_one_folder_beside_our_own_group(system, tmp_path):
    proc = system([("unified", "cgroup2", "rw")], ["0::/slice/scope"])
    fake(tmp_path / "unified" / "slice", cgroup__subtree_control="cpu memory pids", cgroup__procs="")
    fake(tmp_path / "unified" / "slice" / "scope", cgroup__subtree_control="", cgroup__procs="1")
    assert cgroup.unavailable(proc) is None
    made = cgroup.make("box", {"memory": 2**20, "processes": 5, "cpus": 0.5}, proc)
    assert made == [tmp_path / "unified" / "slice" / "box"]


def test_controllers_that_are_missing_are_named(system, tmp_path):
    proc = system([("pids", "cgroup", "rw,pids")], ["3:pids:/"])
    fake(tmp_path / "pids")
    assert cgroup.unavailable(proc) == "no writable control group has the controllers memory"
    with pytest.raises(OSError, match="controller memory"):
        cgroup.make("box", {"memory": 1, "processes": 1}, proc)
    assert not (tmp_path / "pids" / "box").exists()


def test_a_system_that_tells_nothing_has_none(tmp_path):
    assert "memory and pids" in cgroup.unavailable(tmp_path / "nothing")


def test_a_name_that_is_taken_leaves_what_is_there(system, tmp_path):
    proc = system([("memory", "cgroup", "rw,memory"), ("pids", "cgroup", "rw,pids")], ["4:memory:/", "3:pids:/"])
    fake(tmp_path / "memory")
    fake(tmp_path / "pids" / "box")
    with pytest.raises(FileExistsError):
        cgroup.make("box", {"memory": 1, "processes": 1}, proc)
    assert not (tmp_path / "memory" / "box").exists()
    assert (tmp_path / "pids" / "box").exists()


@pytest.mark.skipif(cgroup.unavailable() is not None, reason=f"no control groups here: {cgroup.unavailable()}")
def test_the_real_system_takes_what_is_written():
    made = cgroup.make(f"openenv-test-{os.getpid()}", {"memory": 64 * 2**20, "processes": 7})
    try:
        written = {file.name: file.read_text().strip() for folder in made for file in folder.glob("*.max")}
        assert written["pids.max"] == "7"
    finally:
        for folder in made:
            folder.rmdir()
