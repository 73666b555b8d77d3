"""Looks at a callback request before Dash does: what no page of ours sends is a 400, not a fault.

Component values, states and ids are whatever the browser chose to send. Dash trusts their shape and
would answer a wrong one with 500 from deep inside.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.problems import problem_response

CALLBACK_PATH = "/_dash-update-component"


class CallbackGuard:
    """ASGI middleware around Dash's callback endpoint; see the module."""

    def __init__(self, app: ASGIApp, *, outputs: Collection[str]) -> None:
        """Wrap an application.

        Args:
            outputs: The callbacks that exist, as Dash names them.
        """
        self._app = app
        self._outputs = outputs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a malformed callback request, pass everything else."""
        is_callback = scope["type"] == "http" and scope["path"] == CALLBACK_PATH
        if not is_callback or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = await _read_body(receive)
        if body is None:
            return
        if not is_callback_request(body, self._outputs):
            await problem_response(400)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)


def is_callback_request(body: bytes, outputs: Collection[str]) -> bool:
    """Whether this is a call of a callback that exists, in the shape that Dash expects."""
    try:
        call = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(call, dict):
        return False
    output = call.get("output")
    if not isinstance(output, str) or output not in outputs:
        return False
    changed = call.get("changedPropIds", [])
    if not isinstance(changed, list) or not all(isinstance(name, str) for name in changed):
        return False
    declared = call.get("outputs", [])
    lists = (call.get("inputs", []), call.get("state", []))
    return isinstance(declared, dict | list) and all(_is_values(values) for values in lists)


def _is_values(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, dict)
        and _is_id(value.get("id"))
        and isinstance(value.get("property"), str)
        for value in values
    )


def _is_id(value: Any) -> bool:
    """A name, or the names by which a callback is matched to one of many parts."""
    if isinstance(value, dict):
        return all(isinstance(part, str) for part in value.values())
    return isinstance(value, str)


async def _read_body(receive: Receive) -> bytes | None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replayed() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
