"""Site files and mappings read again while the ingester runs: on SIGHUP, and when a file changes.

Either all files are good and are taken together, or the old ones stay and every problem is told.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable

from core.errors import ConfigurationError
from core.sites import SiteRegistry
from greendc.health import Check
from greendc.settings import Settings
from greendc.wiring import open_mappings, open_registry, read_toml_files
from ingest.mappings import Mappings

_LOG = logging.getLogger(__name__)
_POLL_S = 2.0

Exchange = Callable[[SiteRegistry, Mappings], None]


class ConfigurationWatch:
    """Watches the two folders on a thread of its own.

    A change is taken when two looks in a row have seen the same: an editor or a copy that is half
    done is not read.

    Args:
        exchange: Takes what was read.
    """

    def __init__(self, settings: Settings, exchange: Exchange, *, poll_s: float = _POLL_S) -> None:
        self._settings = settings
        self._exchange = exchange
        self._poll_s = poll_s
        self._wake = threading.Event()
        self._asked = False
        self._stopping = threading.Event()
        self._taken = self._seen = self._look()
        self._problem = ""
        self.reloads = 0
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End watching."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def ask(self) -> None:
        """Read everything again now, changed or not; safe in a signal handler."""
        self._asked = True
        self._wake.set()

    def check(self) -> Check:
        """Whether what is in force is what the files say."""
        detail = self._problem or f"as in {self._settings.sites_dir}, {self._settings.mappings_dir}"
        hint = "mend the files; what was in force before goes on being used"
        return Check("configuration", not self._problem, detail, hint, is_needed=False)

    def look_once(self) -> bool:
        """Look at the files, and take them if they have changed; whether anything was taken."""
        now = self._look()
        is_settled = now == self._seen
        self._seen = now
        if self._asked:
            self._asked = False
        elif not is_settled or now == self._taken:
            return False
        self._taken = now
        return self._reload()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(self._poll_s)
            self._wake.clear()
            if not self._stopping.is_set():
                try:
                    self.look_once()
                except Exception:  # noqa: BLE001 - the old files go on being used
                    _LOG.exception("site files and mappings could not be read again")

    def _look(self) -> str:
        """What lies in the folders, as a fingerprint of the files' contents."""
        digest = hashlib.sha256()
        for folder in (self._settings.sites_dir, self._settings.mappings_dir):
            try:
                texts = read_toml_files(folder)
            except ConfigurationError as error:
                texts = {str(folder): str(error)}
            for name, text in texts.items():
                for part in (name, text):
                    digest.update(hashlib.sha256(part.encode()).digest())
        return digest.hexdigest()

    def _reload(self) -> bool:
        problems = []
        registry: SiteRegistry | None = None
        mappings: Mappings | None = None
        try:
            registry = open_registry(self._settings)
        except ConfigurationError as error:
            problems += error.problems
        try:
            mappings = open_mappings(self._settings)
        except ConfigurationError as error:
            problems += error.problems
        if registry is None or mappings is None:
            self._problem = "; ".join(str(problem) for problem in problems)
            _LOG.error("site files or mappings have problems, the old ones stay in force:")
            for problem in problems:
                _LOG.error("  %s", problem)
            return False
        self._exchange(registry, mappings)
        self._problem = ""
        self.reloads += 1
        _LOG.info("read again: %d sites, %d mapping files", len(registry), len(mappings))
        return True
