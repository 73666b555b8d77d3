"""Log lines: text on a terminal, one JSON object a line elsewhere; always on standard error."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Literal


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # Times are UTC; control characters of foreign text end as JSON escapes, one line an event.
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class _TextFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        if record.exc_info:
            return line
        return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)


def configure_logging(form: Literal["", "text", "json"], level: str) -> None:
    """Send everything to standard error in the wished form."""
    if not form:
        form = "text" if sys.stderr.isatty() else "json"
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(
            _TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%SZ")
        )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("urllib3", "uvicorn.access", "amqtt", "transitions", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
