"""Pictures of results: one figure for each measure. Nothing is computed here but positions and labels.

Missing values are gaps. Colours are those of Okabe and Ito, which people with any colour vision can tell apart.
"""

from __future__ import annotations

import datetime as dt
import html
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ctm import _errors
from ctm._native import lib

if TYPE_CHECKING:
    import plotly.graph_objects

    from ctm._result import Result

Row = dict[str, Any]

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#8C6D31", "#000000")
_DASHES = ("solid", "dash", "dot", "dashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up")
_GREY, _PALE, _INK = "#8A8A8A", "#E6E6E6", "#333333"
_BLUES = ["#F7FBFF", "#DEEBF7", "#C6DBEF", "#9ECAE1", "#6BAED6", "#4292C6", "#2171B5", "#084594"]
_WHITE, _BLACK = "#FFFFFF", "#000000"
_MOST_BARS = 40
_MOST_FACETS = 6
_LABEL = 40
_BAR = 30  # pixels
_LINE = 16  # of the caption


def plot(result: Result, **layout: Any) -> plotly.graph_objects.Figure:
    """A figure that suits the result's measure; keywords go to the figure's layout."""
    try:
        import plotly.graph_objects as go
    except ImportError:
        raise ImportError("a picture needs Plotly: pip install 'ctm[plot]'") from None
    draw = _DRAW.get(result.measure)
    if draw is None:
        raise _errors.make(
            lib.CTM_UNSUPPORTED,
            f"there is no picture of {result.measure or 'this table'}; there are pictures of {', '.join(_DRAW)}",
        )
    picture = _Picture(go, result)
    if picture.rows:
        draw(picture)
    else:
        picture.nothing()
    return picture.finish(layout)


class _Picture:
    """A figure in the making, and what it is made of."""

    def __init__(self, go: Any, result: Result):
        self.go = go
        self.figure = go.Figure()
        self.columns = result.columns
        self.rows = result.rows()
        self.provenance = result.provenance
        self.options = self.provenance.get("options") or {}
        self.notes = list(result.notes)
        self.title = ""
        self.height: int | None = None
        self.legend = False
        self.axis_room = 62  # pixels below the plot for the ticks and the name of the horizontal axis
        self.top = 0  # pixels above the plot; 0: what title and legend need
        self.right = 40

    def keys(self, first_value: str) -> list[str]:
        """The columns that tell groups apart: those before the first value, the period aside."""
        return [name for name in self.columns[: self.columns.index(first_value)] if name != "period"]

    def limits(self) -> str:
        return f"{_number(100 * float(self.options.get('confidence', 0.95)))}% limits"

    def source(self) -> str:
        p = self.provenance
        parts = []
        if p.get("store"):
            store = str(p["store"]).rsplit("/", 1)[-1]
            parts.append("Source: " + ("a store in memory" if store == ":memory:" else store))
        if p.get("interactions") is not None:
            parts.append(f"{p['interactions']:,} interactions of {p.get('customers') or 0:,} customers")
        if p.get("as_of"):
            parts.append(f"as of {str(p['as_of'])[:16].replace('T', ' ')}")
        if p.get("library"):
            parts.append(str(p["library"]))
        return ", ".join(parts)

    def nothing(self) -> None:
        self.title = self.title or _TITLES.get(self.provenance.get("measure", ""), "")
        self.figure.add_annotation(
            text="no data", x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 24, "color": _GREY}
        )
        self.figure.update_xaxes(visible=False, range=[0, 1])
        self.figure.update_yaxes(visible=False, range=[0, 1])

    def band(self, places: Sequence[float], names: Sequence[str], **more: Any) -> None:
        """A vertical axis of names, the first on top."""
        self.figure.update_yaxes(
            tickvals=list(places), ticktext=list(names), range=[max(places, default=0) + 0.6, -0.6], automargin=True,
            showgrid=False, zeroline=False, ticklabelstandoff=6, **more,
        )  # fmt: skip

    def finish(self, layout: dict[str, Any]) -> plotly.graph_objects.Figure:
        lines = [line for note in [*self.notes, self.source()] if note for line in textwrap.wrap(note, 104)]
        bottom = self.axis_room + _LINE * len(lines) + 14
        top = self.top or (84 if self.legend else 62)
        if lines:
            # Hung up on the lower edge of the figure, so that no axis can push it away or run into it.
            self.figure.add_annotation(
                text="<br>".join(_escape(line) for line in lines), x=0, y=0, xref="paper", yref="paper",
                xanchor="left", yanchor="bottom", yshift=8 - bottom, align="left", showarrow=False,
                font={"size": 12, "color": "#666666"},
            )  # fmt: skip
        self.figure.update_xaxes(automargin=False, title_standoff=12)
        self.figure.update_layout(
            template="plotly_white",
            title={"text": self.title, "x": 0, "xref": "paper", "xanchor": "left", "y": 1, "yanchor": "top",
                   "pad": {"t": 18}, "font": {"size": 20, "color": "#111111"}},
            font={"size": 14, "color": _INK},
            margin={"l": 80, "r": self.right, "t": top, "b": bottom},
            showlegend=self.legend,
            legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom",
                    "traceorder": "normal"},
            hoverlabel={"font_size": 13},
        )  # fmt: skip
        if self.height is not None:
            self.figure.update_layout(height=self.height + top + bottom)
        if isinstance(layout.get("title"), str):  # the words are the caller's, their place is ours
            layout = dict(layout, title={"text": layout["title"]})
        self.figure.update_layout(**layout)
        return self.figure


# ---- words and numbers ----------------------------------------------------------------------------------------------


def _escape(text: str) -> str:
    return html.escape(text, quote=False)


def _number(value: float) -> str:
    return f"{value:,.4g}" if value != int(value) else f"{int(value):,}"


def _percent(share: float | None, digits: int = 1) -> str:
    return "" if share is None else f"{100 * share:.{digits}f}%"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{_number(round(seconds / length, 1))} {unit}"
    return f"{seconds:.0f} s"


def _label(value: Any) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, dt.datetime):
        text = value.isoformat(" ", "minutes")[:16]
    elif isinstance(value, float):
        text = _number(value)
    else:
        text = str(value)
    return _escape(text if len(text) <= _LABEL else text[: _LABEL - 1] + "…")


def _group(row: Row, keys: Sequence[str]) -> str:
    return " · ".join(_label(row[key]) for key in keys)


def _count(n: int) -> str:
    return f" <span style='color:#777'>({n:,})</span>"


def _names(keys: Sequence[str]) -> str:
    return " and ".join(_escape(key) for key in keys)


def _groups(rows: Sequence[Row], keys: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return found


def _above(high: float | None, value: float | None) -> float | None:
    return None if high is None or value is None else max(high - value, 0.0)


def _bars(rows: Sequence[Row], value: str) -> dict[str, Any]:
    """Asymmetric error bars from low and high."""
    return {
        "type": "data", "symmetric": False, "thickness": 1.5, "width": 4, "color": "#444444",
        "array": [_above(row["high"], row[value]) for row in rows],
        "arrayminus": [_above(row[value], row["low"]) for row in rows],
    }  # fmt: skip


# ---- over time ------------------------------------------------------------------------------------------------------


def _step(times: Sequence[dt.date]) -> dt.timedelta:
    """The shortest distance between two periods."""
    gaps = [after - before for before, after in zip(times, times[1:], strict=False)]
    return min(gaps, default=dt.timedelta(days=1))


def _stamp(time: dt.date) -> dt.datetime:
    return time if isinstance(time, dt.datetime) else dt.datetime(time.year, time.month, time.day)


def _over_time(p: _Picture, keys: Sequence[str], value: str, hover: str, custom: Callable[[Row], list[Any]],
               limits: bool) -> None:  # fmt: skip
    """Lines over periods, one a group, side by side where limits would cover one another."""
    times = sorted({_stamp(row["period"]) for row in p.rows if row["period"] is not None})
    groups = _groups(p.rows, keys)
    p.legend = len(groups) > 1
    for i, (_, rows) in enumerate(groups.items()):
        rows = [row for row in rows if row["period"] is not None]
        shift = _step(times) * (0.06 * (i - (len(groups) - 1) / 2)) if limits and len(groups) <= 8 else dt.timedelta(0)
        at = {_stamp(row["period"]): row for row in rows}
        # A period without a row is a gap in the line, not a bridge.
        span = [time for time in times if rows and _stamp(rows[0]["period"]) <= time <= _stamp(rows[-1]["period"])]
        empty = dict.fromkeys((value, "low", "high"))
        shown = [at.get(time, empty) for time in span]
        colour = _COLOURS[i % len(_COLOURS)]
        p.figure.add_scatter(
            x=[time + shift for time in span], y=[row[value] for row in shown], mode="lines+markers",
            name=_group(rows[0], keys) if keys and rows else "", connectgaps=False,
            line={"color": colour, "width": 2.5, "dash": _DASHES[i // len(_COLOURS) % len(_DASHES)]},
            marker={"size": 8, "color": colour, "symbol": _SYMBOLS[i // len(_COLOURS) % len(_SYMBOLS)]},
            error_y=dict(_bars(shown, value), color=colour) if limits else None,
            customdata=[[_label(row["period"]), *custom(row)] if "period" in row else None for row in shown],
            hovertemplate="%{customdata[0]}<br>" + hover,
        )  # fmt: skip
    name = _PERIODS.get(p.options.get("period", ""), "period")
    zone = p.options.get("time_zone")
    p.figure.update_xaxes(title_text=f"{name} (its start{', ' + _escape(zone) if zone else ''})", showgrid=False)
    if len(times) <= 12:
        p.figure.update_xaxes(tickvals=times, ticktext=[_tick(time, p.options.get("period")) for time in times])
    p.figure.update_xaxes(range=[times[0] - _step(times) * 0.5, times[-1] + _step(times) * 0.5] if times else None)


_PERIODS = {"hour": "hour", "day": "day", "week": "week", "month": "month", "quarter": "quarter", "year": "year"}


def _tick(time: dt.datetime, period: str | None) -> str:
    if period == "hour":
        return time.strftime("%H:%M<br>%Y-%m-%d")
    if period == "year":
        return time.strftime("%Y")
    if period == "quarter":
        return f"{time.year}<br>Q{(time.month + 2) // 3}"
    if period == "month":
        return time.strftime("%b<br>%Y")
    return time.strftime("%d %b<br>%Y")


# ---- satisfaction ---------------------------------------------------------------------------------------------------


def _satisfaction(p: _Picture) -> None:
    value = p.provenance["measure"]
    keys = p.keys(value)
    name, axis, form = {
        "nps": ("Net Promoter Score", "NPS (points, −100 to 100)", "+.1f"),
        "csat": ("Customer satisfaction", "CSAT (share of satisfied answers)", ".1%"),
        "ces": ("Customer Effort Score", "CES (mean score)", ".2f"),
    }[value]
    p.title = name + (f" by {_names(keys)}" if keys else "")
    if all(row[value] is None for row in p.rows):
        p.nothing()
        return
    if any(row["low"] is not None for row in p.rows):
        p.notes.append(f"Error bars: {p.limits()}.")

    def facts(row: Row) -> list[Any]:
        low, high = row["low"], row["high"]
        limits = "no limits" if low is None or high is None else f"{_shown(low, form)} to {_shown(high, form)}"
        return [limits, f"{row['responses']:,}", f"{row['customers']:,}"]

    if "period" in p.columns:
        _over_time(p, keys, value,
                   f"{value.upper()} %{{y:{form}}} (%{{customdata[1]}})<br>"
                   "%{customdata[2]} answers of %{customdata[3]} customers", facts, limits=True)  # fmt: skip
        p.figure.update_yaxes(title_text=axis, tickformat=".0%" if value == "csat" else None)
        if value == "nps":
            p.figure.update_yaxes(zeroline=True, zerolinecolor="#555555", zerolinewidth=1.5)
            p.figure.add_hline(y=0, line_color="#555555", line_width=1.5)
        return
    rows = p.rows[:_MOST_BARS]
    _cut(p, len(p.rows), "groups")
    places = list(range(len(rows)))
    values = [row[value] for row in rows]
    shared: dict[str, Any] = dict(
        x=values, y=places, error_x=_bars(rows, value), customdata=[facts(row) for row in rows],
        hovertemplate=f"{value.upper()} %{{x:{form}}} (%{{customdata[0]}})<br>"
        "%{customdata[1]} answers of %{customdata[2]} customers<extra></extra>",
    )  # fmt: skip
    if value == "ces":  # its scale does not begin at 0: points, not bars
        p.figure.add_scatter(mode="markers", marker={"size": 12, "color": _COLOURS[0]}, **shared)
    else:
        colours = [_COLOURS[3] if value == "nps" and v is not None and v < 0 else _COLOURS[0] for v in values]
        p.figure.add_bar(orientation="h", width=0.6, marker={"color": colours, "opacity": 0.85}, **shared)
    p.figure.add_scatter(  # the numbers stand right of the limits, where nothing covers them
        x=[None if v is None else max(v, 0 if value == "nps" else v, row["high"] if row["high"] is not None else v)
           for v, row in zip(values, rows, strict=True)],
        y=places, mode="text", text=[f"  {_shown(v, form)}" for v in values], textposition="middle right",
        cliponaxis=False, hoverinfo="skip", textfont={"size": 14},
    )  # fmt: skip
    names = [(_group(row, keys) if keys else "all") + _count(row["responses"]) for row in rows]
    p.band(places, names)
    p.figure.update_xaxes(title_text=axis, tickformat=".0%" if value == "csat" else None)
    known = [x for row in rows for x in (row[value], row["low"], row["high"]) if x is not None]
    if value == "csat":
        p.figure.update_xaxes(range=[0, 1], tickvals=[0, 0.25, 0.5, 0.75, 1])
    elif value == "nps":
        p.figure.update_xaxes(range=[min(-5, *known) * 1.1, min(max(5, *known) * 1.15 + 5, 115)])
        p.figure.update_xaxes(zeroline=True, zerolinecolor="#222222", zerolinewidth=2)
    p.height = max(44 * len(rows), 120)
    p.right = 80


def _shown(value: float | None, form: str) -> str:
    if value is None:
        return ""
    return format(value, form).replace("-", "−")


def _cut(p: _Picture, count: int, what: str) -> None:
    if count > _MOST_BARS:
        p.notes.insert(0, f"The first {_MOST_BARS} of {count:,} {what}.")


# ---- retention ------------------------------------------------------------------------------------------------------


def _retention(p: _Picture) -> None:
    keys = p.columns[: p.columns.index("cohort")]
    groups = _groups(p.rows, keys)
    period = p.options.get("period", "week")
    p.title = f"Retention by {_cohorts(p)} cohort" + (f" and {_names(keys)}" if keys else "")
    if all(row["retention_rate"] is None for row in p.rows):
        p.nothing()
        return
    offsets = sorted({row["offset"] for row in p.rows})
    # Where everybody starts by returning, offset 0 is 100 % by definition: it says nothing, and gets no colour.
    itself = all(row["retention_rate"] in (1.0, None) for row in p.rows if row["offset"] == 0)
    rates = [row["retention_rate"] for row in p.rows
             if row["retention_rate"] is not None and not (itself and row["offset"] == 0)]  # fmt: skip
    top = max(rates, default=1.0) or 1.0
    if any(not row["complete"] and row["retention_rate"] is not None for row in p.rows):
        p.notes.append("Pale cells: the period is not over for the whole cohort; the share is of those it is over for.")
    if any(_open(row) for row in p.rows):
        p.notes.append("* period not over: customers who have returned so far.")
    if any(row["cohort"] is None for row in p.rows):
        p.notes.append("“All” sums the complete cells.")
    facets = 1 < len(groups) <= _MOST_FACETS
    tallest = max(len({row["cohort"] for row in rows}) for rows in groups.values())
    if facets:
        from plotly.subplots import make_subplots

        across = 2
        down = (len(groups) + 1) // 2
        cell = max(24 * tallest, 90)
        total = down * cell + (down - 1) * 90
        p.figure = make_subplots(
            rows=down, cols=across, vertical_spacing=90 / total, horizontal_spacing=0.16,
            subplot_titles=[" · ".join(_label(key) for key in group) for group in groups],
        )  # fmt: skip
        p.figure.update_annotations(font_size=15, font_color="#111111")
        p.height, p.top = total, 100
    else:
        p.height = max(30 * tallest, 160)
    made: list[int] = []
    axes: list[dict[str, Any]] = []
    for i, (group, rows) in enumerate(groups.items()):
        place = {"row": i // 2 + 1, "col": i % 2 + 1} if facets else {}
        before = len(p.figure.data)
        places, names = _heat(p, rows, offsets, itself, top, bool(facets), place)
        made.append(len(p.figure.data) - before)
        axes.append({"tickvals": places, "ticktext": names, "range": [max(places) + 0.5, -0.7]})
        if not facets and i > 0:
            continue
        p.figure.update_yaxes(
            **axes[i], showgrid=False, zeroline=False, automargin=True, tickfont_size=12 if facets else 13, ticklabelstandoff=6, **place,
        )  # fmt: skip
        p.figure.update_xaxes(
            title_text=f"offset ({period}s since the cohort’s)" if not facets or i >= len(groups) - 2 else None,
            tickvals=offsets if len(offsets) <= 26 else None, range=[offsets[0] - 0.5, offsets[-1] + 0.5],
            showgrid=False, zeroline=False, **place,
        )  # fmt: skip
    p.figure.update_layout(coloraxis={
        "colorscale": _BLUES, "cmin": 0, "cmax": top,
        "colorbar": {"title": {"text": "returned"}, "tickformat": ".0%" if top > 0.05 else ".1%", "thickness": 14,
                     "outlinewidth": 0, "len": 1, "yanchor": "middle", "y": 0.5},
    })  # fmt: skip
    if len(groups) > _MOST_FACETS:
        _menu(p, [_group(rows[0], keys) for rows in groups.values()], made, axes)


def _open(row: Row) -> bool:
    """Some have come back in a period that is not over for anybody: a count, but no share yet."""
    return bool(row["retention_rate"] is None and row["cohort"] is not None and row["customers"])


def _cohorts(p: _Picture) -> str:
    return str(p.options.get("cohort_period") or p.options.get("period") or "week")


def _heat(p: _Picture, rows: Sequence[Row], offsets: Sequence[int], itself: bool, top: float,
          small: bool, place: dict[str, int]) -> tuple[list[float], list[str]]:  # fmt: skip
    """One heat map: the sum on top, then the cohorts."""
    cohorts = _groups(rows, ["cohort"])
    order = sorted(cohorts, key=lambda key: (key[0] is not None, key))
    order = [key for key in order if key[0] is None] + [key for key in order if key[0] is not None]
    places = [float(i) + (0.3 if order[0][0] is None and i > 0 else 0.0) for i in range(len(order))]
    names = []
    for key in order:
        size = max(row["cohort_size"] for row in cohorts[key])
        names.append(("<b>All</b>" if key[0] is None else _label(key[0])) + _count(size))
    digits = 0 if small or len(offsets) > 14 else 1
    layers: dict[str, list[tuple[float, Row]]] = {name: [] for name in ("dark", "light", "pale", "itself", "open")}
    for y, key in zip(places, order, strict=True):
        for row in cohorts[key]:
            if row["retention_rate"] is None:
                if _open(row):
                    layers["open"].append((y, row))
                continue
            if itself and row["offset"] == 0:
                layer = "itself"
            elif not row["complete"]:
                layer = "pale"
            else:  # a trace has one colour of text
                layer = "dark" if _ink(_blue(row["retention_rate"] / top)) == _WHITE else "light"
            layers[layer].append((y, row))
    for layer, cells in layers.items():
        if not cells:
            continue
        at = {(y, row["offset"]): row for y, row in cells}

        def grid(tell: Callable[[Row], Any], none: Any, at: dict[tuple[float, int], Row] = at) -> list[list[Any]]:
            return [[tell(at[y, x]) if (y, x) in at else none for x in offsets] for y in places]

        plain = layer in ("itself", "open")
        shares = grid(lambda row: row["retention_rate"], None)
        ones = grid(lambda row: 1, None)

        p.figure.add_heatmap(
            x=list(offsets), y=_edges(places), xgap=2, ygap=2, z=ones if plain else shares,
            text=grid(lambda row: f"{row['customers']:,}*" if row["retention_rate"] is None
                      else _percent(row["retention_rate"], digits), ""),
            texttemplate="%{text}" if len(offsets) <= (16 if small else 26) else None,
            textfont={"size": 11 if small else 12, "color": {"dark": _WHITE, "light": _BLACK}.get(layer, _INK)},
            customdata=grid(_cell, ""), hovertemplate="%{customdata}<extra></extra>", hoverongaps=False,
            **({"colorscale": [_PALE, _PALE], "showscale": False} if plain else {"coloraxis": "coloraxis"}),
            opacity={"pale": 0.45, "open": 0.4}.get(layer, 1), **place,
        )  # fmt: skip
    return places, names


def _blue(share: float) -> tuple[float, ...]:
    """The colour of a cell: between two of the scale's, as Plotly mixes them."""
    place = min(max(share, 0.0), 1.0) * (len(_BLUES) - 1)
    i = min(int(place), len(_BLUES) - 2)
    return tuple(a + (place - i) * (b - a) for a, b in zip(_rgb(_BLUES[i]), _rgb(_BLUES[i + 1]), strict=True))


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def _luminance(rgb: Sequence[float]) -> float:
    """Relative luminance as WCAG defines it, 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (c / 255 for c in rgb)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _ink(ground: Sequence[float]) -> str:
    """White where its contrast is 4.5 or more; black has more than that everywhere else."""
    return _WHITE if 1.05 / (_luminance(ground) + 0.05) >= 4.5 else _BLACK


def _edges(places: Sequence[float]) -> list[float]:
    """Edges of the cells: the sum's row stands a little apart."""
    return [*(y - 0.5 for y in places), places[-1] + 0.5]


def _cell(row: Row) -> str:
    cohort = "all cohorts" if row["cohort"] is None else f"cohort {_label(row['cohort'])}"
    text = f"{cohort}, offset {row['offset']}<br>"
    if row["retention_rate"] is None:
        return text + f"{row['customers']:,} of {row['cohort_size']:,} so far: not over yet"
    text += f"{row['returned']:,} of {row['observable']:,} returned"
    text += f": {_percent(row['retention_rate'])}"
    text += _between(row["low"], row["high"])
    return text if row["complete"] else text + "<br>not over yet"


def _menu(p: _Picture, names: Sequence[str], made: Sequence[int], axes: Sequence[dict[str, Any]]) -> None:
    """Too many groups for one page: one at a time, chosen from a list."""
    buttons = []
    owner = [i for i, n in enumerate(made) for _ in range(n)]
    for i, name in enumerate(names):
        axis = {f"yaxis.{key}": value for key, value in axes[i].items()}
        buttons.append({"label": name, "method": "update", "args": [{"visible": [k == i for k in owner]}, axis]})
    for trace, i in zip(p.figure.data, owner, strict=True):
        trace.visible = i == 0
    p.top = 96
    p.figure.update_layout(updatemenus=[{"buttons": buttons, "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom",
                                         "pad": {"b": 6}}])  # fmt: skip


# ---- funnel, conversion ---------------------------------------------------------------------------------------------


def _funnel(p: _Picture) -> None:
    keys = p.columns[: p.columns.index("step")]
    groups = _groups(p.rows, keys)
    journey = p.options.get("journey")
    p.title = f"Conversion through “{_label(journey)}”" if journey else "Funnel"
    if keys:
        p.title += f" by {_names(keys)}"
    if all(not row["customers"] for row in p.rows):
        p.nothing()
        return
    steps = {row["step"]: row["name"] for row in p.rows}
    names = [f"{step}  {_label(name)}" for step, name in sorted(steps.items())]
    many = len(groups) > 1
    within = p.options.get("within")
    if within:
        p.notes.append(f"All steps within {_duration(_seconds(within))} of the first." if not isinstance(within, str)
                       else f"All steps within {within} of the first.")  # fmt: skip
    if many:
        p.notes.append(f"Error bars: {p.limits()}.")
    quantiles = [name for name in p.columns if name.endswith("_seconds") and name != "mean_seconds"]
    thick = min(0.8 / len(groups), 0.66)
    p.legend = many
    for i, (_, rows) in enumerate(groups.items()):
        y = [row["step"] - 1 + (i - (len(groups) - 1) / 2) * thick for row in rows]
        colour = _COLOURS[i % len(_COLOURS)]
        p.figure.add_bar(
            orientation="h", y=y, x=[row["conversion_rate" if many else "customers"] for row in rows],
            width=thick * 0.94, name=_group(rows[0], keys) if keys else "",
            marker={"color": colour, "pattern_shape": ("", "/", ".", "x")[i // len(_COLOURS) % 4]},
            error_x=_bars(rows, "conversion_rate") if many else None,
            customdata=[_step_facts(row, quantiles) for row in rows], hovertemplate="%{customdata}<extra></extra>",
        )  # fmt: skip
        if len(groups) <= 8:
            p.figure.add_scatter(
                y=y, x=[_end(row, many) for row in rows], mode="text", text=[_told(row, many) for row in rows],
                textposition="middle right", cliponaxis=False, hoverinfo="skip", showlegend=False,
                textfont={"size": 14 if not many else 12},
            )  # fmt: skip
    p.band([step - 1 for step in sorted(steps)], names)
    if many:
        p.figure.update_xaxes(title_text="customers who reached the step (share of step 1)", tickformat=".0%",
                              range=[0, 1.22], tickvals=[0, 0.2, 0.4, 0.6, 0.8, 1])  # fmt: skip
    else:
        most = max(row["customers"] for row in p.rows)
        p.figure.update_xaxes(title_text="customers who reached the step", range=[0, most * 1.42], tickformat=",d")
    p.height = max(len(names) * max(58, 24 * len(groups)), 140)


def _seconds(microseconds: Any) -> float:
    return float(microseconds) / 1e6


def _end(row: Row, many: bool) -> float:
    return max(row["conversion_rate"] or 0, row["high"] or 0) if many else row["customers"]


def _told(row: Row, many: bool) -> str:
    if many:
        return f"  {_percent(row['conversion_rate'])}  ({row['customers']:,})" if row["conversion_rate"] is not None else ""
    text = f"  <b>{row['customers']:,}</b>"
    if row["step"] > 1 and row["conversion_rate"] is not None:
        text += f"   {_percent(row['conversion_rate'])}"
        if row["step"] > 2 and row["step_conversion_rate"] is not None:
            text += f" <span style='color:#777'>(of the step before {_percent(row['step_conversion_rate'])})</span>"
    return text


def _step_facts(row: Row, quantiles: Sequence[str]) -> str:
    lines = [f"<b>{row['step']} {_label(row['name'])}</b>", f"{row['customers']:,} customers"]
    if row["conversion_rate"] is not None:
        lines.append(f"{_percent(row['conversion_rate'])} of step 1" + _between(row["low"], row["high"]))
    if row["step_conversion_rate"] is not None and row["step"] > 1:
        between = _between(row["step_low"], row["step_high"])
        lines.append(f"{_percent(row['step_conversion_rate'])} of the step before{between}")
    if row["step"] > 1:
        lines.append(f"time from the step before: mean {_duration(row['mean_seconds'])}")
        lines += [f"{name[1:].removesuffix('_seconds')} % within {_duration(row[name])}" for name in quantiles]
    for name, words in (("still_open", "still open"), ("dropped", "dropped")):
        if row.get(name) is not None:
            lines.append(f"{row[name]:,} {words} here")
    return "<br>".join(lines)


def _between(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({_percent(low)} to {_percent(high)})"


# ---- frequency ------------------------------------------------------------------------------------------------------


def _frequency(p: _Picture) -> None:
    keys = p.keys("interactions")
    p.title = "Interactions" + (f" by {_names(keys)}" if keys else "")

    def facts(row: Row) -> list[Any]:
        more = "" if row["reach"] is None else f", reach {_percent(row['reach'])}"
        worth = "" if row["value"] is None else f"<br>value {_number(row['value'])}"
        return [f"{row['interactions']:,} interactions<br>{row['customers']:,} customers{more}{worth}"]

    if "period" in p.columns:
        _over_time(p, keys, "interactions", "%{customdata[1]}", facts, limits=False)
        p.figure.update_yaxes(title_text="interactions", rangemode="tozero", tickformat=",d")
        return
    rows = sorted(p.rows, key=lambda row: -row["interactions"])[:_MOST_BARS]
    _cut(p, len(p.rows), "groups")
    places = list(range(len(rows)))
    p.figure.add_bar(
        orientation="h", y=places, x=[row["interactions"] for row in rows], width=0.7, marker_color=_COLOURS[0],
        customdata=[facts(row)[0] for row in rows], hovertemplate="%{customdata}<extra></extra>", cliponaxis=False,
        text=[f"{row['interactions']:,} <span style='color:#777'>of {row['customers']:,} customers</span>"
              for row in rows],
        textposition="outside", textfont_size=13,
    )  # fmt: skip
    p.band(places, [_group(row, keys) if keys else "all" for row in rows])
    most = max(row["interactions"] for row in rows)
    p.figure.update_xaxes(title_text="interactions", range=[0, (most or 1) * 1.35], tickformat=",d")
    p.height = max(_BAR * len(rows), 120)


# ---- timeline -------------------------------------------------------------------------------------------------------


def _timeline(p: _Picture) -> None:
    who = p.options.get("customer")
    p.title = f"Timeline of {_label(who)}" if who else "Timeline"
    stages = {row["touchpoint"]: row["stage"] for row in p.rows}
    order = list(dict.fromkeys(row["touchpoint"] for row in p.rows))
    place = {name: i for i, name in enumerate(order)}
    names = [_label(name) + (f" <span style='color:#777'>{_label(stages[name])}</span>" if stages[name] else "")
             for name in order]  # fmt: skip
    plain = [row for row in p.rows if row["score"] is None]
    p.figure.add_scatter(  # the way from one to the next
        x=[row["time"] for row in p.rows], y=[place[row["touchpoint"]] for row in p.rows], mode="lines",
        line={"color": "#D5D5D5", "width": 1.5}, hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    _marks(p, plain, place, "no score", {"color": "white", "line": {"color": _COLOURS[0], "width": 2.5}, "size": 13})
    scored = _groups([row for row in p.rows if row["score"] is not None], ["survey"])
    single = len(scored) == 1
    for i, ((survey,), rows) in enumerate(scored.items()):
        scores = [row["score"] for row in rows]
        # One survey: its scores share a scale of colour. Several: their scales differ, so each has a colour of its own.
        scale = {"color": scores, "colorscale": "Cividis", "cmin": min(0, *scores), "cmax": max(10, *scores),
                 "colorbar": {"title": {"text": "score"}, "thickness": 14, "outlinewidth": 0}} if single and survey in (
                     None, "default") else {"color": _COLOURS[(i + 1) % len(_COLOURS)]}  # fmt: skip
        marker = {"size": 15, "line": {"color": "#333333", "width": 1}, **scale}
        _marks(p, rows, place, f"score, {_label(survey)}", marker, [f"{_number(score)}" for score in scores])
    p.legend = bool(scored)
    p.band(list(range(len(order))), names)
    p.figure.update_yaxes(showgrid=True, gridcolor="#F0F0F0")
    p.figure.update_xaxes(title_text="time (UTC)", showgrid=True, gridcolor="#F0F0F0")
    p.height = max(48 * len(order), 200)


def _marks(p: _Picture, rows: Sequence[Row], place: dict[str, int], name: str, marker: dict[str, Any],
           text: list[str] | None = None) -> None:  # fmt: skip
    if rows:
        p.figure.add_scatter(
            x=[row["time"] for row in rows], y=[place[row["touchpoint"]] for row in rows], name=name, marker=marker,
            mode="markers+text" if text else "markers", text=text, textposition="top center", cliponaxis=False,
            textfont={"size": 12, "color": _INK}, customdata=[_meeting(row) for row in rows],
            hovertemplate="%{customdata}<extra></extra>",
        )  # fmt: skip


def _meeting(row: Row) -> str:
    lines = [f"<b>{_label(row['touchpoint'])}</b>", row["time"].strftime("%Y-%m-%d %H:%M:%S")]
    for name in ("channel", "stage", "value", "survey", "score", "about", "case"):
        if row.get(name) is not None:
            lines.append(f"{name}: {_label(row[name])}")
    if row.get("text"):
        lines += [f"“{_escape(line)}”" if "\n" not in line else "" for line in textwrap.wrap(row["text"], 60)][:4]
    return "<br>".join(lines)


_TITLES = {
    "nps": "Net Promoter Score", "csat": "Customer satisfaction", "ces": "Customer Effort Score",
    "retention": "Retention", "funnel": "Funnel", "conversion": "Conversion", "frequency": "Interactions",
    "timeline": "Timeline",
}  # fmt: skip
_DRAW: dict[str, Callable[[_Picture], None]] = {
    "nps": _satisfaction, "csat": _satisfaction, "ces": _satisfaction, "retention": _retention, "funnel": _funnel,
    "conversion": _funnel, "frequency": _frequency, "timeline": _timeline,
}  # fmt: skip
