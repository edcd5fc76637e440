"""Three nodes, of which one dies in the middle of a pass; prints what was seen as JSON.

Run in a process of its own, since a process is connected to one cluster at most:
python -m tests.flows.dying_node FOLDER, where the folder is a model's.
"""

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from avss.digests import folder_digest
from tasks.compute import engines
from tasks.compute.cluster import prepare
from tasks.compute.local import Local
from tasks.compute.operations import Compute
from tasks.run_file import Resources
from tests.flows.test_ray import Shelf, scored

_STORE = 80 * 2**20
_SECONDS = 120


def main(folder: Path) -> None:
    """Score in this process, on nodes of which one is lost, and again after another has come."""
    torch.set_num_threads(1)  # as each worker has; more round otherwise
    prepare("local")  # doors shut, as for a cluster of this machine
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _STORE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    lost, _ = (cluster.add_node(num_cpus=1, object_store_memory=_STORE) for _ in range(2))
    os.environ["RAY_ADDRESS"] = cluster.address
    digest, shelf = folder_digest(folder).digest, Shelf(folder)
    asked = Resources(address="auto", workers=2)
    engine = engines.engine(SimpleNamespace(execution="ray", resources=asked), shelf)
    answers = 0

    def dies(*_: Any) -> None:
        nonlocal answers
        answers += 1
        if answers == 3:
            cluster.remove_node(lost, allow_graceful=False)
            cluster.add_node(num_cpus=1, object_store_memory=_STORE)

    on_ray = Compute(engine, shelf)
    local = scored(Compute(Local(shelf), shelf), digest)

    def by_two() -> tuple[str, set[int]]:
        """What is scored once two workers are up, and who they are."""
        until = time.monotonic() + _SECONDS
        found = scored(on_ray, digest)
        while len(engine.workers) < 2 and time.monotonic() < until:
            found = scored(on_ray, digest)  # one worker does it all while the other starts
        return found, {one.pid for one in engine.workers}

    before, crew = by_two()
    during = scored(on_ray, digest, dies)
    after, crew_after = by_two()
    found = {
        "equal": [one == local for one in (before, during, after)],
        "lost": len(crew - crew_after),
        "joined": len(crew_after - crew),
    }
    engine.close()
    ray.shutdown()
    cluster.shutdown()
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
