"""What one block of a site's physics amounts to, quantity by quantity, before it is read."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.samples import Floats

Key = tuple[str, str]
# Quantities of the whole site, for the exact figures; no device may have this id.
SITE = "@site"


@dataclass(slots=True)
class Draft:
    """Quantities of one block by (device, metric).

    Attributes:
        gauges: Values at the nodes, linear between: (BLOCK_STEPS + 1,).
        rates: What a counter grows by per hour, at the nodes, linear between.
        steps: What a counter grows by in each step, evenly spread: (BLOCK_STEPS,).
    """

    gauges: dict[Key, Floats] = field(default_factory=dict)
    rates: dict[Key, Floats] = field(default_factory=dict)
    steps: dict[Key, Floats] = field(default_factory=dict)

    def power(self, device: str, power_kw: Floats) -> None:
        """Active power and energy of an electrical meter."""
        self.gauges[device, "active_power_kw"] = power_kw
        self.rates[device, "active_energy_kwh"] = power_kw
