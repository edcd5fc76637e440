"""What can go wrong where the job meets the world.

TaskError                 1   a fault of ours
|-- StackError            1   the local stack does not start, run or stop
|-- ConflictError         1   another writer was first
|-- WorkerError           1   the workers of a cluster fail again and again
|-- ComputeError          2   the cluster that the run asks for cannot be used
|-- RunFileError          2   the run file is wrong
|-- LeaseError            2   another run works on the line now
|-- DeployError           2   Prefect: unreachable, or what should be registered there is wrong
|-- StorageError          2   S3: unreachable, denied, missing, or without the guarantees we need
|   `-- MissingError      2   no such bucket, object or prefix
|-- ExportError           2   a version cannot be written where or as what it was asked for
|-- RegistryError         2   MLflow: unreachable, or it holds something else than was registered
`-- DataError             2   the business data is not what the run file says it is

A message names the file, bucket, field or record number, what was expected and what to do.
It never holds a record's contents nor a secret.
"""

from typing import ClassVar


class TaskError(Exception):
    """A task could not do its work."""

    exit_code: ClassVar[int] = 1


class StackError(TaskError):
    """The local stack does not start, run or stop as it should."""


class ConflictError(TaskError):
    """A conditional write lost: somebody else wrote the same key first."""


class WorkerError(TaskError):
    """Workers died or failed on the same piece of work too often."""


class ComputeError(TaskError):
    """Ray is not there, cannot be reached, has not what the run file asks for, or disagrees."""

    exit_code: ClassVar[int] = 2


class RunFileError(TaskError):
    """The run file is missing, is no YAML, or has a wrong field."""

    exit_code: ClassVar[int] = 2


class LeaseError(TaskError):
    """Another run works on this line now."""

    exit_code: ClassVar[int] = 2


class DeployError(TaskError):
    """Prefect cannot be reached, or what should be registered there cannot be used."""

    exit_code: ClassVar[int] = 2


class StorageError(TaskError):
    """S3 is unreachable, denies, lacks something, or does not keep its promises."""

    exit_code: ClassVar[int] = 2


class MissingError(StorageError):
    """No such bucket, object, version or prefix."""


class ExportError(TaskError):
    """A version cannot be written there, or not in this form."""

    exit_code: ClassVar[int] = 2


class RegistryError(TaskError):
    """The model registry is unreachable or disagrees with what was registered."""

    exit_code: ClassVar[int] = 2


class DataError(TaskError):
    """The business data is not what was declared."""

    exit_code: ClassVar[int] = 2
