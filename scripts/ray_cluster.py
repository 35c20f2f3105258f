"""A sweep on a Ray cluster of two nodes on this machine.

    python3 -m venv ray && ray/bin/pip install '.[ray]'
    ray/bin/python scripts/ray_cluster.py /tmp/ray_sweep

In a virtual environment of its own: hydra-ray-launcher and joblib want different cloudpickles. Six
runs, two of which cannot be trained; the nodes have a CPU each, so that two jobs run at a time.
Then the same command once more: what is done is found, and what failed is tried again.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from ray.cluster_utils import Cluster

from da_framework.results.folder import find_finished_runs

SWEEP = (
    *("dataset=two_moons", "network=mlp", "steps=200", "logger=[]", "callback=[]"),
    *(
        "method=joint",
        "dataset.labels_per_class=2,9999,3",
        "seed=1,2",
        "hydra/launcher=ray_cluster",
    ),
)


def main() -> None:
    """Starts the cluster, runs the sweep twice, and ends the cluster."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, help="of the sweep")
    folder = parser.parse_args().folder.resolve()
    # a cluster of one person on one machine needs no token
    os.environ.update(RAY_AUTH_MODE="disabled", OMP_NUM_THREADS="1")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        command = [sys.executable, "-m", "da_framework", "train", "-m", *SWEEP]
        command += [f"hydra.launcher.ray.init.address={cluster.address}"]
        for _ in range(2):
            begun = time.perf_counter()
            ended = subprocess.run([*command, f"hydra.sweep.dir={folder}"], check=False)
            finished = len(find_finished_runs(folder))
            took = time.perf_counter() - begun
            print(f"exit code {ended.returncode}, {finished} results, {took:.0f} s")
            if (ended.returncode, finished) != (2, 4):
                raise SystemExit("expected exit code 2 and 4 results")
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
