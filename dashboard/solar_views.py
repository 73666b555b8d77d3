"""The page of solar by array: figures of a stretch for the site and each array. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from analytics.boundary import pv_arrays
from core.kpis import KpiValue
from core.sites import Device, Site
from dashboard import formats
from dashboard.card_builder import percent
from dashboard.card_views import Bar, Card
from dashboard.cards_resources import surface_of
from dashboard.evidence_words import least_coverage, reason_words
from dashboard.history import HistoryQuestion
from dashboard.resource_cards import Magnified, ResourceCards, magnified_slice, parts_of
from dashboard.resource_reads import FigureAsk, Figures
from dashboard.words import Words

ASK = FigureAsk(
    "solar",
    (
        "pv_energy",
        "pv_specific_yield",
        "pv_performance_ratio",
        "pv_capacity_factor",
        "self_consumption",
        "self_sufficiency",
        "ref",
        "facility_energy",
    ),
)
_SHADES = ("g1", "g2", "g3", "g4")
_CERTIFICATES = {"retained": "solar.retained", "sold": "solar.sold"}


@dataclass(frozen=True, slots=True)
class ArrayFigures:
    """One array over the stretch: where it lies, what it gave, what irradiance led to expect.

    Attributes:
        bar: Energy on the scale of the largest expectation, its mark at the array's own.
        expected: Reference energy: rated power times irradiation on its plane.
        ratio: Performance ratio, its verdict beside it where doubtful.
        coverage: Of the performance ratio.
        more: The figures that a narrow screen has no column for.
        why: Why a figure is missing or doubtful.
    """

    surface: str
    name: str
    device: str
    rated: str
    certificates: str
    energy: str
    energy_tag: str
    bar: Bar | None
    expected: str
    ratio: str
    ratio_tag: str
    coverage: str
    specific_yield: str
    capacity_factor: str
    more: str
    why: str


@dataclass(frozen=True, slots=True)
class SolarView:
    """Everything of the page but live cards and charts; cards are None without arrays."""

    energy: Card | None
    yields: Card | None
    ratio: Card | None
    use: Card | None
    arrays: tuple[ArrayFigures, ...]
    table: Card | None
    share: Card | None
    magnified: Magnified | None
    missing: tuple[str, ...]
    as_of: str = ""


def has_solar(site: Site) -> bool:
    """Whether the site has a solar array."""
    return bool(pv_arrays(site))


def solar_view(site: Site, history: HistoryQuestion, figures: Figures, words: Words) -> SolarView:
    """The page for one stretch in the words of one language."""
    b = ResourceCards(site, history, figures, words)
    if not has_solar(site):
        missing = (words("solar.none"),)
        return SolarView(None, None, None, None, (), None, None, None, missing)
    return SolarView(
        energy=b.card(
            "solar_energy",
            words("solar.energy_title"),
            b.figure("pv_energy", note=_kwp(b)),
            evidence="solar_energy",
        ),
        yields=b.card(
            "solar_yield",
            words("solar.yield_title"),
            b.figure("pv_specific_yield", label=words("solar.yield_label")),
            b.figure("pv_capacity_factor", label=words("solar.capacity_label")),
            evidence="solar_yield",
        ),
        ratio=b.card(
            "solar_ratio",
            words("solar.ratio_title"),
            b.figure("pv_performance_ratio", note=words("solar.ratio_short")),
            evidence="solar_ratio",
        ),
        use=b.card(
            "solar_use",
            words("solar.use_title"),
            b.figure("self_consumption", label=words("solar.self_consumption")),
            b.figure("self_sufficiency", label=words("solar.self_sufficiency")),
            evidence="solar_use",
        ),
        arrays=tuple(_arrays(b)),
        table=b.card(
            "solar_arrays",
            words("solar.arrays_title"),
            subtitle=words("solar.arrays_subtitle"),
            evidence="solar_ratio",
        ),
        share=b.card(
            "solar_share",
            words("solar.share_title"),
            b.figure("ref", label="REF"),
            evidence="solar_share",
        ),
        magnified=_magnified(b),
        missing=(),
        as_of=b.as_of(),
    )


def _kwp(b: ResourceCards) -> str:
    rated = b.figures.part("pv_specific_yield", "rated_kwp")
    if rated is None:
        return ""
    return b.t("solar.rated_total", rated=formats.format_number(rated, 0))


def _arrays(b: ResourceCards) -> list[ArrayFigures]:
    arrays = pv_arrays(b.site)
    energies = {array.id: _value(b.figures.row("pv_energy", array.id)) for array in arrays}
    references = {array.id: _reference(b, array) for array in arrays}
    known = [v for v in (*energies.values(), *references.values()) if v is not None]
    longest = max(known, default=0.0)
    return [_array(b, a, energies[a.id], references[a.id], longest) for a in arrays]


def _value(row: KpiValue | None) -> float | None:
    return None if row is None else row.value


def _reference(b: ResourceCards, array: Device) -> float | None:
    row = b.figures.row("pv_performance_ratio", array.id)
    return None if row is None or row.value is None else row.parts.get("reference_energy_kwh")


def _array(
    b: ResourceCards, array: Device, kwh: float | None, reference: float | None, longest: float
) -> ArrayFigures:
    state, rows = array.latest, b.figures
    energy, energy_tag = b.cell(rows.row("pv_energy", array.id))
    ratio_row = rows.row("pv_performance_ratio", array.id)
    ratio, ratio_tag = b.cell(ratio_row)
    bar = None
    if longest > 0.0 and kwh is not None:
        mark = None if reference is None else percent(reference / longest)
        bar = Bar(percent(kwh / longest), mark)
    coverage = least_coverage(ratio_row) if ratio_row is not None else None
    why = reason_words(ratio_row, b.t) if ratio_row is not None else ""
    expected = formats.NO_VALUE
    if reference is not None:
        expected = f"{formats.format_number(reference, 1)} kWh"
    specific_yield = b.cell(rows.row("pv_specific_yield", array.id))[0]
    capacity_factor = b.cell(rows.row("pv_capacity_factor", array.id))[0]
    return ArrayFigures(
        surface=surface_of(state.surface, state.azimuth_deg),
        name=b.words.array_name(array.id, state),
        device=array.id,
        rated=f"{formats.format_number(state.rated_kwp, 0)} kWp" if state.rated_kwp else "",
        certificates=b.t(_CERTIFICATES[state.certificates])
        if state.certificates in _CERTIFICATES
        else "",
        energy=energy,
        energy_tag=energy_tag,
        bar=bar,
        expected=expected,
        ratio=ratio,
        ratio_tag=ratio_tag,
        coverage=formats.format_share(coverage),
        specific_yield=specific_yield,
        capacity_factor=capacity_factor,
        more=b.t(
            "solar.more",
            expected=expected,
            coverage=formats.format_share(coverage),
            specific_yield=specific_yield,
            capacity_factor=capacity_factor,
        ),
        why=why,
    )


def _magnified(b: ResourceCards) -> Magnified | None:
    facility, solar = b.figures.row("facility_energy"), b.figures.row("pv_energy")
    if facility is None or solar is None or not facility.value or not solar.value:
        return None
    share = formats.format_share(solar.value / facility.value, 2)
    whole_words = b.t("solar.whole", amount=_mwh(facility.value))
    slice_words = b.t("solar.slice", amount=_mwh(solar.value), share=share)
    amounts = []
    for array in pv_arrays(b.site):
        kwh = _value(b.figures.row("pv_energy", array.id))
        if kwh is not None and kwh > 0.0:
            amounts.append((b.words.array_name(array.id, array.latest), kwh, _mwh(kwh)))
    # Only parts that are all known may fill the slice.
    complete = abs(sum(kwh for _, kwh, _ in amounts) - solar.value) <= 0.01 * solar.value
    return magnified_slice(
        whole=facility.value,
        slice_=solar.value,
        whole_words=whole_words,
        slice_words=slice_words,
        label=f"{whole_words}, {slice_words}",
        factor_words=b.t.texts["resource.magnified"],
        parts=parts_of(amounts, solar.value, _SHADES) if complete else (),
    )


def _mwh(kwh: float) -> str:
    return f"{formats.format_number(kwh / 1000.0, 1)} MWh"
