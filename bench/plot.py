"""Plots as SVG text: bars and lines, legible on light and on dark pages."""

from xml.sax.saxutils import escape

INK, FAINT = "#6b7280", "#9ca3af4d"
FONT = 'font-family="system-ui, sans-serif" font-size="12"'
OURS, OURS_LIGHT = "#0f766e", "#2dd4bf"
OTHER, OTHER_LIGHT = "#64748b", "#a8b3c2"


def document(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}">\n' + "\n".join(parts) + "\n</svg>\n")


def text(x, y, words, anchor="start", weight="normal", fill=INK):
    return (f'<text x="{x:.1f}" y="{y:.1f}" {FONT} text-anchor="{anchor}" font-weight="{weight}" '
            f'fill="{fill}">{escape(words)}</text>')


def bars(title, subtitle, panels, rows):
    """Panels side by side, a row for each client. A panel is (heading, [[values] or None per row],
    format); the values of a row are stacked. A row is (label, is ocipipe)."""
    left, panel, gap, line, top = 130, 190, 60, 24, 76
    width = left + len(panels) * (panel + gap)
    height = top + line * len(rows) + 12
    parts = [text(8, 20, title, weight="600"), text(8, 38, subtitle)]
    for at, (label, ours) in enumerate(rows):
        y = top + at * line
        weight = "600" if ours else "normal"
        parts.append(text(left - 8, y + 13, label, "end", weight))
    for number, (heading, values, form) in enumerate(panels):
        x = left + number * (panel + gap)
        parts.append(text(x, top - 12, heading, weight="600"))
        top_value = max((sum(v) for v in values if v), default=1) or 1
        for at, stack in enumerate(values):
            y, start = top + at * line, x
            if not stack:
                continue
            shades = (OURS, OURS_LIGHT) if rows[at][1] else (OTHER, OTHER_LIGHT)
            for piece, value in enumerate(stack):
                length = value / top_value * panel
                shade = shades[min(piece, 1)]
                parts.append(f'<rect x="{start:.1f}" y="{y}" width="{max(length, 0.5):.1f}" '
                             f'height="17" fill="{shade}"/>')
                start += length
            parts.append(text(start + 5, y + 13, form(sum(stack))))
    return document(width, height, parts)


def lines(title, panels):
    """Panels below one another: (heading, x label, y label, {series: [(x, y)]}, log x?)."""
    import math
    left, width, panel, gap = 70, 640, 170, 74
    parts = [text(8, 20, title, weight="600")]
    shades = [OURS, "#b45309", "#4338ca", "#be123c"]
    for number, (heading, x_label, y_label, series, log) in enumerate(panels):
        top = 60 + number * (panel + gap)
        points = [p for values in series.values() for p in values]
        scale = (lambda v: math.log2(v)) if log else (lambda v: v)
        low, high = min(scale(p[0]) for p in points), max(scale(p[0]) for p in points)
        most = max(p[1] for p in points) * 1.15 or 1
        place_x = lambda v: left + (scale(v) - low) / ((high - low) or 1) * (width - left - 20)
        place_y = lambda v: top + panel - v / most * panel
        parts.append(text(left, top - 10, heading, weight="600"))
        for step in range(5):
            value = most * step / 4
            y = place_y(value)
            parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{y:.1f}" y2="{y:.1f}" '
                         f'stroke="{FAINT}"/>')
            parts.append(text(left - 6, y + 4, f"{value:.3g}", "end"))
        ticks = sorted({p[0] for p in points})
        ticks = ticks if len(ticks) <= 12 else [ticks[i * (len(ticks) - 1) // 5] for i in range(6)]
        for tick in ticks:
            parts.append(text(place_x(tick), top + panel + 16, f"{tick:g}", "middle"))
        parts.append(text(width - 20, top + panel + 32, x_label, "end"))
        parts.append(text(width - 20, top - 10, y_label, "end"))
        for at, (name, values) in enumerate(series.items()):
            shade = shades[at % len(shades)]
            path = " ".join(f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in sorted(values))
            parts.append(f'<polyline points="{path}" fill="none" stroke="{shade}" '
                         'stroke-width="1.8"/>')
            if len(values) <= 40:
                parts += [f'<circle cx="{place_x(x):.1f}" cy="{place_y(y):.1f}" r="3" '
                          f'fill="{shade}"/>' for x, y in values]
            if len(series) > 1:
                parts.append(text(left + 8 + at * 150, top + panel + 32, name, fill=shade))
    return document(width, 60 + len(panels) * (panel + gap), parts)
