"""Figures as inline SVG that take their colours and font from the page, equal bytes for equal data."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from html import escape

# Stand-in colours, replaced by the page's own so that one drawing serves light and dark.
INK, LINE = "#010203", "#040506"
SERIES = ("#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04")
STROKES = ("solid", (0, (4, 1.5)))
"""Of the first lines, as many as there are colours, and of the next."""
MOST_LINES = len(SERIES) * len(STROKES)
MOST_POINTS = 600
WIDE = (4.5, 3.2)
"""Inches of a figure that stands alone: on a phone its text is still about as many pixels high as points."""
BELOW = "below"
LEGEND_COLUMNS, LEGEND_ROW = 3, 0.2


@dataclass(frozen=True)
class Series:
    """One line: its label and its points, `x` and `y` lists of float."""

    label: str
    x: list[float]
    y: list[float]


def line_figure(
    name,
    title,
    series,
    x_label,
    y_label,
    *,
    unit_square=False,
    size=WIDE,
    legend="upper right",
    points=False,
    marks=None,
):
    """An `<svg>` element with one line per series; `name` makes its ids unique in the page, `title` is its
    alternative text.

    `unit_square`: both axes run from 0 to 1. `legend`: where it stands, in the axes or `below` them.
    `points`: they are drawn too. `marks`: (label, {x: text}) of upright lines, named above the figure. NaN
    parts a line. Long series are thinned to 600 points, first and last kept. More than `MOST_LINES` series
    are an error.
    """
    below = legend == BELOW and len(series) > 1
    columns = _columns([line.label for line in series], size[0]) if below else 1
    rows = -(-len(series) // columns) if below else 0
    with _drawing(name, (size[0], size[1] + LEGEND_ROW * max(0, rows - 1))) as (figure, axes):
        pens = [(colour, stroke) for stroke in STROKES for colour in SERIES]
        for line, (colour, stroke) in zip(series, pens[: len(series)], strict=True):
            marker = "o" if points or len(line.x) == 1 else None  # a line of one point is invisible
            axes.plot(
                _thinned(line.x),
                _thinned(line.y),
                color=colour,
                linewidth=1.6,
                linestyle=stroke,
                label=line.label,
                marker=marker,
                markersize=3.5 if points else None,
            )
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid(True)
        if all(float(x).is_integer() for line in series for x in line.x):
            axes.xaxis.get_major_locator().set_params(integer=True)
        if marks:
            _mark(axes, *marks)
        if unit_square:
            axes.set(xlim=(0, 1.01), ylim=(0, 1.02))
        if below:
            figure.legend(frameon=False, loc="outside lower center", ncols=columns, handlelength=1.6)
        elif len(series) > 1:
            axes.legend(frameon=False, loc=legend)
        return _inline(_save(figure), name, title)


def _columns(labels, inches):
    """So many columns of a legend fit below a figure: 6.2 points a letter, 44 for the line and the gaps."""
    widest = 44 + 6.2 * max(map(len, labels))
    return max(1, min(LEGEND_COLUMNS, len(labels), int(72 * inches // widest)))


def _mark(axes, label, texts):
    for x in texts:
        axes.axvline(x, color=LINE, linewidth=1.0, linestyle=(0, (2, 2)), zorder=0.5)
    above = axes.secondary_xaxis("top")
    above.set_xticks(list(texts), list(texts.values()))
    above.set_xlabel(label)
    above.spines["top"].set_visible(False)


def bar_figure(name, title, labels, values, x_label, size=WIDE):
    """An `<svg>` element with one horizontal bar for each of `labels`, from the top, its value beside it."""
    with _drawing(name, size) as (figure, axes):
        bars = axes.barh(range(len(values)), values, color=SERIES[0], height=0.7)
        axes.bar_label(bars, [f"{value:.3f}" for value in values], padding=3, color=INK)
        axes.set_yticks(range(len(values)), labels)
        axes.invert_yaxis()
        axes.set_xlim(0, max(values) * 1.15 or 1.0)
        axes.set_xlabel(x_label)
        return _inline(_save(figure), name, title)


def histogram_figure(name, title, values, x_label, y_label, size=(4.5, 2.2)):
    """An `<svg>` element with the histogram of `values` in 30 equal bins (drawn as a stepped line)."""
    low, high = min(values), max(values)
    width = (high - low) / 30 or 1.0
    counts = [0] * 30
    for value in values:
        counts[min(29, int((value - low) / width))] += 1
    x = [low + width * ((i + 1) // 2) for i in range(60)]
    y = [float(counts[i // 2]) for i in range(60)]
    return line_figure(name, title, [Series("", x, y)], x_label, y_label, size=size)


@contextlib.contextmanager
def _drawing(name, size):
    """(figure, axes) in the page's style; `name` makes the ids of the SVG the same in every run."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": 10,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": LINE,
        "xtick.color": LINE,
        "ytick.color": LINE,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": LINE,
        "grid.linewidth": 0.5,
        "grid.alpha": 0.6,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, figure.add_subplot()


def _thinned(values):
    if len(values) <= MOST_POINTS:
        return values
    step = (len(values) - 1) / (MOST_POINTS - 1)
    return [values[round(i * step)] for i in range(MOST_POINTS)]


def _save(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return buffer.getvalue().decode("utf-8")


def _inline(svg, name, title):
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\b(id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r"font-family: [^;\"]*;?", "", svg)
    for stand_in, colour in (
        (INK, "currentColor"),
        (LINE, "var(--line)"),
        *((stand_in, f"var(--series-{i})") for i, stand_in in enumerate(SERIES, 1)),
    ):
        svg = svg.replace(stand_in, colour)
    head, body = svg.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>{body}'
