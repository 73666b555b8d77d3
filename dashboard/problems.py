"""Refusals of the API: RFC 9457 problem documents in both languages."""

from __future__ import annotations

from starlette.responses import HTMLResponse, JSONResponse

from dashboard.words import load_words

_KEYS = {
    400: "problem.bad_request",
    401: "problem.unauthorized",
    403: "problem.forbidden",
    404: "problem.not_found",
    405: "problem.method",
    413: "problem.too_large",
    500: "problem.internal",
    503: "problem.unavailable",
}


def fault_page(number: str) -> HTMLResponse:
    """What a person sees when a page failed: in both languages, made without any template."""
    paragraphs = []
    for language, words in load_words().items():
        text = f"{words('problem.internal')}. {words('fault.number', number=number)}"
        paragraphs.append(f'<p lang="{language}">{text}</p>')
    html = f'<!doctype html><meta charset="utf-8"><title>greendc</title>{"".join(paragraphs)}'
    return HTMLResponse(html, 500, {"Cache-Control": "no-store"})


def problem_response(status: int, detail: str = "", *, instance: str = "") -> JSONResponse:
    """A problem document.

    Args:
        detail: What was found, for a person; nothing about the inside of the machine.
        instance: Identifier under which the log knows more.
    """
    words = load_words()
    key = _KEYS[status]
    body: dict[str, object] = {
        "type": "about:blank",
        "status": status,
        "title": words["en"](key),
        "titles": {language: catalogue(key) for language, catalogue in words.items()},
    }
    if detail:
        body["detail"] = detail
    if instance:
        body["instance"] = instance
    headers = {"Cache-Control": "no-store"}
    return JSONResponse(
        body, status_code=status, headers=headers, media_type="application/problem+json"
    )
