"""A trainer to be killed: `swarm_driver.py IMAGE REPLICAS LIFETIME_S` starts servers in a swarm and tells where."""

import sys
import threading

from openenv.providers import DockerSwarmProvider

provider = DockerSwarmProvider(sys.argv[1], replicas=int(sys.argv[2]), lifetime_s=float(sys.argv[3]), cpus=None)
provider.start()
provider.wait_for_ready()
print(provider.ownership.name, *provider.urls, flush=True)
threading.Event().wait()
