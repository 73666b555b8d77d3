"""The whole list of sites at one moment, in the words of one language: pure.

The same view makes the first paint and every live update, so the page says one thing only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.quality import Verdict
from dashboard import formats
from dashboard.card_builder import VERDICT_WORDS
from dashboard.place_names import city_name
from dashboard.portfolio_findings import (
    CONDITION_WORDS,
    attention_line,
    condition_of,
    find_conditions,
)
from dashboard.portfolio_map import (
    DOKDO,
    EAST_SEA,
    FRAMES,
    JEJU_EAST_END,
    ULLEUNGDO,
    Frame,
    Ring,
    land_path,
    place_labels,
    text_width,
)
from dashboard.portfolio_rows import SPAN_WORDS, scale_end, span_beside, table_row
from dashboard.portfolio_spans import Span, span_window
from dashboard.portfolio_totals import sum_over_sites
from dashboard.portfolio_views import (
    Condition,
    Finding,
    MapView,
    MarkerView,
    PortfolioView,
    SiteNow,
    SpotView,
)
from dashboard.words import Words

_MARGIN = 10.0


def portfolio_view(
    sites: Sequence[SiteNow], span: Span, rings: Sequence[Ring], words: Words
) -> PortfolioView:
    """Everything that the page shows of these sites."""
    found = {now.site.id: find_conditions(now, words) for now in sites}
    ranked = sorted(sites, key=lambda now: condition_of(now, found[now.site.id]).rank)
    end = scale_end(sites, span)
    return PortfolioView(
        sub=_count(sites, words),
        attention=tuple(
            attention_line(now, found[now.site.id], words) for now in ranked if found[now.site.id]
        ),
        totals=sum_over_sites(sites, span, words) if any(s.is_operating for s in sites) else (),
        rows=tuple(table_row(now, found[now.site.id], span, end, words) for now in ranked),
        maps={name: _map(sites, found, rings, frame, words) for name, frame in FRAMES.items()}
        if rings
        else {},
        columns=(words(SPAN_WORDS[span]), words(SPAN_WORDS[span_beside(span)])),
        window=_window(sites, span, words),
        scale_end=formats.format_number(end, 1),
    )


def _count(sites: Sequence[SiteNow], words: Words) -> str:
    planned = sum(1 for now in sites if now.site.status == "planned")
    return words("sites.count", n=len(sites), operating=len(sites) - planned, planned=planned)


def _window(sites: Sequence[SiteNow], span: Span, words: Words) -> str:
    operating = next((now for now in sites if now.is_operating), None)
    if operating is None:
        return ""
    window = span_window(operating.site, span, operating.now_ms)
    if window is None:
        return words("today.not_yet")
    zone = operating.site.zone
    start, end = (moment.astimezone(zone) for moment in (window.start, window.end))
    if span == "today":
        return f"{start:%Y-%m-%d} {formats.format_span(start, end, zone)}"
    return f"{start:%Y-%m-%d}–{end:%m-%d %H:%M}"


def _map(
    sites: Sequence[SiteNow],
    found: Mapping[str, Sequence[Finding]],
    rings: Sequence[Ring],
    frame: Frame,
    words: Words,
) -> MapView:
    places = tuple((now.site.longitude, now.site.latitude) for now in sites)
    placed = place_labels(places, frame)
    markers = []
    for now, spot in zip(sites, placed, strict=True):
        site = now.site
        condition = condition_of(now, found[site.id])
        state = words(CONDITION_WORDS[condition])
        city = city_name(site, words.language)
        room = frame.column_left if spot.is_left else frame.width - frame.column_right
        name, note = _label(now, condition, city, state, room + _MARGIN, words)
        pue, site_name = _pue(now, words), site.name.get(words.language)
        markers.append(
            MarkerView(
                site=site.id,
                address=f"/s/{site.id}" if now.is_operating else f"/s/{site.id}/about",
                condition=condition,
                x=round(spot.x, 1),
                y=round(spot.y, 1),
                label_x=round(spot.label_x, 1),
                label_y=round(spot.label_y, 1),
                leader=spot.leader if spot.has_label else "",
                anchor="end" if spot.is_left else "start",
                name=name,
                note=note,
                # What is heard begins with what is seen, so that a voice can call it by that.
                title=", ".join(
                    filter(None, (f"{name} {note}", pue if pue not in note else "", site_name))
                ),
            )
        )
    return MapView(
        width=frame.width,
        height=frame.height,
        land=land_path(tuple(rings), frame),
        spots=_spots(frame, words),
        sea=_rounded(frame.project(EAST_SEA)),
        markers=tuple(sorted(markers, key=lambda marker: marker.y)),
    )


def _label(
    now: SiteNow, condition: Condition, city: str, state: str, room: float, words: Words
) -> tuple[str, str]:
    """The two lines of a label: city and state, and the PUE where there is room for it."""
    both = f"{city} · {state}"
    pue = _pue(now, words)
    hushed = {Condition.STALE, Condition.NO_DATA, Condition.UNREAD}
    if pue and condition not in hushed and text_width(both, is_bold=True) <= room:
        return both, pue
    return city, state


def _pue(now: SiteNow, words: Words) -> str:
    row = now.spans.pue.get("today") if now.spans else None
    if row is None or row.value is None:
        return ""
    text = f"PUE {formats.format_kpi('pue', row.value)[0]}"
    return text if row.verdict is Verdict.FINAL else f"{text} {words(VERDICT_WORDS[row.verdict])}"


def _spots(frame: Frame, words: Words) -> tuple[SpotView, ...]:
    ulleungdo, dokdo, jeju = (frame.project(p) for p in (ULLEUNGDO, DOKDO, JEJU_EAST_END))
    (ux, uy), (dx, dy), (jx, jy) = (_rounded(place) for place in (ulleungdo, dokdo, jeju))
    return (
        SpotView(words("map.ulleungdo"), ux, uy, ux - 7.0, uy + 4.0, "end", 3.0),
        SpotView(words("map.dokdo"), dx, dy, dx, dy + 16.0, "middle", 2.2),
        SpotView(words("map.jeju"), jx, jy, jx + 5.0, jy + 4.0, "start", 0.0),
    )


def _rounded(place: tuple[float, float]) -> tuple[float, float]:
    return round(place[0], 1), round(place[1], 1)
