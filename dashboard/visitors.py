"""Who is asking: put there by the gate, read by pages, routes and callbacks."""

from __future__ import annotations

from contextvars import ContextVar

from dashboard.sessions import Visitor

_CURRENT: ContextVar[Visitor | None] = ContextVar("greendc_visitor", default=None)


def set_visitor(visitor: Visitor | None) -> None:
    """Name the visitor of the request that this context serves."""
    _CURRENT.set(visitor)


def current_visitor() -> Visitor:
    """The visitor of this request.

    Raises:
        RuntimeError: The gate let a request through without one: the path is open by mistake.
    """
    visitor = _CURRENT.get()
    if visitor is None:
        raise RuntimeError("no visitor in this request; the gate has to name one")
    return visitor
