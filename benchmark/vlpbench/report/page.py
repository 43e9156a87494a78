"""The page: contents put into the shipped templates, with a policy that lets nothing in from outside."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from vlpbench.report.content import Contents
from vlpbench.table.entries import BELOW_FLOOR, MINUS, MISSING

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER, PAGE, STYLE, SCRIPT = "report", "page.html.j2", "report.css", "report.js"


def render_page(contents: Contents) -> str:
    """The whole report as HTML.

    Everything is inside; its Content-Security-Policy refuses all else, and runs no script but the one whose hash it
    names. Text from records and cards is escaped by the templates.
    """
    style, script = _file(STYLE).strip(), f"\n{_file(SCRIPT).strip()}\n"
    template = _environment().get_template(PAGE)
    page = template.render(
        report=contents,
        style=style,
        script=script,
        policy=content_policy(script),
        cells=embedded_json(contents.cells),
        below_floor=BELOW_FLOOR,
    )
    return page.rstrip("\n") + "\n"


def content_policy(script: str) -> str:
    """What the page may do: its own styles, pictures inside it, and this one script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def embedded_json(value: Any) -> str:
    """JSON that can stand inside a script element: no sign in it that could end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def per_cent(fraction: float) -> str:
    """A fraction as the tables print it."""
    return f"{100 * fraction:.1f}"


def points(difference: float | None) -> str:
    """A difference of fractions in percentage points, with its sign; – for none."""
    return MISSING if difference is None else f"{100 * difference:+.1f}".replace("-", MINUS)


def p_value(value: float) -> str:
    """A p-value as printed in a cell."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


@cache
def _environment() -> Environment:
    """Templates that escape whatever they are given, and fail on a name that is not there."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_file), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"per_cent": per_cent, "points": points, "p_value": p_value}
    return environment


def _file(name: str) -> str:
    return (files("vlpbench_configs") / FOLDER / name).read_text(encoding="utf-8")
