"""Ends with 0 when the address given answers 200: a container has no curl for its check."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

_PATIENCE_S = 4.0


def main(address: str) -> int:
    """Ask once."""
    try:
        with urllib.request.urlopen(address, timeout=_PATIENCE_S) as answer:  # noqa: S310
            return 0 if answer.status == 200 else 1
    except (urllib.error.URLError, OSError) as problem:
        print(f"{address}: {problem}")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
