"""A Ray cluster of two nodes on this machine, for as long as somebody holds this program's standard input open.

Printed is one line, the address. `ray stop` would end every Ray on the machine; this ends its own nodes only, and
does so even if the tests were killed, for their end closes the input.
"""

import os
import sys

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

from ray.cluster_utils import Cluster  # it reads the setting when it is imported


def main() -> None:
    """Start the nodes, tell the address, wait and end them."""
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever Ray prints goes elsewhere
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4})
    try:
        cluster.add_node(num_cpus=4)
        cluster.wait_for_nodes()
        print(cluster.address, file=told, flush=True)
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
