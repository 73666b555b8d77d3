"""Build hook: the project's dependencies are the lines of requirements/run.in, in one place."""

from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class LockedDependencies(MetadataHookInterface):
    """Reads the direct dependencies from the file that the lock is made of."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Puts the requirement lines of requirements/run.in into the metadata."""
        lines = Path(self.root, "requirements", "run.in").read_text(encoding="utf-8").splitlines()
        stripped = (line.partition(" #")[0].strip() for line in lines)
        metadata["dependencies"] = [line for line in stripped if line and line[0] not in "#-"]
