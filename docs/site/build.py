#!/usr/bin/env python3
"""Builds the documentation as a website: build.py MDBOOK OUTPUT.

The links in the documents are made for GitHub, and may go to any file of the repository. So mdBook gets the chapters at
their paths in the repository, and the site has its own pages for the other files they link to, with their text.
"""

import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from markdown import ROOT, links, tracked

SUMMARY = Path("docs/SUMMARY.md")
PICTURES = {".png", ".svg"}
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>:root {{ color-scheme: light dark; }} body {{ margin: 2rem; }}</style>
<h1>{title}</h1>
{body}
"""


def page_name(path):
    """mdBook takes any link to `.md` for a chapter, and makes it `.html`."""
    return str(path.with_suffix(".html")) if path.suffix == ".md" else f"{path}.html"


def relative(target, document):
    return Path(os.path.relpath(target, document.parent)).as_posix()


def resolve(document, link):
    """Returns the target file of a link in the document, and the anchor with its mark."""
    path, mark, anchor = link.partition("#")
    target = Path(os.path.normpath(document.parent / path)) if path else document
    return target, mark + anchor


def convert(document, text, chapters, others):
    """Returns the text for mdBook. Adds the files it links to that are not chapters to `others`."""
    parts, end = [], 0
    for match in links(text):
        target, anchor = resolve(document, match[0])
        if target not in chapters and target != document:
            others.add(target)
            if target.suffix not in PICTURES:
                parts += [text[end : match.start()], relative(page_name(target), document)]
                end = match.end()
    return "".join(parts) + text[end:]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def add_chapters(source):
    """Puts the chapters of the summary where mdBook looks for them. Returns the other files they link to."""
    summary = (ROOT / SUMMARY).read_text()
    chapters = {resolve(SUMMARY, match[0])[0] for match in links(summary)}
    move = lambda match: f"]({resolve(SUMMARY, match[1])[0].as_posix()})"
    write(source / "SUMMARY.md", re.sub(r"\]\(([^)]+)\)", move, summary))
    others = set()
    for chapter in chapters:
        write(source / chapter, convert(chapter, (ROOT / chapter).read_text(), chapters, others))
    return others


def add_page(output, path, files):
    """Makes a page with a file's text, or a folder's list of files. Returns what the list links to."""
    if path.suffix in PICTURES:
        (output / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, output / path)
        return set()
    if path in files:
        text = (ROOT / path).read_text(errors="replace")
        body, inside = f"<pre>{html.escape(text)}</pre>", set()
    else:
        inside = {file for file in files if path in file.parents}
        names = [(relative(page_name(file), path), file.relative_to(path)) for file in sorted(inside)]
        body = "<ul>\n" + "".join(f'<li><a href="{html.escape(link)}">{name}</a>\n' for link, name in names) + "</ul>"
    write(output / page_name(path), PAGE.format(title=html.escape(path.as_posix()), body=body))
    return inside


def add_pages(output, wanted):
    files, done = set(tracked()), set()
    while wanted:
        path = wanted.pop()
        done.add(path)
        wanted |= add_page(output, path, files) - done


def broken(output):
    """Yields the site's broken relative links."""
    for page in sorted(output.rglob("*.html")):
        for link in re.findall(r'(?:href|src)="([^"#:?]+)[#"]', page.read_text()):
            if not link.startswith("/") and not (page.parent / html.unescape(link)).exists():
                yield f"{page.relative_to(output)}: no {link}"


def main():
    mdbook, output = (Path(argument).resolve() for argument in sys.argv[1:3])
    book = output.with_name(output.name + "-source")
    shutil.rmtree(book, ignore_errors=True)
    others = add_chapters(book / "src")
    shutil.copy(ROOT / "docs/book.toml", book)
    subprocess.run([mdbook, "build", book, "--dest-dir", output], check=True)
    add_pages(output, others)
    found = list(broken(output))
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
