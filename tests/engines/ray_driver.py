"""A program that starts a server in Ray, tells where and waits to be killed: `ray_driver.py CLUSTER PATHS`."""

import sys
import threading

from openenv.providers.ray import RayProvider

provider = RayProvider(
    "echo_env", address=sys.argv[1], num_cpus=0.1, runtime_env={"env_vars": {"PYTHONPATH": sys.argv[2]}}
)
print(provider.start(), provider.ownership.name, flush=True)
threading.Event().wait()
