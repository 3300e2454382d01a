"""The examples for those that start programs on many machines: Slurm, Ray, Kubernetes."""

import os
import pathlib
import re
import shlex
import stat
import subprocess
import sys

import pytest
from conftest import free_port

pytest.importorskip("numpy")

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "bindings/python/examples"


def run(command, environment=None):
    found = subprocess.run([str(word) for word in command], cwd=EXAMPLES, capture_output=True, text=True, timeout=300,
                           env=os.environ | (environment or {}))
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)


def test_slurm(tmp_path):
    """The script's own commands; srun runs what it is told once for each node that it is told of, all on this host.
    The second node is late: the first is done with its steps by then, and waits for its peers."""
    write_program(tmp_path / "scontrol", "#!/bin/sh\necho localhost\necho other\n")
    write_program(tmp_path / "python3", f"#!/bin/sh\nexec {shlex.quote(sys.executable)} \"$@\"\n")
    write_program(tmp_path / "srun", """#!/bin/bash
nodes=2
while [[ $1 == --* ]]; do
	[ "$1" != --nodes=1 ] || nodes=1
	shift
done
[ $nodes = 2 ] || exec "$@"
"$@" & sleep 2; "$@" & wait -n && wait -n
""")
    churn = ["churn.py", "--steps", 30, "--peers", 4]
    output = run([EXAMPLES / "slurm.sh", *churn], {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_ID": "7", "PEERS": "2",
        "SLURM_SUBMIT_DIR": str(tmp_path), "PCCL_MASTER_PORT": str(free_port())})
    totals = re.findall("the total is ([0-9a-f]+)", output)
    assert len(totals) == 4 and len(set(totals)) == 1 and ": 4 peers" in output, output
    assert not list(tmp_path.glob(".pccl-secret*"))
    assert stat.S_IMODE((EXAMPLES / "slurm.sh").stat().st_mode) & 0o111


def test_ray_starts_a_killed_actor_again():
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        cluster.add_node(num_cpus=2)
        cluster.wait_for_nodes()
        output = run([sys.executable, "ray_actors.py", "--kill", "--steps", 100, "--port", free_port(), "--cpus", 1,
                      "--address", cluster.address])  # a node has room for two
    finally:
        cluster.shutdown()
    ends = re.findall("the total is ([0-9a-f]+) on node ([0-9a-f]+)", output)
    assert len(ends) == 3 and len({total for total, _ in ends}) == 1 and len({node for _, node in ends}) == 2, output


def test_kubernetes():
    validate = pytest.importorskip("kubernetes_validate")
    yaml = pytest.importorskip("yaml")
    found = {each["kind"]: each for each in yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text())}
    for each in found.values():
        validate.validate(each, validate.latest_version(), strict=True)
    service, masters, job = found["Service"], found["StatefulSet"]["spec"], found["Job"]["spec"]["template"]["spec"]
    assert service["metadata"]["name"] == masters["serviceName"]
    assert service["spec"]["selector"].items() <= masters["template"]["metadata"]["labels"].items()
    port = service["spec"]["ports"][0]["port"]
    names = [f"{found['StatefulSet']['metadata']['name']}-{number}.{masters['serviceName']}:{port}"
             for number in range(masters["replicas"])]
    environment = {each["name"]: each for each in job["containers"][0]["env"]}
    assert environment["PCCL_MASTERS"]["value"] == ",".join(names)
    command = masters["template"]["spec"]["containers"][0]["command"]
    assert command == ["python3", "-m", "pccl.master", "--listen", f"[::]:{port}"]
