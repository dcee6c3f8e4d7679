"""The built site as files: nothing leaks, nothing dangles, nothing comes from another host."""

from __future__ import annotations

import json
import re
import zipfile
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from helpers.course import book

from .conftest import ROOT

SECRET = re.compile(
    r"(?:###|<!--) BEGIN (?:SOLUTION|HIDDEN TESTS)[^\n]*\n(.*?)(?:###|<!--) END (?:SOLUTION|HIDDEN TESTS)", re.DOTALL
)
MARKERS = ("BEGINSOLUTION", "BEGINHIDDENTESTS")
DISTINCTIVE = 32
LOADED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "link": "href", "video": "src"}
PRINTED = {".html", ".txt", ".md", ".json", ".ipynb", ".js", ".inv", ".py"}


@cache
def parsed(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(), "html.parser")


def squeezed(text: str) -> str:
    return re.sub(r"\s+|^#\s?", "", text, flags=re.MULTILINE)


def texts(site: Path) -> dict[str, str]:
    """Everything that a visitor can read, without white space: pages, sources, the search index and the zips."""
    found = {}
    for path in sorted(site.rglob("*")):
        name = path.relative_to(site).as_posix()
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                found |= {f"{name}/{member}": printed(member, archive.read(member)) for member in archive.namelist()}
        elif path.suffix in PRINTED and "vendor" not in path.parts:
            found[name] = printed(path.name, path.read_bytes())
    return {name: squeezed(text) for name, text in found.items()}


def printed(name: str, content: bytes) -> str:
    text = content.decode(errors="replace")
    if name.endswith(".ipynb"):
        return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    return BeautifulSoup(text, "html.parser").get_text() if name.endswith(".html") else text


def secret_lines() -> dict[str, str]:
    """Lines that only solutions and hidden tests hold, squeezed, each with the lab it belongs to."""
    secrets = {}
    for script in sorted((ROOT / "labs").glob("*/lab.py")):
        text = script.read_text()
        public = squeezed(SECRET.sub("", text))
        for body in SECRET.findall(text):
            lines = {squeezed(line) for line in body.splitlines()}
            secrets |= {line: script.parent.name for line in lines if len(line) >= DISTINCTIVE and line not in public}
    return secrets


def test_no_solution_and_no_hidden_test_is_published(site):
    secrets = secret_lines()
    assert len(secrets) > 20, "too few solution lines were found in labs/: has the marker changed?"
    leaks = [
        f"{name} holds {secret!r}"
        for name, text in texts(site).items()
        for secret in (*secrets, *MARKERS)
        if secret in text
    ]
    assert leaks == []


def test_every_internal_link_and_anchor_leads_somewhere(site):
    dead = []
    for page in all_pages(site):
        for anchor in parsed(page).select("a[href]"):
            link = urlsplit(anchor["href"])
            if link.scheme or link.netloc or anchor["href"] in ("", "#"):
                continue
            target = (page.parent / unquote(link.path)).resolve() if link.path else page
            missing = not target.is_file() or (
                link.fragment and target.suffix == ".html" and not has_anchor(target, unquote(link.fragment))
            )
            if missing:
                dead.append(f"{page.relative_to(site)}: {anchor['href']}")
    assert dead == []


def has_anchor(page: Path, name: str) -> bool:
    return name in anchors(page)


@cache
def anchors(page: Path) -> frozenset[str]:
    return frozenset(element.get("id") or element.get("name") for element in parsed(page).select("[id], a[name]"))


def test_every_image_says_what_one_sees(site):
    silent = [
        f"{page.relative_to(site)}: {image.get('src', '')[:80]}"
        for page in all_pages(site)
        for image in parsed(page).find_all("img")
        if len(image.get("alt", "").strip()) < 10 or re.search(r"\.(?:png|svg|jpe?g|gif)$", image["alt"].strip())
    ]
    assert silent == []


def test_nothing_is_loaded_from_another_host(site):
    foreign = [
        f"{page.relative_to(site)}: {element[attribute]}"
        for page in all_pages(site)
        for tag, attribute in LOADED.items()
        for element in parsed(page).find_all(tag)
        if urlsplit(element.get(attribute, "")).netloc
    ]
    for style in site.rglob("*.css"):
        addresses = re.findall(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)", style.read_text())
        foreign += [f"{style.relative_to(site)}: {address}" for address in addresses]
    assert foreign == []


def test_every_document_of_the_table_of_contents_is_a_page(site, pages):
    assert set(pages) == book.documents_of(ROOT / "_toc.yml")
    assert (site / "index.html").exists()


@pytest.mark.parametrize("notebook", sorted((ROOT / "release").glob("*/*.ipynb")), ids=lambda path: path.stem)
def test_the_download_button_of_a_lab_serves_the_release_notebook(site, notebook):
    page = site / notebook.relative_to(ROOT).with_suffix(".html")
    button = parsed(page).select_one("a.btn-download-source-button")
    assert (page.parent / button["href"]).read_bytes() == notebook.read_bytes()


def all_pages(site: Path) -> list[Path]:
    return [page for page in sorted(site.rglob("*.html")) if "_static" not in page.relative_to(site).parts]
