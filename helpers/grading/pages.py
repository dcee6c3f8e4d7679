"""Pages without scripts, for students and instructors: one look, and a policy that lets nothing act."""

from __future__ import annotations

from collections.abc import Sequence

from helpers.grading.cleaning import shown

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
# Light whatever the reader's system prefers: figures are drawn on white.
_STYLE = """
:root { color-scheme: only light; }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; max-width: 56rem; margin: 0 auto;
  padding: 1.5rem 1rem 4rem; color: #1b2733; background: #fff; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; } h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; } h4, h5, h6 { font-size: 1rem; }
a { color: #1f5c99; } p { margin: .6rem 0; } hr { border: 0; border-top: 1px solid #d5dbe1; margin: 2rem 0; }
.muted { color: #52606d; font-size: .92rem; } .score { font-size: 1.15rem; }
pre { background: #f4f6f8; padding: .6rem .8rem; overflow-x: auto; border-radius: 6px; font-size: .84rem;
  line-height: 1.45; margin: .6rem 0; }
pre, code { font-family: ui-monospace, Menlo, Consolas, monospace; } :not(pre) > code { background: #f1f3f5;
  padding: .05rem .25rem; border-radius: 3px; font-size: .9em; }
.wide { overflow-x: auto; margin: .6rem 0; } .wide table { margin: 0; }
table { border-collapse: collapse; font-size: .92rem; } th, td { border: 1px solid #d5dbe1; padding: .3rem .6rem;
  text-align: left; vertical-align: top; }
thead th { background: #f4f6f8; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
img { max-width: 100%; height: auto; background: #fff; }
.output { border-left: 3px solid #d5dbe1; padding-left: .8rem; margin: .4rem 0 1rem; overflow-x: auto; }
.output pre { background: none; padding: .2rem 0; } .output pre.error { color: #8c1d18; }
.output td, .output th { text-align: right; }
.task { border: 1px solid #d5dbe1; border-left: 5px solid; border-radius: 6px; padding: .7rem 1rem; margin: 1rem 0; }
.task h3 { margin: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; justify-content: space-between; }
.task.full { border-left-color: #1b7f3b; background: #f5faf6; } .task.part { border-left-color: #b36b00;
  background: #fdf8f0; }
.task.none { border-left-color: #b3261e; background: #fdf5f4; } .task.open { border-left-color: #52606d;
  background: #f7f8f9; }
.task pre { background: #fff; border: 1px solid #e3e7eb; } .reason { white-space: pre-wrap; }
.comment { border-left: 5px solid #6f2da8; border-radius: 6px; background: #f8f4fc; padding: .2rem 1rem;
  margin: 1rem 0; }
summary { cursor: pointer; color: #52606d; font-size: .92rem; }
math { font-size: 1.1em; }
pre span[class^=k], pre .ow { color: #6f2da8; } pre span[class^=s] { color: #1e6b2e; }
pre span[class^=c] { color: #5b6570; font-style: italic; } pre span[class^=m] { color: #1f5c99; }
pre .nf, pre .nc { color: #8a4100; } pre .nb, pre .bp { color: #0b6374; }
@media (max-width: 40rem) { body { padding-top: 1rem; } th, td { padding: .25rem .4rem; } }
"""


def document(title: str, body: str) -> str:
    """A page.

    Args:
        title: text.
        body: HTML whose every part is inert.
    """
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{shown(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> str:
    """A table of HTML cells; columns named in `numbers` are set to the right."""
    kinds = [' class="n"' if title in numbers else "" for title in header]
    titles = "".join(f'<th scope="col"{kind}>{shown(title)}</th>' for title, kind in zip(header, kinds, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>\n"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>\n{lines}</tbody></table></div>'
