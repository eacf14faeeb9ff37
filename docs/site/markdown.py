"""Links and anchors of Markdown documents, as GitHub and mdBook read them."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FENCE = re.compile(r"^ {0,3}(```|~~~).*?^ {0,3}\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
# The target of `[text](target)` and of `![text](target)`.
LINK = re.compile(r"(?<=\]\()[^()\s]+(?=\))")
HEADING = re.compile(r"^ {0,3}#{1,6} +(.+?) *#*$", re.MULTILINE)
SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:")


def tracked(*patterns):
    """The files of the repository that git knows of, or would add, relative to its root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in sorted(set(output.split("\0"))) if name and (ROOT / name).exists()]


def links(text):
    """Yields a match for the target of each relative link. Examples of code contain none."""
    prose = _blank(CODE, _blank(FENCE, text))
    for match in LINK.finditer(prose):
        if not SCHEME.match(match[0]):
            yield match


def anchors(text):
    """The anchors of a document's headings. Equal headings are numbered."""
    seen = {}
    names = set()
    for match in HEADING.finditer(_blank(FENCE, text)):
        heading = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", match[1])
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        count = seen.get(name, 0)
        seen[name] = count + 1
        names.add(f"{name}-{count}" if count else name)
    return names


def _blank(pattern, text):
    """Puts spaces in place of what matches, so that positions and lines stay."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
