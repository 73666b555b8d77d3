"""Accelerator KPIs: our own, not ISO.

One level of devices is counted, never two levels of one thing: `accelerator`, where there are none
`node`, then `cluster_total`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analytics import formulas
from analytics.boundary import accelerators, has_role, it_meters, meters_it
from analytics.energy import ACCELERATOR, ENERGY
from analytics.figures import Question, Subject, ratio_figures, refused_figures, sum_figures
from analytics.sides import Side, StatePredicate, term_of
from core.errors import InsufficientDataError
from core.kpis import KpiValue
from core.sites import Device, DeviceState

_KINDS = ("gpu", "npu")


def accelerator_energy(question: Question) -> list[KpiValue]:
    """Energy of all accelerators, of each kind, and of each device group."""
    role, devices = accelerators(question.site)
    found: list[KpiValue] = []
    for subject_id, belonging, belongs in _subjects(role, devices):
        side = accelerator_side(question, belonging, belongs)
        subject = Subject("accelerator_energy", subject_id, "accelerator_energy/1")
        found += sum_figures(question, subject, side, parts={"devices": float(_count(belonging))})
    return found


def accelerator_side(
    question: Question, devices: Sequence[Device], belongs: StatePredicate
) -> Side:
    """Energy of accelerators, covered by the share of them that reported."""
    flows = question.reader.flows(devices, ACCELERATOR)
    terms = [term_of(flow, belongs, members=float(flow.device.latest.count or 1)) for flow in flows]
    return Side("accelerator_energy_kwh", question.tiling, terms, by_members=True)


def accelerator_reconciliation(question: Question) -> list[KpiValue]:
    """Energy of the accelerators over that of the IT meters that feed them; below 1 in order.

    For each hall that has both, and for the site over these halls together; where the devices name
    no halls, over the whole site.
    """
    version = "accelerator_reconciliation/1"
    role, devices = accelerators(question.site)
    meters = it_meters(question.site, question.category)
    halls = [
        hall
        for hall in dict.fromkeys(device.latest.hall for device in devices)
        if hall and any(meter.latest.hall == hall for meter in meters)
    ]
    groups: list[tuple[str, tuple[str, ...]]] = [("site", tuple(halls))]
    groups += [(hall, (hall,)) for hall in halls]
    found: list[KpiValue] = []
    for subject_id, within in groups:
        mine = [d for d in devices if not within or d.latest.hall in within]
        feeding = [m for m in meters if not within or m.latest.hall in within]
        subject = Subject("accelerator_reconciliation", subject_id, version, question.category)
        if not mine or not feeding:
            reason = f"needs accelerators and IT meters of category {question.category}"
            found += refused_figures(question, subject, reason)
            continue
        flows = question.reader.flows(feeding, ENERGY)
        belongs = meters_it(question.category)
        it = Side("it_energy_kwh", question.tiling, [term_of(flow, belongs) for flow in flows])
        found += ratio_figures(
            question,
            subject,
            accelerator_side(question, mine, has_role(role)),
            it,
            _share_of(mine, feeding),
        )
    return found


def _share_of(
    accelerators: Sequence[Device], feeding: Sequence[Device]
) -> Callable[[float, float], float]:
    """The share of the meters' energy; what feeds a device cannot show less than it."""

    def share(energy_kwh: float, it_energy_kwh: float) -> float:
        found = formulas.divide(energy_kwh, it_energy_kwh, "IT energy")
        if found > 1.0:
            meters = ", ".join(f"{meter.id}/{ENERGY.counter}" for meter in feeding[:3])
            more = f" and {len(feeding) - 3} more" if len(feeding) > 3 else ""
            raise InsufficientDataError(
                f"{len(accelerators)} accelerators ({accelerators[0].id}, …) show "
                f"{energy_kwh:,.1f} kWh, the IT meters that feed them {it_energy_kwh:,.1f} kWh: "
                f"{meters}{more} or the hall of an accelerator is wrong"
            )
        return found

    return share


def _subjects(
    role: str, devices: Sequence[Device]
) -> list[tuple[str, list[Device], StatePredicate]]:
    everything = has_role(role)
    found: list[tuple[str, list[Device], StatePredicate]] = [("site", list(devices), everything)]
    for kind in _KINDS:

        def is_kind(state: DeviceState, kind: str = kind) -> bool:
            return state.role == role and state.kind == kind

        of_kind = [d for d in devices if any(is_kind(state) for state in d.states)]
        if of_kind:
            found.append((kind, of_kind, is_kind))
    groups = dict.fromkeys(device.group for device in devices if device.group)
    found += [(group, [d for d in devices if d.group == group], everything) for group in groups]
    if role == "cluster_total" and len(devices) > 1:
        # Each of several totals stands for the devices of a cluster: it is a group by itself.
        found += [(d.id, [d], everything) for d in devices if not d.group]
    return found


def _count(devices: Sequence[Device]) -> int:
    return sum(device.latest.count or 1 for device in devices)
