"""The room's front door: every name is there, and knocking costs nothing."""

import subprocess
import sys

import pytest

import avss


@pytest.mark.parametrize("name", avss.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(avss, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = avss.nonsense


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, avss; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
