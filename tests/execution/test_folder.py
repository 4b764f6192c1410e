"""The folder of a workspace, whatever programs have done to it."""

import os

from openenv.execution.inside import folder


def test_folders_too_deep_for_a_recursion_are_removed(tmp_path):
    top = tmp_path / "top"
    top.mkdir()
    here = os.getcwd()
    os.chdir(top)
    try:
        for _ in range(1100):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(here)
    folder.remove(str(top))
    assert not top.exists()
