"""What MkDocs asks while it builds the site: pages from the package, and links between files.

Pages that would go stale by hand are made here at every build: the help of the commands, the
device models with their curves, the public names of the package. Files of the repository that
pages of docs/ link to (README, changelog, benchmarks) become pages of the site.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

import api_pages  # noqa: E402
import command_page  # noqa: E402
import device_page  # noqa: E402
import notebook_pages  # noqa: E402

FROM_REPOSITORY = {
    "index.md": "README.md",
    "all-pages.md": "docs/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
    "license.md": "LICENSE",
    "benchmarks.md": "benchmarks/RESULTS.md",
    "scale.md": "benchmarks/SCALE.md",
    "reproduction.md": "papers/drolet2023/REPRODUCTION.md",
    "netlists/golden.md": "netlists/golden/README.md",
}
"""File of the repository behind each page of the site that does not stand in docs/."""
PAGE_OF = {source: page for page, source in FROM_REPOSITORY.items()} | notebook_pages.PAGE_OF
SOURCE_OF = {page: source for source, page in PAGE_OF.items()}
LINK = re.compile(r"(\]\()([^)#\s]+)([^)]*\))|(src=\")([^\"]+)(\")")


def source_of(page: str) -> str:
    """Path in the repository of a page of the site."""
    return SOURCE_OF.get(page, f"docs/{page}")


def page_of(source: str) -> str | None:
    """Path on the site of a file of the repository; none if it is not on the site."""
    if source in PAGE_OF:
        return PAGE_OF[source]
    return source.removeprefix("docs/") if source.startswith("docs/") else None


def rewrite_links(text: str, page: str) -> str:
    """Links between files of the repository as links between pages of the site."""
    folder = posixpath.dirname(source_of(page))

    def rewrite(match: re.Match[str]) -> str:
        before, target, after = (part for part in match.groups() if part is not None)
        if re.match(r"[a-z]+:", target):
            return match[0]
        place = page_of(posixpath.normpath(posixpath.join(folder, target)))
        if place is None:
            return match[0]  # MkDocs says that the link leads nowhere, and the build fails
        return before + posixpath.relpath(place, posixpath.dirname(page) or ".") + after

    blocks = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(b if b.startswith("```") else LINK.sub(rewrite, b) for b in blocks)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name the pages of the reference in the navigation."""
    for section in config.nav or []:
        if "Python" in section:
            section["Python"] = api_pages.navigation()
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not stand in docs/."""
    generated: dict[str, str | bytes] = {
        page: (ROOT / source).read_text("utf-8") for page, source in FROM_REPOSITORY.items()
    }
    generated["license.md"] = f"# Licence\n\n```text\n{generated['license.md']}```\n"
    generated |= command_page.pages() | device_page.pages() | api_pages.pages()
    generated |= notebook_pages.pages()
    for place, content in generated.items():
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages."""
    return rewrite_links(markdown, page.file.src_uri)
