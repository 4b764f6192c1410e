"""The engines that the other tests of this folder rely on answer, and have what is needed."""


def test_docker_runs_the_image_of_the_echo_environment(docker_engine, echo_image):
    assert docker_engine.run("run", "--rm", echo_image, "openenv", "--version").startswith("openenv")


def test_the_swarm_has_two_nodes_that_are_ready(swarm):
    states = swarm.manager.run("node", "ls", "--format", "{{.Status}}").split()
    assert states == ["Ready", "Ready"]


def test_the_kubernetes_node_is_ready(kubernetes):
    assert "True" in kubernetes.kubectl(
        "get", "nodes", "-o", "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}"
    )


def test_the_ray_cluster_has_an_address(ray_cluster):
    host, _, port = ray_cluster.rpartition(":")
    assert host
    assert port.isdigit()


def test_bubblewrap_is_a_program(bubblewrap):
    assert bubblewrap.is_file()
