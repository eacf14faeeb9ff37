#!/usr/bin/env python3
"""Checks the relative links of all Markdown documents in the repository: files, folders and anchors.

Prints a line for each broken link, and exits with 1 if there is one.
"""

import os
import sys
from pathlib import Path

from markdown import ROOT, anchors, links, tracked


def problems(document, known):
    text = (ROOT / document).read_text()
    for match in links(text):
        path, _, anchor = match[0].partition("#")
        target = Path(os.path.normpath(document.parent / path)) if path else document
        line = text.count("\n", 0, match.start()) + 1
        if target not in known:
            yield f"{document}:{line}: no {target}"
        elif anchor and target.suffix == ".md" and anchor not in anchors((ROOT / target).read_text()):
            yield f"{document}:{line}: no heading #{anchor} in {target}"


def main():
    files = tracked()
    folders = {folder for file in files for folder in file.parents}
    known = folders.union(files)
    found = [problem for file in files if file.suffix == ".md" for problem in problems(file, known)]
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
