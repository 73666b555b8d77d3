"""What this process uses of the machine, as the kernel says it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/statm")
_STAT = Path("/proc/self/stat")
_FILES = Path("/proc/self/fd")
_UPTIME = Path("/proc/uptime")


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """Figures of one moment.

    Attributes:
        started_s: Start of the process, seconds since 1970.
        cpu_s: CPU time, its own and the kernel's for it, seconds.
        resident_bytes: Resident memory.
        open_files: Open files and sockets.
    """

    started_s: float
    cpu_s: float
    resident_bytes: int
    open_files: int


def read_process_figures() -> ProcessFigures | None:
    """The figures now; None where the kernel has no `/proc`."""
    try:
        pages = int(_STATUS.read_text().split()[1])
        # The name in brackets may hold blanks: what follows it does not.
        fields = _STAT.read_text().rpartition(")")[2].split()
        ticks = os.sysconf("SC_CLK_TCK")
        age_s = float(_UPTIME.read_text().split()[0]) - int(fields[19]) / ticks
        return ProcessFigures(
            started_s=round(time.time() - age_s, 1),
            cpu_s=(int(fields[11]) + int(fields[12])) / ticks,
            resident_bytes=pages * os.sysconf("SC_PAGE_SIZE"),
            open_files=sum(1 for _ in _FILES.iterdir()),
        )
    except (OSError, ValueError, IndexError):
        return None
