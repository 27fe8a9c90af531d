"""What mkdocs adds to docs/: the pages that live beside what they describe, and a page of the API per module.

A link to a file of the repository that is no page of the site stays as its text.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
ELSEWHERE = {"README.md": "index.md", "config/README.md": "config.md", "profiles/README.md": "profiles.md"}
LINK = re.compile(r"(!?)\[([^\]]+)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")


def modules() -> list[str]:
    """Dotted names of the package's modules."""
    files = sorted((ROOT / "src").rglob("*.py"))
    return [".".join(file.relative_to(ROOT / "src").with_suffix("").parts) for file in files if file.stem[:2] != "__"]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the modules into the navigation, by room."""
    rooms: dict[str, list[dict[str, str]]] = {}
    for module in modules():
        room, _, name = module.rpartition(".")
        rooms.setdefault(room, []).append({name: f"api/{module}.md"})
    config.nav.append({"API": [{room: pages} for room, pages in rooms.items()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for source, page in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    for module in modules():
        files.append(File.generated(config, f"api/{module}.md", content=f"# {module}\n\n::: {module}\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links from where a page lies in the repository to where its target lies in the site."""
    at = page.file.src_uri
    source = next((source for source, uri in ELSEWHERE.items() if uri == at), f"docs/{at}")

    def lead(link: re.Match) -> str:
        image, text, target, anchor = link.groups(default="")
        path = os.path.normpath(f"{os.path.dirname(source)}/{target}".lstrip("/"))
        uri = ELSEWHERE.get(path) or ELSEWHERE.get(f"{path}/README.md") or path.removeprefix("docs/")
        if files.get_file_from_path(uri) and (uri in ELSEWHERE.values() or path.startswith("docs/")):
            return f"{image}[{text}]({os.path.relpath(uri, os.path.dirname(at) or '.')}{anchor})"
        if not (ROOT / path).exists():
            raise FileNotFoundError(f"{source} links to {target}, which is not there")
        return text

    return LINK.sub(lead, markdown)
