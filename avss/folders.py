"""Model folders appear whole or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avss.errors import InputError


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out` that becomes `out` when the block ends well.

    Raises InputError when `out` already exists; leaves nothing behind when the block fails.
    """
    if out.exists():
        raise InputError(f"{out} already exists: give a new folder, or remove it first.")
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        draft.chmod(0o755)
        yield draft
        draft.rename(out)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
