"""What a submission says, made inert: text, tables and pictures that any page may show."""

from __future__ import annotations

import base64
import binascii
import functools
import html
import re
import secrets
from typing import Any

from helpers.grading.formulas import formula

IMAGES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
LONGEST_HTML = 200_000  # of an output; html5lib takes a second for it
LONGEST_MARKDOWN = 20_000  # of a cell; mistune takes time that grows with the square
LONGEST_CODE = 50_000  # that is coloured
BEGIN_TO_END = r"\begin{{{name}}}{body}\end{{{name}}}"
_TABLES = ("table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption")
_TEXT = (
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code"),
    *("em", "strong", "b", "i", "del", "sub", "sup", "div", "span"),
)
_ANSI = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?)")


def shown(text: str) -> str:
    """Text for a page: without the sequences and characters that steer terminals, and nothing of it is markup."""
    kept = "".join(letter for letter in _ANSI.sub("", text) if letter.isprintable() or letter in "\n\t")
    return html.escape(kept)


def clean_output(given: Any, room: int = LONGEST_HTML) -> dict[str, Any] | None:
    """An output of the student's interpreter as nbformat has it, from parts that are checked one by one; else None.

    Args:
        given: what the interpreter said.
        room: characters of HTML that are taken; longer HTML is left out, its plain text is not.
    """
    if not isinstance(given, dict):
        return None
    kind = given.get("output_type")
    if kind == "stream":
        name = "stderr" if given.get("name") == "stderr" else "stdout"
        return {"output_type": "stream", "name": name, "text": str(given.get("text", ""))}
    if kind == "error":
        lines = given.get("traceback")
        told = [str(line) for line in lines] if isinstance(lines, list) else []
        entry = {"output_type": "error", "ename": str(given.get("ename", "")), "evalue": str(given.get("evalue", ""))}
        return entry | {"traceback": told}
    data = given.get("data")
    if kind not in ("display_data", "execute_result") or not isinstance(data, dict):
        return None
    kept: dict[str, Any] = {}
    if isinstance(data.get("text/plain"), str):
        kept["text/plain"] = data["text/plain"]
    if isinstance(data.get("text/html"), str) and len(data["text/html"]) <= min(room, LONGEST_HTML):
        kept["text/html"] = clean_html(data["text/html"], _TABLES)
    for mime in IMAGES:
        if isinstance(data.get(mime), str) and is_image(data[mime], mime):
            kept[mime] = data[mime]
    if not kept:
        return None
    output: dict[str, Any] = {"output_type": kind, "data": kept, "metadata": {}}
    if kind == "execute_result":
        count = given.get("execution_count")
        output["execution_count"] = count if type(count) is int else None
    return output


@functools.lru_cache(maxsize=64)  # the lab's own Markdown and tables are the same in most submissions
def clean_html(text: str, tags: tuple[str, ...]) -> str:
    """HTML with these tags only, without attributes, scripts and styles."""
    import bleach

    text = re.sub(r"(?is)<(script|style)\b.*?(</\1\s*>|\Z)", "", text)
    return bleach.clean(text, tags=set(tags), attributes={}, protocols=set(), strip=True, strip_comments=True)


def is_image(encoded: str, mime: str) -> bool:
    """Whether a text is base64 throughout and begins like an image of this type."""
    try:
        return base64.b64decode(encoded.replace("\n", ""), validate=True).startswith(IMAGES[mime])
    except (binascii.Error, ValueError):
        return False


def code(source: str) -> str:
    """Python source, coloured by classes of Pygments unless it is very long."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    if len(source) > LONGEST_CODE:
        return f"<pre><code>{shown(source)}</code></pre>"
    plain = html.unescape(shown(source))
    return f"<pre><code>{highlight(plain, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True))}</code></pre>"


@functools.lru_cache(maxsize=512)  # most cells are the release's, the same for every student
def markdown(source: str) -> str:
    """Markdown with formulas; shown as it is typed if it is very long."""
    if len(source) > LONGEST_MARKDOWN:
        return f"<pre>{shown(source)}</pre>"
    try:
        rendered, formulas = _render(source)
    except RecursionError:
        return f"<pre>{shown(source)}</pre>"
    inert = clean_html(rendered, (*_TEXT, *_TABLES))
    for mark, mathml in formulas.items():
        inert = inert.replace(mark, mathml)
    return inert


def as_markdown(inert: str) -> str:
    """Inert HTML as a Markdown cell that shows the same: of its text, nothing can be taken for Markdown or markup."""

    def spelt_out(found: re.Match) -> str:
        return found[0] if len(found[0]) > 1 else f"&#{ord(found[0])};"

    parts = re.split(r"(<[^>]*>)", inert)
    parts[::2] = [re.sub(r"&#?\w+;|[^A-Za-z0-9 ]", spelt_out, text) for text in parts[::2]]
    return f"<div>{''.join(parts)}</div>"


def _render(source: str) -> tuple[str, dict[str, str]]:
    """HTML of any kind, with marks that nobody can guess in place of formulas; the formulas by their marks."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    token, formulas = secrets.token_hex(8), {}

    def mark(tex: str, block: bool = False) -> str:
        name = f"formula{token}number{len(formulas)}end"
        formulas[name] = formula(tex, block)
        return name

    class Renderer(IPythonRenderer):
        """nbconvert's, without the highlighters of all languages, links to headings and MathJax."""

        def block_code(self, code: str, info: str | None = None) -> str:
            return f"<pre><code>{html.escape(code)}</code></pre>\n"

        def inline_math(self, body: str) -> str:
            return mark(body)

        def block_math(self, body: str) -> str:
            return f"<div>{mark(body, True)}</div>"

        def multiline_math(self, text: str) -> str:
            return mark(text.strip("$"), True)

        def latex_environment(self, name: str, body: str) -> str:
            name = name.replace("align", "aligned").removesuffix("*")  # which MathML has no numbers for
            return f"<div>{mark(BEGIN_TO_END.format(name=name, body=body), True)}</div>"

    renderer = Renderer(escape=False, exclude_anchor_links=True)
    return str(MarkdownWithMath(renderer=renderer).render(source)), formulas
