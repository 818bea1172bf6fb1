"""Formulas as MathML, which browsers draw by themselves: the pages load nothing from elsewhere."""

from __future__ import annotations

import latex2mathml.converter
from docutils import nodes


def inline(self, node):
    self.body.append(latex2mathml.converter.convert(node.astext()))
    raise nodes.SkipNode


def block(self, node):
    drawn = latex2mathml.converter.convert(node.astext(), display="block")
    self.body.append(f'<div style="overflow-x: auto; overflow-y: hidden; padding: 0.5em 0">{drawn}</div>')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True}
