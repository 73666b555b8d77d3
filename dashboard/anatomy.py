"""What today's PUE is made of, as a picture in words and widths: pure.

The whole stands at true scale; the part above IT is then magnified, with its factor printed. The
printed parts add up to the printed PUE: what rounding leaves over goes to the largest part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analytics.systems import SystemPart, SystemTotals
from core.quality import Verdict
from dashboard import formats
from dashboard.words import Words

SYSTEM_WORDS = {
    "it": "system.it",
    "cooling": "system.cooling",
    "losses": "system.losses",
    "lighting": "system.lighting",
    "rest": "system.rest",
}
_DECIMALS = 3
_MWH = 1000.0
# A part narrower than this many percent of the slice carries its words outside.
_LABELLED_PERCENT = 14.0


@dataclass(frozen=True, slots=True)
class AnatomyPart:
    """One part of what is used beside IT.

    Attributes:
        plus: What it adds to PUE: `+0.180`.
        amount: Its energy with its unit.
        mark: `metered` or `calculated` in words.
        tag: Its verdict where it is not final.
        width: Percent of the magnified slice; 0 where nothing is drawn.
        shade: 1 (darkest) to 3.
        is_labelled: Whether the words fit into it.
    """

    name: str
    plus: str
    amount: str
    mark: str
    tag: str
    width: float
    shade: int
    is_labelled: bool


@dataclass(frozen=True, slots=True)
class AnatomyView:
    """The whole picture.

    Attributes:
        it_width: Percent of the facility that is IT.
        left: Where the slice begins, in percent of the whole.
    """

    facility: str
    it: str
    it_width: float
    beside: str
    factor: str
    parts: tuple[AnatomyPart, ...]
    notes: tuple[str, ...]
    label: str


def anatomy_view(totals: SystemTotals | None, words: Words) -> AnatomyView | None:
    """The picture of a period's totals; None where its PUE is refused."""
    if totals is None or totals.pue is None:
        return None
    beside = totals.facility_kwh - totals.it_kwh
    parts = [part for part in totals.parts if part.name != "it"]
    shown = [part for part in parts if part.kwh is not None]
    pluses = rounded_parts([(part.kwh or 0.0) / totals.it_kwh for part in shown], totals.pue)
    order = sorted(range(len(shown)), key=lambda at: -(shown[at].kwh or 0.0))
    drawn = sum(max(part.kwh or 0.0, 0.0) for part in shown)
    views = []
    for rank, at in enumerate(order):
        kwh = shown[at].kwh or 0.0
        width = round(max(kwh, 0.0) / drawn * 100.0, 2) if drawn > 0.0 else 0.0
        views.append(
            AnatomyPart(
                name=words(SYSTEM_WORDS[shown[at].name]),
                plus=formats.format_signed(pluses[at], _DECIMALS),
                amount=_mwh(kwh),
                mark=words("mark.metered" if shown[at].is_metered else "mark.calculated"),
                tag="" if shown[at].verdict is Verdict.FINAL else words("verdict.provisional"),
                width=width,
                shade=min(rank + 1, 3),
                is_labelled=width >= _LABELLED_PERCENT,
            )
        )
    share = beside / totals.facility_kwh if totals.facility_kwh else 0.0
    factor = formats.format_number(1.0 / share, 1) if share > 0.0 else formats.NO_VALUE
    plus = formats.format_number(round(totals.pue, _DECIMALS) - 1.0, _DECIMALS)
    sentence = ", ".join(f"{view.name} {view.plus}" for view in views)
    return AnatomyView(
        facility=words("anatomy.facility", amount=_mwh(totals.facility_kwh)),
        it=words(
            "anatomy.it",
            amount=_mwh(totals.it_kwh),
            share=formats.format_share(totals.it_kwh / totals.facility_kwh),
        ),
        it_width=round(totals.it_kwh / totals.facility_kwh * 100.0, 2),
        beside=words("anatomy.beside", amount=_mwh(beside), share=formats.format_share(share)),
        factor=words("anatomy.factor", plus=plus, factor=factor),
        parts=tuple(views),
        notes=_notes(parts, shown, words),
        label=words("anatomy.label", plus=plus, parts=sentence),
    )


def rounded_parts(parts: Sequence[float], pue: float) -> list[float]:
    """The parts rounded so that they add up to the rounded PUE less one."""
    unit = 10**_DECIMALS
    whole = round(pue * unit) - unit
    rounded = [round(part * unit) for part in parts]
    if rounded:
        largest = max(range(len(parts)), key=lambda at: abs(parts[at]))
        rounded[largest] += whole - sum(rounded)
    return [value / unit for value in rounded]


def _notes(
    parts: Sequence[SystemPart], shown: Sequence[SystemPart], words: Words
) -> tuple[str, ...]:
    notes = [
        words(
            "anatomy.refused",
            name=words(SYSTEM_WORDS[part.name]),
            share=formats.format_share(part.coverage),
        )
        for part in parts
        if part.kwh is None
    ]
    notes += [
        words("anatomy.negative", name=words(SYSTEM_WORDS[part.name]), amount=_mwh(-part.kwh))
        for part in shown
        if part.kwh is not None and part.kwh < 0.0
    ]
    return tuple(notes)


def _mwh(kwh: float) -> str:
    return f"{formats.format_number(kwh / _MWH, 1)} MWh"
