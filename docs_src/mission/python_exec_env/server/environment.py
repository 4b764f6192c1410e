# server/environment.py
import asyncio
import subprocess
import tempfile
import os
from openenv.core.environment import Environment
from openenv.models import State, StepResult
from ..models import RunCodeAction, ResetAction, PyExecObservation

class PythonExecEnvironment(Environment):
    def __init__(self):
        self.workdir = None
        self._step_count = 0
        self._episode_id = None

    async def reset(self) -> PyExecObservation:
        # Create a fresh temporary working directory per episode
        if self.workdir:
            import shutil
            shutil.rmtree(self.workdir, ignore_errors=True)
        self.workdir = tempfile.mkdtemp(prefix="openenv_pyexec_")
        self._step_count = 0
        self._episode_id = os.urandom(8).hex()
        return PyExecObservation(
            stdout="Python 3.12 sandbox ready.",
            stderr="",
            exit_code=0,
            execution_time_ms=0.0,
        )

    async def step(self, action: RunCodeAction | ResetAction) -> StepResult:
        if isinstance(action, ResetAction):
            obs = await self.reset()
            return StepResult(observation=obs, reward=0.0, done=False)

        # Write code to a temp file inside the isolated workdir
        code_file = os.path.join(self.workdir, f"step_{self._step_count}.py")
        with open(code_file, "w") as f:
            f.write(action.code)

        # Execute with timeout in a restricted subprocess
        import time
        start = time.monotonic()
        try:
            proc = await asyncio.create_subprocess_exec(
                "python", code_file,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self.workdir,
            )
            stdout, stderr = await asyncio.wait_for(
                proc.communicate(),
                timeout=action.timeout_seconds
            )
            elapsed_ms = (time.monotonic() - start) * 1000
            exit_code = proc.returncode
        except asyncio.TimeoutError:
            elapsed_ms = action.timeout_seconds * 1000
            stdout, stderr = b"", b"TimeoutError: execution exceeded limit"
            exit_code = -1

        self._step_count += 1
        obs = PyExecObservation(
            stdout=stdout.decode("utf-8", errors="replace"),
            stderr=stderr.decode("utf-8", errors="replace"),
            exit_code=exit_code,
            execution_time_ms=elapsed_ms,
        )
        # Reward: +1.0 for successful execution, -0.5 for errors, -1.0 for timeout
        reward = 1.0 if exit_code == 0 else (-1.0 if exit_code == -1 else -0.5)
        done = self._step_count >= 20 # max 20 steps per episode
        return StepResult(observation=obs, reward=reward, done=done)

    async def state(self) -> State:
        return State(
            episode_id=self._episode_id,
            step_count=self._step_count,
        )
