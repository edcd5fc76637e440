"""Import libraries that use deprecated things of other libraries, without passing that on."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Around imports only: their deprecation warnings are nobody's who runs this job."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
