"""A page as one HTML file that loads nothing: words, tables, chart specifications and the script that draws them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from taxi_assets.reports import render, style
from taxi_assets.reports.picture import Absent, Picture

# Nothing may be fetched, from wherever the page is opened; Vega makes functions of its expressions.
POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True)
class Tile:
    """A number at the top of a page."""

    label: str
    text: str
    value: float


@dataclass(frozen=True)
class PageContent:
    """All that a page holds; `links` are the months of each dataset with the addresses of their pages."""

    title: str
    lead: str
    sample: str | None
    tiles: Sequence[Tile]
    notes: Sequence[str]
    sections: Sequence[Picture | Absent]
    shared: Mapping[str, Sequence[Mapping[str, Any]]]
    home: str | None
    links: Sequence[tuple[str, Sequence[tuple[str, str | None]]]]
    digests: Mapping[str, str]
    parts: Mapping[str, str] = field(default_factory=dict)


def to_html(content: PageContent) -> str:
    """Return the page."""
    pictures = [section for section in content.sections if isinstance(section, Picture)]
    charts = [
        {"id": f"{picture.name}-{number}", "spec": render.vega(panel, content.shared)}
        for picture in pictures
        for number, panel in enumerate(picture.panels)
    ]
    html: str = _template().render(
        page=content,
        policy=POLICY,
        css=_text("page.css") + _palette(),
        script=_text("page.js"),
        library=render.library() if pictures else "",
        charts=_json(charts),
        shared={name: _json(rows) for name, rows in content.shared.items()} if pictures else {},
        answers=_json(dict(content.digests)),
    )
    return html


def _palette() -> str:
    """Return the colours of charts as variables; in dark mode, more is brighter instead of darker."""

    def variables(steps: Sequence[str], flows: Sequence[str]) -> str:
        colors = {f"step{i}": c for i, c in enumerate(steps)} | {f"flow{i}": c for i, c in enumerate(flows)}
        return "".join(f"--{name}:{color};" for name, color in colors.items())

    dark_flows = ("#f0a35e", "#b06a2c", "#6d4a2b", "#34373d", "#2b5675", "#3f86ba", "#8cc6f2")
    light, dark = variables(style.STEPS, style.DIVERGING), variables(style.STEPS[::-1], dark_flows)
    return f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def _json(value: Any) -> str:
    """Return JSON that may stand within a script element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@cache
def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_text("page.html"))


@cache
def _text(name: str) -> str:
    return files("taxi_assets.reports").joinpath(name).read_text(encoding="utf-8")
