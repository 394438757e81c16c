"""Write the tables of docs/deidentification.md from the profile: what becomes of each attribute.

    python tools/make_deidentification_docs.py

What lies above the mark in that file is written by hand, and stays.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from deidentification.declaration import OPTION_CODES
from deidentification.profile import Profile
from deidentification.refusal import Reason
from deidentification.rules import read_words, rows

DOCUMENT = Path(__file__).parents[1] / "docs" / "deidentification.md"
MARK = "<!-- Below: made by tools/make_deidentification_docs.py from the profile. Do not edit by hand. -->"
NAME = "breast-screening"


def make(document: str) -> str:
    """The document with its tables made anew."""
    head, mark, _ = document.partition(MARK)
    if not mark:
        raise ValueError("the document lacks the mark below which the tables lie")
    return head + mark + "\n" + "\n".join(_tables(Profile.load(NAME))) + "\n"


def _tables(profile: Profile) -> Iterator[str]:
    yield from _options(profile)
    yield from _reasons()
    yield f"\n## Attributes of Table E.1-1 under `{profile.name}` {profile.version}\n"
    yield "| attribute | keyword | basic profile | what happens |"
    yield "|---|---|---|---|"
    for row in rows("confidentiality.csv"):
        yield f"| {_tag(row['tag'])} | {row['keyword']} | {row['basic']} | {_what(profile, row['tag'])} |"
    yield f"\n## Attributes kept besides, by the allow-list under `{profile.name}` {profile.version}\n"
    yield "All others, at every depth of sequences, are removed.\n"
    yield "| attribute | keyword | VR | what happens |"
    yield "|---|---|---|---|"
    for row in rows("keep.csv"):
        yield f"| {_tag(row['tag'])} | {row['keyword']} | {row['vr']} | {_what(profile, row['tag'])} |"
    yield "\n## Words that Clean Descriptors leaves\n"
    yield ", ".join(sorted(word.decode().lower() for word in read_words())) + "."


def _options(profile: Profile) -> Iterator[str]:
    yield "\n## Options of PS3.15 E.3 and the shipped profiles\n"
    yield "| option | CID 7050 | `breast-screening` | `basic` |"
    yield "|---|---|---|---|"
    shipped = [Profile.load(name) for name in ("breast-screening", "basic")]
    for option, code in OPTION_CODES.items():
        has = " | ".join("yes" if option in each.options else "no" for each in shipped)
        yield f"| `{option}` | {code} {profile.codes[b'DCM', code.encode()].decode()} | {has} |"


def _reasons() -> Iterator[str]:
    yield "\n## Why an instance is refused\n"
    yield "| code | what to do |"
    yield "|---|---|"
    for reason in Reason:
        yield f"| `{reason.code}` | {reason.advice} |"


def _tag(tag: str) -> str:
    return f"({tag[:4]},{tag[4:]})"


def _what(profile: Profile, tag: str) -> str:
    """What the profile does to an attribute, in words."""
    if tag < "0008":
        return "written anew with the File Meta Information" if tag.startswith("0002") else "removed"
    if tag == "00100010":
        return "replaced by the patient's pseudonym"
    if not re.fullmatch("[0-9A-F]{8}", tag):
        return "removed"
    rule = profile.rules.get(int(tag, 16))
    return rule.what if rule else "removed"


if __name__ == "__main__":
    DOCUMENT.write_text(make(DOCUMENT.read_text("utf-8")), "utf-8")
