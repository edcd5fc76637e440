"""Joules that the processor's packages used, where Linux lets us read them (RAPL)."""

from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """Reads the package counters at start and stop. `reason` says why there is nothing to read."""

    def __init__(self, folder: Path = POWERCAP) -> None:
        self.packages = sorted(folder.glob("intel-rapl:[0-9]"))
        self.reason: str | None = None
        self._before: list[int] = []

    def start(self) -> None:
        """Note the counters."""
        if not self.packages:
            self.reason = "this machine reports no energy counters"
            return
        try:
            self._before = [_read(package / "energy_uj") for package in self.packages]
        except OSError:
            self.packages, self.reason = [], "the energy counters may not be read by this user"

    def stop(self) -> float | None:
        """Joules since `start`, or None. Counters that have wrapped around are set right."""
        if not self.packages:
            return None
        used = 0
        for package, before in zip(self.packages, self._before, strict=True):
            after = _read(package / "energy_uj")
            wrapped = _read(package / "max_energy_range_uj") if after < before else 0
            used += after - before + wrapped
        return used / 1e6


def _read(path: Path) -> int:
    return int(path.read_text())
