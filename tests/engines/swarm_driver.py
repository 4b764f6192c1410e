"""A trainer to be killed: it starts servers in a swarm and tells where: `swarm_driver.py IMAGE REPLICAS LIFETIME_S`."""

import sys
import threading

from openenv.providers import DockerSwarmProvider

provider = DockerSwarmProvider(sys.argv[1], replicas=int(sys.argv[2]), lifetime_s=float(sys.argv[3]), cpus=None)
provider.start()
provider.wait_for_ready()
print(provider.ownership.name, *provider.urls, flush=True)
threading.Event().wait()
