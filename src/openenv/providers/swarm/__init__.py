"""Environment servers as a service of a Docker swarm.

Nothing here loads Docker's SDK before a swarm is asked for something.
"""

from openenv.providers.swarm.provider import DockerSwarmProvider
from openenv.providers.swarm.tasks import ReplicaLoss

__all__ = ["DockerSwarmProvider", "ReplicaLoss"]
