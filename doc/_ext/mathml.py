"""Formulas as MathML, which browsers draw themselves: no script, no network."""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

# browsers set "log x" without a gap: it is put where no bracket follows
_APPLIED = re.compile(r"<mo>&ApplyFunction;</mo>(?=\s*<m(?!o\b))")


def to_mathml(source: str, **options: bool) -> str:
    return _APPLIED.sub('<mspace width="0.1667em"></mspace>', tex2mathml(source, **options))


def visit_math(translator, node: nodes.math) -> None:
    translator.body.append(to_mathml(node.astext()))
    raise nodes.SkipNode


def visit_math_block(translator, node: nodes.math_block) -> None:
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    translator.body.append(to_mathml(node.astext(), as_block=True))
    translator.body.append("</div>")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
