"""Charts as PNG, and as specifications that the page's own script draws; vl-convert does both without a browser."""

import io
import json
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import altair as alt
import vl_convert
from PIL import Image

from taxi_assets.reports import style
from taxi_assets.reports.picture import Panel, Picture

# Dagster keeps a picture's bytes in its database for ever.
MAX_PNG_BYTES = 100_000
_SCALES = (1.5, 1.1, 0.8, 0.6, 0.4)
_COLORS = 64
_VEGALITE = "6.4"
Shared = Mapping[str, Sequence[Mapping[str, Any]]]


@cache
def library() -> str:
    """Return the script that draws charts: Vega-Embed and what it needs."""
    # Within a page, nothing may look like the end of its script.
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")


def themed(text: str) -> str:
    """Return a specification whose colours are the page's variables, which follow light and dark mode."""
    names = {style.INK: "ink", style.PAPER: "paper", style.FAINT: "faint", style.HATCH: "hatch"}
    names |= {color: f"step{i}" for i, color in enumerate(style.STEPS)}
    names |= {color: f"flow{i}" for i, color in enumerate(style.DIVERGING)}
    for color, name in names.items():
        text = text.replace(f'"{color}"', f'"var(--{name})"')
    return text


def vega(panel: Panel, shared: Shared) -> dict[str, Any]:
    """Return a panel as a Vega specification of the width that its place on the page has.

    The shared data is left out of it; the page's script puts it in.
    """
    sides = {"left": 4, "right": 8, "top": 4, "bottom": 4}
    chart = panel.chart.properties(width="container", height=panel.height, padding=sides)
    spec = _specification(chart, {name: [] for name in shared}, {})
    compiled: dict[str, Any] = json.loads(themed(json.dumps(vl_convert.vegalite_to_vega(spec, vl_version=_VEGALITE))))
    return compiled


def png(picture: Picture, shared: Shared) -> bytes:
    """Return a picture with its title and subtitle as a PNG of at most `MAX_PNG_BYTES`, smaller if it must be."""
    width = 640 if picture.columns == 1 else 400 if picture.columns == 2 else 300
    panels = [panel.chart.properties(width=width, height=panel.height, title=panel.title) for panel in picture.panels]
    lines = textwrap.wrap(picture.subtitle, width * picture.columns // 6)
    title = alt.TitleParams(picture.title, subtitle=lines, fontSize=18, subtitlePadding=6, offset=14)
    whole = alt.concat(*panels, columns=picture.columns, title=title).resolve_scale(color="independent")
    spec = _specification(whole, shared, {"background": style.PAPER})
    # Shown by Dagster on its own background, whichever that is.
    svg = vl_convert.vegalite_to_svg(spec | {"padding": 12}, vl_version=_VEGALITE)
    for scale in _SCALES:
        found = _small(vl_convert.svg_to_png(svg, scale=scale))
        if len(found) <= MAX_PNG_BYTES:
            return found
    raise AssertionError(f"{picture.name} is larger than {MAX_PNG_BYTES} bytes at a scale of {_SCALES[-1]}")


def _specification(chart: Any, shared: Mapping[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = chart.to_dict()
    return spec | {"config": style.config() | config, "datasets": spec.get("datasets", {}) | dict(shared)}


def _small(content: bytes) -> bytes:
    """Return a PNG with a palette, a third of its size: charts have few colours."""
    with Image.open(io.BytesIO(content)) as image:
        few = image.convert("RGB").quantize(_COLORS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    packed = io.BytesIO()
    few.save(packed, "PNG", optimize=True)
    return packed.getvalue()
