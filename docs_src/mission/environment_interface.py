# Core server-side interface every OpenEnv environment must implement
class Environment:
    async def reset(self) -> Observation:
        """Initialize a new episode. Returns the initial observation."""
        ...

    async def step(self, action: Action) -> StepResult:
        """
        Execute one action in the environment.
        Returns: StepResult(observation, reward, done, info)
        """
        ...

    async def state(self) -> State:
        """
        Return episode metadata: episode_id, step_count,
        elapsed_time, custom fields.
        """
        ...
