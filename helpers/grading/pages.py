"""Pages without scripts, for students and instructors: one look, and a policy that lets nothing act."""

from __future__ import annotations

from collections.abc import Sequence

from helpers.grading.cleaning import shown

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
# Figures of the student's are drawn on white, so they keep a white ground in the dark.
_STYLE = """
:root { color-scheme: light dark; --ink: #1b2733; --muted: #52606d; --ground: #fff; --line: #d5dbe1; --quiet: #f4f6f8;
  --link: #1f5c99; --good: #1b7f3b; --good-ground: #f5faf6; --fair: #b36b00; --fair-ground: #fdf8f0; --poor: #b3261e;
  --poor-ground: #fdf5f4; --note: #6f2da8; --note-ground: #f8f4fc; --green: #1e6b2e; --brown: #8a4100; --teal: #0b6374;
  --bar: #3b6ea5; --full: #2f6db3; --part: #e0a030; --none: #b5432f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ee; --muted: #a3b0bd; --ground: #14191f; --line: #37424d;
  --quiet: #1e252d; --link: #7db4ea; --good: #57b877; --good-ground: #16241b; --fair: #e0a44a; --fair-ground: #272013;
  --poor: #f0877d; --poor-ground: #2b1a19; --note: #c59aee; --note-ground: #221a2b; --green: #8fce9c; --brown: #e5ab77;
  --teal: #74c7d6; --bar: #6ea3dc; --full: #5f9be0; --part: #e5b253; --none: #d9705c; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; max-width: 56rem; margin: 0 auto;
  padding: 1.5rem 1rem 4rem; color: var(--ink); background: var(--ground); overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; } h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; } h4, h5, h6 { font-size: 1rem; }
a { color: var(--link); } p { margin: .6rem 0; } hr { border: 0; border-top: 1px solid var(--line); margin: 2rem 0; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.muted { color: var(--muted); font-size: .92rem; } .score { font-size: 1.15rem; }
pre { background: var(--quiet); padding: .6rem .8rem; overflow-x: auto; border-radius: 6px; font-size: .84rem;
  line-height: 1.45; margin: .6rem 0; }
pre, code { font-family: ui-monospace, Menlo, Consolas, monospace; } :not(pre) > code { background: var(--quiet);
  padding: .05rem .25rem; border-radius: 3px; font-size: .9em; }
.wide { overflow-x: auto; margin: .6rem 0; } .wide table { margin: 0; }
table { border-collapse: collapse; font-size: .92rem; } th, td { border: 1px solid var(--line); padding: .3rem .6rem;
  text-align: left; vertical-align: top; }
thead th { background: var(--quiet); } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
img { max-width: 100%; height: auto; background: #fff; color: #1b2733; }
.output { border-left: 3px solid var(--line); padding-left: .8rem; margin: .4rem 0 1rem; overflow-x: auto; }
.output pre { background: none; padding: .2rem 0; } .output pre.error { color: var(--poor); }
.output td, .output th { text-align: right; }
.task { border: 1px solid var(--line); border-left: 5px solid; border-radius: 6px; padding: .7rem 1rem;
  margin: 1rem 0; }
.task h3 { margin: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; justify-content: space-between; }
.task.full { border-left-color: var(--good); background: var(--good-ground); }
.task.part { border-left-color: var(--fair); background: var(--fair-ground); }
.task.none { border-left-color: var(--poor); background: var(--poor-ground); }
.task.open { border-left-color: var(--muted); background: var(--quiet); }
.task pre { background: var(--ground); border: 1px solid var(--line); } .reason { white-space: pre-wrap; }
.comment { border-left: 5px solid var(--note); border-radius: 6px; background: var(--note-ground); margin: 1rem 0;
  padding: .2rem 1rem; }
summary { cursor: pointer; color: var(--muted); font-size: .92rem; }
math { font-size: 1.1em; }
pre span[class^=k], pre .ow { color: var(--note); } pre span[class^=s] { color: var(--green); }
pre span[class^=c] { color: var(--muted); font-style: italic; } pre span[class^=m] { color: var(--link); }
pre .nf, pre .nc { color: var(--brown); } pre .nb, pre .bp { color: var(--teal); }
@media (max-width: 40rem) { body { padding-top: 1rem; } th, td { padding: .25rem .4rem; } }
"""


def document(title: str, body: str, style: str = "") -> str:
    """A page.

    Args:
        title: text.
        body: HTML whose every part is inert.
        style: of this kind of page, beside the common one.
    """
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{shown(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}{style}</style></head>'
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> str:
    """A table of HTML cells, which the keyboard can scroll; columns named in `numbers` are set to the right."""
    kinds = [' class="n"' if title in numbers else "" for title in header]
    titles = "".join(f'<th scope="col"{kind}>{shown(title)}</th>' for title, kind in zip(header, kinds, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>\n"
        for row in rows
    )
    frame = f'<div class="wide" tabindex="0" role="region" aria-label="{shown(", ".join(header))}">'
    return f"{frame}<table><thead><tr>{titles}</tr></thead><tbody>\n{lines}</tbody></table></div>"
