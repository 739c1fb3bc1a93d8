"""Puts tables into a Markdown file, each between the two comments that bear its name."""

from .process import Failed


def write(path, sections):
    """Replaces each section's text in the file."""
    text = path.read_text()
    for name, section in sections.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise Failed(f"{path}: no place for {name}; it wants the comments {begin.strip()} and {end}")
        text = f"{before}{begin}{section}\n{end}{after}"
    path.write_text(text)
