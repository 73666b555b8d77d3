"""Builds a month in a process of its own and prints the SHA-256 of its three files.

Usage: print_hashes.py FONTS
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from analytics.month.content import build_month
from core.canonical import canonical_json
from reports.pdf import render_pdf
from reports.words import load_words
from tests.reports.conftest import spoilt_month
from tests.reports.month_data import MONTH, NOW


def main() -> None:
    data = spoilt_month()
    store, records = data.write()
    content = build_month(store, records, data.site, MONTH, now=NOW)  # type: ignore[arg-type]
    document = {**content.document, "revision": 1, "software": {"greendc": "0.1.0"}}
    written = canonical_json(document)
    sha256 = hashlib.sha256(written).hexdigest()
    print(sha256)
    for words in load_words().values():
        pdf = render_pdf(json.loads(written), written, sha256, words, Path(sys.argv[1]))
        print(hashlib.sha256(pdf).hexdigest())


if __name__ == "__main__":
    main()
