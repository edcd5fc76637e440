"""What a figure owes to the machine and the code that it was taken with."""

import os
import platform
import subprocess

import torch

from avss.precision import has_bfloat16


def processor() -> str:
    """What decides how fast products are: instructions, and how many cores."""
    narrow = " with fast bfloat16" if has_bfloat16(torch.device("cpu")) else ""
    return (
        f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}{narrow}, "
        f"{os.cpu_count()} cores"
    )


def commit() -> str:
    """The checkout's commit, with a + where files were changed since; empty outside of one."""
    told = subprocess.run(
        ["git", "describe", "--always", "--exclude=*", "--dirty=+"], capture_output=True, text=True
    )
    return told.stdout.strip()
