"""Every example runs to its end, in a sandbox as it stands, and without one where it says so."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from openenv.containment import probe

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("[!_]*.py"))
TRAINERS = ("pytorch_lightning", "skyrl_gym", "stable_baselines3", "torch", "transformers", "trl")
"""Libraries that are not part of a development installation."""
PATH = os.pathsep.join([str(ROOT / "src"), str(ROOT / "envs")])

no_sandbox = probe()["landlock"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(
            [], marks=pytest.mark.skipif(no_sandbox is not None, reason=f"no sandbox: {no_sandbox}"), id="sandbox"
        ),
        pytest.param(["--no-sandbox"], id="process"),
    ],
)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_plays_its_episode(example, options, tmp_path):
    if options and options[0] not in example.read_text(encoding="utf-8"):
        pytest.skip("plays without a sandbox anyway")
    ran = subprocess.run(
        [sys.executable, str(example), *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": PATH},
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "There is no browser" in ran.stderr:
        pytest.skip("there is no browser")
    absent = re.search(r"No module named '(\w+)'", ran.stderr)
    if absent and absent[1] in TRAINERS:
        pytest.skip(f"{absent[1]} is not installed; `make test-trainers` has it")
    if needs := re.search(r"pip install '(openenv\[.+?\])'", ran.stderr):
        pytest.skip(f"needs {needs[1]}, with which tests/integrations runs it")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout
