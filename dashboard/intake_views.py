"""Data intake as a template takes it: ledger, quarantine, one entry, what became of a request."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.ledger import (
    Imbalance,
    LedgerCounts,
    QuarantineEntry,
    QuarantineRequest,
)
from core.periods import Period, from_ms
from core.reasons import REASONS
from core.sites import Site
from dashboard import formats
from dashboard.words import Words

# Rows of the list; work is asked for of more by the reason as a whole.
MOST_ENTRIES = 50
_MOST_OUTCOMES = 20
_TEXT_BYTES = 16 * 1024
_HEX_BYTES = 4 * 1024
_HEX_ROW = 16
_LEDGER_WORDS = {
    "stored": "intake.stored",
    "duplicate": "intake.duplicate",
    "quarantined": "intake.quarantined",
    "rejected": "intake.rejected",
    "spooled": "intake.spooled",
}
_STATE_WORDS = {
    "open": "intake.state_open",
    "replayed": "intake.state_replayed",
    "discarded": "intake.state_discarded",
}
_COUNT_WORDS = {
    "received": "intake.received",
    "quarantined": "intake.quarantined",
    "rejected": "intake.rejected",
    "discarded": "intake.discarded",
    "sum": "intake.sum",
}
# What an ingester says became of an entry -> our words for it.
_OUTCOME_WORDS = {
    "replayed": "intake.outcome_replayed",
    "discarded": "intake.outcome_discarded",
    "still refused": "intake.outcome_refused",
    "accepted": "intake.outcome_accepted",
    "already replayed": "intake.outcome_closed",
    "already discarded": "intake.outcome_closed",
    "already closed": "intake.outcome_closed",
    "holds no reading": "intake.outcome_empty",
    "no such entry": "intake.outcome_missing",
}
_CODE = re.compile(r"\A[a-z_]+")


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """An hour or a day of receipt.

    Attributes:
        counts: Received, then its parts in the order of the head, then late and discarded.
        is_balanced: It adds up, and no check of it has found anything else.
    """

    start: str
    counts: tuple[str, ...]
    is_balanced: bool


@dataclass(frozen=True, slots=True)
class LedgerView:
    """The ledger of a window.

    Attributes:
        parts: (name, count) of what received readings became; they add up to it.
        beside: (name, count) that are no part of the sum.
        alarms: Hours that disagree with what they count, in words.
    """

    received: str
    parts: tuple[tuple[str, str], ...]
    beside: tuple[tuple[str, str], ...]
    is_balanced: bool
    rows: tuple[LedgerRow, ...]
    alarms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReasonLine:
    """A reason with what is open for it."""

    code: str
    text: str
    entries: str
    readings: str
    address: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class EntryLine:
    """One entry of the list."""

    id: str
    address: str
    received: str
    topic: str
    code: str
    reason: str
    detail: str
    count: str


@dataclass(frozen=True, slots=True)
class QuarantineView:
    """Open entries of a site.

    Attributes:
        chosen: The reason that the list is cut to; empty for all.
        shown: Words for how many of how many are listed.
        total: Open entries, of the chosen reason.
    """

    reasons: tuple[ReasonLine, ...]
    lines: tuple[EntryLine, ...]
    chosen: str
    shown: str
    total: str


@dataclass(frozen=True, slots=True)
class EntryView:
    """One entry with its bytes.

    Attributes:
        payload: Text as it came, or rows of hex; never markup.
        cut: Words for what is left off; empty where all is shown.
    """

    id: str
    facts: tuple[tuple[str, str], ...]
    detail: str
    is_open: bool
    is_text: bool
    payload: str
    cut: str


@dataclass(frozen=True, slots=True)
class OutcomeView:
    """What became of a request."""

    title: str
    is_waiting: bool
    lines: tuple[str, ...]
    more: str


def _number(value: float) -> str:
    return formats.format_number(value, 0)


def _moment(time_ms: int, site: Site) -> str:
    return f"{from_ms(time_ms).astimezone(site.zone):%Y-%m-%d %H:%M:%S}"


def reason_text(code: str, words: Words) -> str:
    """A reason in words; one of a newer version as its code."""
    return REASONS[code].text.get(words.language) if code in REASONS else code


def ledger_view(
    pieces: Sequence[Period],
    sums: Sequence[LedgerCounts],
    alarms: Sequence[Imbalance],
    site: Site,
    words: Words,
    *,
    by_day: bool,
) -> LedgerView:
    """The ledger of a window, the newest hour first."""
    whole = sum(sums, LedgerCounts())
    names = ("received", *_LEDGER_WORDS, "late", "discarded")
    rows = tuple(
        LedgerRow(
            f"{piece.start.astimezone(site.zone):{'%Y-%m-%d' if by_day else '%m-%d %H:%M'}}",
            tuple(_number(getattr(counts, name)) for name in names),
            counts.balanced
            and not any(piece.start_ms <= one.hour_ms < piece.end_ms for one in alarms),
        )
        for piece, counts in reversed(list(zip(pieces, sums, strict=True)))
        if counts != LedgerCounts()
    )
    return LedgerView(
        received=_number(whole.received),
        parts=tuple(
            (words(text), _number(getattr(whole, name))) for name, text in _LEDGER_WORDS.items()
        ),
        beside=(
            (words("intake.late"), _number(whole.late)),
            (words("intake.discarded"), _number(whole.discarded)),
        ),
        is_balanced=all(counts.balanced for counts in sums) and not alarms,
        rows=rows,
        alarms=tuple(imbalance_words(one, site, words) for one in alarms),
    )


def imbalance_words(one: Imbalance, site: Site, words: Words) -> str:
    """An alarm of the ledger in words, with its hour in the site's zone."""
    return words(
        "intake.alarm",
        hour=f"{from_ms(one.hour_ms).astimezone(site.zone):%Y-%m-%d %H:%M}",
        count=words(_COUNT_WORDS.get(one.name, "intake.sum")),
        booked=_number(one.booked),
        found=_number(one.found),
    )


def quarantine_view(
    entries: Sequence[QuarantineEntry],
    counts: Mapping[str, tuple[int, int]],
    site: Site,
    words: Words,
    *,
    reason: str,
    path: str,
    query: str,
) -> QuarantineView:
    """Open entries, and the reasons that they have.

    Args:
        counts: Open entries and readings by reason.
        reason: The chosen one; empty for all.
        query: Of the page's window, to be kept in the addresses.
    """
    ranked = sorted(counts.items(), key=lambda item: (-item[1][1], item[0]))
    joint = f"&{query}" if query else ""
    reasons = tuple(
        ReasonLine(
            code,
            reason_text(code, words),
            _number(found),
            _number(readings),
            f"{path}?reason={code}{joint}#quarantine",
            code == reason,
        )
        for code, (found, readings) in ranked
    )
    total = sum(found for code, (found, _) in ranked if reason in ("", code))
    lines = tuple(
        EntryLine(
            entry.id,
            f"{path}/{entry.id}",
            _moment(entry.received_ms, site),
            entry.topic,
            entry.reason,
            reason_text(entry.reason, words),
            entry.detail,
            _number(entry.count),
        )
        for entry in entries
    )
    return QuarantineView(
        reasons,
        lines,
        reason,
        words("intake.shown", n=_number(len(lines)), of=_number(total)),
        _number(total),
    )


def entry_view(entry: QuarantineEntry, site: Site, words: Words) -> EntryView:
    """One entry with its bytes: text where they are text, else hex."""
    payload, is_text, shown = render_payload(entry.payload)
    size = len(entry.payload)
    cut = ""
    if shown < size:
        cut = words("intake.cut", shown=_number(shown), of=_number(size))
    elif not size and entry.state != "open":
        cut = words("intake.given_up")
    facts = (
        (words("intake.time"), f"{_moment(entry.received_ms, site)} {site.zone.key}"),
        (words("intake.reason"), f"{reason_text(entry.reason, words)} ({entry.reason})"),
        (words("intake.topic"), entry.topic),
        (words("intake.count"), _number(entry.count)),
        (words("intake.rows"), ", ".join(str(row + 1) for row in entry.rows[:50])
         or words("intake.rows_all")),
        (words("intake.state"), words(_STATE_WORDS[entry.state])),
        (words("intake.size"), words("intake.bytes", n=_number(size))),
    )  # fmt: skip
    return EntryView(entry.id, facts, entry.detail, entry.state == "open", is_text, payload, cut)


def render_payload(payload: bytes) -> tuple[str, bool, int]:
    """(what is shown, whether it is text, how many bytes of it are shown).

    Control characters and what would turn the direction of writing around are shown as their
    escapes: what is seen is what came.
    """
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        return _hex_rows(payload[:_HEX_BYTES]), False, min(len(payload), _HEX_BYTES)
    odd = sum(not (c.isprintable() or c in "\n\r\t") for c in text)
    if odd * 10 > len(text):
        return _hex_rows(payload[:_HEX_BYTES]), False, min(len(payload), _HEX_BYTES)
    if len(payload) > _TEXT_BYTES:
        text = payload[:_TEXT_BYTES].decode("utf-8", "ignore")
    shown = "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text
    )
    return shown, True, len(text.encode())


def _hex_rows(payload: bytes) -> str:
    rows = []
    for start in range(0, len(payload), _HEX_ROW):
        part = payload[start : start + _HEX_ROW]
        plain = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        rows.append(f"{start:06x}  {part.hex(' '):<{3 * _HEX_ROW}} {plain}")
    return "\n".join(rows)


def outcome_view(request: QuarantineRequest, words: Words) -> OutcomeView:
    """What became of a request, counted, with the first entries that still need somebody."""
    if request.state == "waiting":
        title = words("intake.waiting", n=_number(len(request.entry_ids)))
        return OutcomeView(title, True, (), "")
    kinds: Counter[str] = Counter()
    lines: list[str] = []
    for entry_id, told in request.outcome.items():
        head, _, rest = told.partition(":")
        kind = _OUTCOME_WORDS.get(head.partition(";")[0].strip(), "intake.outcome_other")
        kinds[kind] += 1
        if kind in {"intake.outcome_refused", "intake.outcome_other"}:
            code = _CODE.match(rest.strip())
            why = reason_text(code.group(), words) if code else told
            lines.append(words("intake.outcome_line", id=entry_id, why=why))
    counted = ", ".join(words(kind, n=_number(count)) for kind, count in kinds.most_common())
    hidden = len(lines) - _MOST_OUTCOMES
    more = words("intake.outcome_more", n=_number(hidden)) if hidden > 0 else ""
    return OutcomeView(
        words("intake.done", outcome=counted), False, tuple(lines[:_MOST_OUTCOMES]), more
    )
