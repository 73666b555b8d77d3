"""Static files: our own and those of others, compressed once, under a fingerprinted prefix.

`/static/<fingerprint>/<path>`: the fingerprint is that of all files together, so that a style sheet
may name its fonts by relative paths, and a browser keeps everything for a year until any file
changes.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

import brotli
from starlette.requests import Request
from starlette.responses import Response

_ASSETS = Path(__file__).parent / "assets"
_VENDOR_FOLDERS = ("plotly", "pretendard")
_YEAR = "public, max-age=31536000, immutable"
_BRIEF = "public, max-age=300"
_TEXT_SUFFIXES = {".js", ".css", ".svg"}
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    media_type: str


class StaticFiles:
    """The files that anybody may have, by path below the prefix."""

    def __init__(self, build_folder: Path) -> None:
        self._files = dict(_own_files())
        self._files.update(_vendor_files(build_folder))
        self.fingerprint = _fingerprint(self._files)
        self._encoded: dict[tuple[str, str], bytes] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def url(self, path: str) -> str:
        """The address of a file.

        Raises:
            KeyError: There is no such file.
        """
        if path not in self._files:
            raise KeyError(f"no static file {path!r}; `make board-files` brings those of others")
        return f"/static/{self.fingerprint}/{path}"

    def answer(self, request: Request, fingerprint: str, path: str) -> Response:
        """The file in the best encoding that the browser takes.

        An old page may still ask under its own fingerprint; it gets the present file, not to keep.
        """
        file = self._files.get(path)
        if file is None:
            return Response("not found\n", 404, media_type="text/plain")
        accepted = request.headers.get("accept-encoding", "")
        encoding = next((name for name in ("br", "gzip") if name in accepted), "")
        content, used = self._content(path, file, encoding)
        headers = {
            "Cache-Control": _YEAR if fingerprint == self.fingerprint else _BRIEF,
            "Vary": "Accept-Encoding",
        }
        if used:
            headers["Content-Encoding"] = used
        return Response(content, headers=headers, media_type=file.media_type)

    def _content(self, path: str, file: _File, encoding: str) -> tuple[bytes, str]:
        if file.path.suffix not in _TEXT_SUFFIXES:
            encoding = ""
        key = (path, encoding)
        if key not in self._encoded:
            self._encoded[key] = _read_encoded(file.path, encoding)
        return self._encoded[key], encoding


def _read_encoded(path: Path, encoding: str) -> bytes:
    packed = path.with_name(path.name + {"br": ".br", "gzip": ".gz", "": ""}[encoding])
    if packed.is_file():
        return packed.read_bytes()
    content = path.read_bytes()
    if encoding == "br":
        return brotli.compress(content, quality=11)
    return gzip.compress(content, mtime=0) if encoding == "gzip" else content


def _own_files() -> dict[str, _File]:
    return {
        path.relative_to(_ASSETS).as_posix(): _File(path, _media_type(path))
        for path in sorted(_ASSETS.rglob("*"))
        if path.is_file()
    }


def _vendor_files(build: Path) -> dict[str, _File]:
    return {
        path.relative_to(build).as_posix(): _File(path, _media_type(path))
        for folder in _VENDOR_FOLDERS
        for path in sorted((build / folder).rglob("*"))
        if path.is_file() and path.suffix not in {".br", ".gz"}
    }


def _media_type(path: Path) -> str:
    guessed = mimetypes.guess_type(path.name)[0]
    return _TYPES.get(path.suffix) or guessed or "application/octet-stream"


def _fingerprint(files: dict[str, _File]) -> str:
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        digest.update(name.encode())
        digest.update(hashlib.sha256(file.path.read_bytes()).digest())
    return digest.hexdigest()[:12]
