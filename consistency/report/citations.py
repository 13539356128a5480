"""What a paper that uses a report cites, as BibTeX."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from consistency.report.formats.latex import escape
from consistency.support.resources import shipped
from consistency.support.version import VERSION

# As its authors ask to be cited; the version is that of the logs.
HARNESS = """@misc{{eval-harness,
  author = {{Gao, Leo and Tow, Jonathan and Abbasi, Baber and Biderman, Stella and Black, Sid and DiPofi, Anthony and
            Foster, Charles and Golding, Laurence and Hsu, Jeffrey and Le Noac'h, Alain and Li, Haonan and
            McDonell, Kyle and Muennighoff, Niklas and Ociepa, Chris and Phang, Jason and Reynolds, Laria and
            Schoelkopf, Hailey and Skowron, Aviya and Sutawika, Lintang and Tang, Eric and Thite, Anish and
            Wang, Ben and Wang, Kevin and Zou, Andy}},
  title = {{The Language Model Evaluation Harness}},
  year = {{2024}},
  url = {{https://github.com/EleutherAI/lm-evaluation-harness}}{version}
}}"""


def bibtex(lm_eval: Iterable[str | None]) -> str:
    """Entries of the paper, of the evaluation harness and of this project.

    Parameters
    ----------
    lm_eval : iterable of str or None
        Versions of the harness that the logs name; without any, the entry names none.
    """
    known = sorted({version for version in lm_eval if version})
    version = f",\n  note = {{Version {escape(' and '.join(known))}}}" if known else ""
    with shipped("CITATION.cff").open(encoding="utf-8") as file:
        own = yaml.safe_load(file)
    return "\n\n".join([*map(_paper, own["references"]), HARNESS.format(version=version), _software(own)])


def _paper(entry: Mapping[str, Any]) -> str:
    year = entry["year"]
    key = f"{entry['authors'][0]['family-names'].lower()}{year}"
    return _entry(
        "inproceedings",
        key,
        author=_names(entry["authors"]),
        # As it is written: a style would set what follows the question mark in small letters.
        title=f"{{{escape(entry['title'])}}}",
        booktitle=escape(entry["collection-title"]),
        year=str(year),
        pages=f"{entry['start']}--{entry['end']}",
        doi=entry["doi"],
        url=entry["url"],
    )


def _software(own: Mapping[str, Any]) -> str:
    fields = {"author": _names(own["authors"]), "title": f"{{{escape(own['title'])}}}"}
    fields["note"] = f"Version {VERSION}"
    return _entry("misc", own["title"], **fields)


def _names(authors: Iterable[Mapping[str, str]]) -> str:
    return " and ".join(
        f"{{{escape(author['name'])}}}"
        if "name" in author
        else f"{escape(author['family-names'])}, {escape(author['given-names'])}"
        for author in authors
    )


def _entry(kind: str, key: str, **fields: str) -> str:
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@{kind}{{{key},\n{lines}\n}}"
