"""The engine that a run file asks for."""

from tasks.compute.local import Local
from tasks.compute.operations import Engine
from tasks.models.shelf import ModelShelf
from tasks.run_file import RunFile


def engine(run: RunFile, models: ModelShelf) -> Engine:
    """Local, or a connected Ray cluster that has what the run asks for.

    Raises:
        ComputeError: Ray is not installed, not reachable, or cannot give what is asked for.
    """
    if run.execution == "local":
        return Local(models)
    from tasks.compute.cluster import connect

    count = connect(run.resources)  # before Ray is imported: it reads its settings then
    from tasks.compute.workers import RayEngine

    return RayEngine(count, run.resources, models)
