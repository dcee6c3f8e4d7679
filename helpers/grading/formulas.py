"""TeX formulas as MathML, which browsers draw without a script."""

from __future__ import annotations

import html
from xml.etree import ElementTree

LONGEST = 1000
_NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
_ELEMENTS = {
    *("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup"),
    *("munder", "mover", "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded", "mphantom"),
}
_ATTRIBUTES = {"mathvariant", "movablelimits", "stretchy", "accent", "accentunder", "columnalign", "displaystyle"}


def formula(tex: str, block: bool = False) -> str:
    """MathML of a formula; its source, as code, if it is too long or is no TeX that can be read."""
    try:
        return _mathml(tex, block) if len(tex) <= LONGEST else _source(tex)
    except (Exception, RecursionError):  # docutils fails on a faulty formula in many ways
        return _source(tex)


def _mathml(tex: str, block: bool) -> str:
    from docutils.utils.math.latex2mathml import tex2mathml

    # The converter's own reading of the source is not relied on: its tree is kept by names that are known.
    read = ElementTree.fromstring(tex2mathml(tex.strip(), as_block=block))  # noqa: S314 - made a line above
    for element in read.iter():
        element.tag = element.tag.removeprefix(_NAMESPACE)
        if element.tag not in _ELEMENTS:
            raise ValueError(element.tag)
        element.attrib = {name: value for name, value in element.attrib.items() if name in _ATTRIBUTES}
    if block:
        read.set("display", "block")
    return ElementTree.tostring(read, encoding="unicode")


def _source(tex: str) -> str:
    return f"<code>{html.escape(tex)}</code>"
