"""The folder of reports: every file of every revision, complete or not there at all.

`<folder>/<site>/<month>/r<revision>/<site>_<month>_r<revision>[_<lang>].<kind>`. What is in the
making lies under a name that begins with a dot.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from core.errors import ConfigurationError, Problem, StoreUnavailableError
from core.reports import ReportFile, ReportRevision


class ReportArchive:
    """Reads and writes the files of revisions.

    Args:
        folder: Made when the first report is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(
        self, site: str, month: str, revision: int, contents: Mapping[tuple[str, str, str], bytes]
    ) -> tuple[ReportFile, ...]:
        """Write the files of one revision at once; what a killed run left there is replaced.

        Args:
            contents: (name, kind, language) -> bytes.

        Raises:
            ConfigurationError: The folder cannot be written.
        """
        above = self.folder / site / month
        final, scratch = above / f"r{revision}", above / f".r{revision}-{os.getpid()}"
        try:
            scratch.mkdir(parents=True)
            for (name, _kind, _lang), content in contents.items():
                _write_durably(scratch / name, content)
            if final.exists():
                shutil.rmtree(final)
            scratch.rename(final)
        except OSError as error:
            raise _refusal(above, error) from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return tuple(
            ReportFile(f"{site}/{month}/r{revision}/{name}", kind, lang, _sha256(content))
            for (name, kind, lang), content in contents.items()
        )

    def path(self, file: ReportFile) -> Path:
        """Where a file lies.

        Raises:
            ValueError: The recorded path leaves the folder.
        """
        path = (self.folder / file.path).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise ValueError(f"{file.path} is no path below the folder of reports")
        return path

    def read(self, file: ReportFile) -> bytes:
        """A file's bytes, if they are the recorded ones.

        Raises:
            StoreUnavailableError: The file is not there, or it is another one by now.
        """
        try:
            content = self.path(file).read_bytes()
        except OSError as error:
            raise StoreUnavailableError(
                f"report file {file.path}: {error.strerror or error}; restore it from a backup"
            ) from None
        if _sha256(content) != file.sha256:
            raise StoreUnavailableError(
                f"report file {file.path} is not the recorded one (SHA-256 {file.sha256}); "
                "restore it from a backup"
            )
        return content

    def holds(self, revision: ReportRevision) -> bool:
        """Whether every file of a revision is there as it was recorded."""
        try:
            for file in revision.files:
                self.read(file)
        except StoreUnavailableError:
            return False
        return True


def copy_files(
    archive: ReportArchive, files: Sequence[ReportFile], out: Path
) -> tuple[ReportFile, ...]:
    """Copies of the files in another folder, each complete or not there.

    Returns:
        The files with their paths in that folder.

    Raises:
        ConfigurationError: The folder cannot be written.
        StoreUnavailableError: A file of the archive is lost.
    """
    copied = []
    for file in files:
        content = archive.read(file)
        target = out / file.name
        scratch = out / f".{file.name}-{os.getpid()}"
        try:
            out.mkdir(parents=True, exist_ok=True)
            _write_durably(scratch, content)
            scratch.replace(target)
        except OSError as error:
            raise _refusal(out, error) from None
        finally:
            scratch.unlink(missing_ok=True)
        copied.append(replace(file, path=str(target)))
    return tuple(copied)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _refusal(folder: Path, error: OSError) -> ConfigurationError:
    problem = f"the reports cannot be written: {error.strerror or error}"
    hint = "make it writable for this account, or name another folder"
    return ConfigurationError([Problem(str(folder), "", problem, hint)])
