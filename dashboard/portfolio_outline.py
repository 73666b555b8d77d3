"""Reads the outline of Korea that set-up extracted; without it there is no map."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from dashboard.portfolio_map import Ring

_LOG = logging.getLogger(__name__)
OUTLINE = Path("map") / "korea.json"


def read_outline(build: Path) -> tuple[Ring, ...]:
    """The rings of the outline as (longitude, latitude); empty where there is none.

    Args:
        build: Folder of the browser files, see `make board-files`.
    """
    path = build / OUTLINE
    try:
        rings = json.loads(path.read_text(encoding="utf-8"))["rings"]
        return tuple(tuple((float(x), float(y)) for x, y in ring) for ring in rings)
    except FileNotFoundError:
        _LOG.warning("no map in %s: sites are listed instead; `make board-files` brings it", path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        _LOG.warning("the map in %s cannot be read (%s): `make board-files` mends it", path, error)
    return ()
