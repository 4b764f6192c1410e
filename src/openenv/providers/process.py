"""The embedded default: an environment's server as a child process on a free loopback port.

It isolates from crashes, not from malice: the server runs as the same user with the same environment variables.
`SandboxProvider` is the one to take for what is not trusted.
"""

from __future__ import annotations

from openenv.providers.local import LocalProvider

__all__ = ["ProcessProvider"]


class ProcessProvider(LocalProvider):
    """Runs `openenv serve` in a process group of its own, which is gone when the provider or this process is.

    ```python
    async with EchoEnv.with_provider(ProcessProvider()) as env:
        await env.reset()
    ```

    Args:
        target: The path of an environment's folder, the name of an installed environment package,
            `module:app`, or None to serve the environment that the client class belongs to.
        env_vars: Environment variables on top of those of this process.
        cwd: The server's working folder; None for the current one.
        python: The interpreter that has `openenv` and the environment installed.
        ready_timeout_s: Seconds until the server must be healthy.
        stop_grace_s: Seconds between SIGTERM and SIGKILL.
        max_concurrent_envs: Sessions the server may hold at once, as `MAX_CONCURRENT_ENVS`; None leaves it to
            the environment.
        log_lines: How many lines of the server's output are kept.
        serve_args: More arguments for `openenv serve`.
        uds: Serve on a Unix domain socket in a folder that only this user can enter, instead of a port.

    Raises:
        ConfigurationError: The target has none of these forms.
    """

    kind = "process"
