"""YAML files of reference data → documents that remember where they stand. Every problem says where and what to do."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline.reference.model import KINDS

FILE_BYTES = 8 << 20
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where PyYAML was built with it
_SCALARS = {"int": "a number", "float": "a number", "bool": "true or false", "null": "nothing", "timestamp": "a date"}
FieldPath = tuple[str | int, ...]
YAML_WAY_OUT = "indent with spaces, close what is open, and put a text with ': ' or ' #' in it, or a sign in front, in quotes"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong; ``str`` of it is a line for people."""

    file: str
    line: int
    document: str
    field: str
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (where, self.document, self.field, self.text) if part)


@dataclass(frozen=True)
class Document:
    """One document. ``content`` is as YAML says it (with ``kind``), ``lines``: field path → line in ``file``."""

    file: str
    content: dict[str, Any]
    lines: Mapping[FieldPath, int] = field(repr=False)

    @property
    def kind(self) -> str:
        return str(self.content.get("kind", ""))

    @property
    def name(self) -> str:
        """How people call it, such as ``tool gitlab-mcp/post_comment (tenant demo)``."""
        return name_of(self.kind, self.content)

    def problem(self, path: FieldPath, text: str) -> Problem:
        """A problem of one field (``()``: of the whole document)."""
        at = next(self.lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.lines)
        return Problem(self.file, at, self.name, ".".join(map(str, path)), text)


def name_of(kind: str, content: Mapping[str, Any]) -> str:
    """The document's name for people."""
    server = f"{content['server']}/" if content.get("server") else ""
    tenant = f" (tenant {content['tenant']})" if content.get("tenant") else ""
    return f"{kind or 'document'} {server}{content.get('id') or content.get('name') or '?'}{tenant}"


def read(folder: Path, kinds: Sequence[str] = KINDS) -> tuple[list[Document], list[Problem]]:
    """Documents of every ``.yaml`` and ``.yml`` file under ``folder``, in order of files and lines, and what cannot be read.

    Hidden files are left out. ``kinds`` is what a document may begin with.
    """
    if not folder.is_dir():
        return [], [Problem(str(folder), 0, "", "", "is no folder: give the folder that holds the YAML files")]
    found = sorted(p for p in folder.rglob("*") if p.suffix in (".yaml", ".yml") and p.is_file())
    documents: list[Document] = []
    problems: list[Problem] = []
    for path in found:
        name = str(path.relative_to(folder))
        if any(part.startswith(".") for part in Path(name).parts):
            continue
        try:
            entries = list(_file(path, name, kinds))
        except OSError as exc:
            entries = [Problem(name, 0, "", "", f"cannot be read ({exc.strerror}): correct its rights")]
        documents += [e for e in entries if isinstance(e, Document)]
        problems += [e for e in entries if isinstance(e, Problem)]
    if not documents and not problems:
        problems.append(Problem(str(folder), 0, "", "", "holds no documents in .yaml files: is it the right folder?"))
    return documents, problems


def _file(path: Path, name: str, kinds: Sequence[str]) -> Iterator[Document | Problem]:
    if path.stat().st_size > FILE_BYTES:
        yield Problem(name, 0, "", "", f"is larger than {FILE_BYTES >> 20} MiB: split it")
        return
    try:
        text = path.read_text(encoding="utf-8")
        aliased: Any = next((e for e in yaml.parse(text, Loader=_Loader) if isinstance(e, yaml.AliasEvent)), None)
        if aliased is not None:
            yield Problem(name, aliased.start_mark.line + 1, "", "", "anchors and aliases (& and *) are not read: write it out")
            return
        yield from _documents(text, name, kinds)
    except UnicodeDecodeError as exc:
        yield Problem(name, 0, "", "", f"is not UTF-8 (byte {exc.start}): save it as UTF-8")
    except RecursionError:
        yield Problem(name, 0, "", "", "is nested too deep: a document has three levels at most")
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        said = getattr(exc, "problem", None) or "it does not parse"
        yield Problem(name, mark.line + 1 if mark else 0, "", "", f"is not YAML: {said}: {YAML_WAY_OUT}")


def _documents(text: str, name: str, kinds: Sequence[str]) -> Iterator[Document | Problem]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"):
                continue  # an empty document, such as one after a closing ---
            yield from _document(loader, node, name, kinds)
    finally:
        loader.dispose()


def _document(loader: Any, node: yaml.Node, name: str, kinds: Sequence[str]) -> Iterator[Document | Problem]:
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        text = f"a document is fields with values, beginning with kind: {', '.join(kinds)}; put --- between documents"
        yield Problem(name, line, "", "", text)
        return
    lines: dict[FieldPath, int] = {}
    wrong = list(_walk(node, (), lines))
    content: Any = loader.construct_document(node)
    document = Document(name, {k: v for k, v in content.items() if isinstance(k, str)}, lines)
    yield from (document.problem(path, text) for path, text in wrong)
    yield document


def _walk(node: yaml.Node, path: FieldPath, lines: dict[FieldPath, int]) -> Iterator[tuple[FieldPath, str]]:
    """Line of each field; yields keys that stand twice or are no text: YAML would take the last, or a number, without a word."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            yield from _walk(item, (*path, i), lines)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            at = (*path, str(key.value))
            kind = key.tag.rpartition(":")[2]
            if at in lines:
                yield at, f"stands twice (line {lines[at]} has it too): remove one"
            if kind != "str":
                yield at, f"YAML reads this key as {_SCALARS.get(kind, 'something else')}: write it in quotes"
            lines[at] = key.start_mark.line + 1
            yield from _walk(value, at, lines)


def unreadable(value: object) -> str | None:
    """What YAML makes of a text that is not in quotes, such as ``a number``; None for texts, lists and fields."""
    names = {"int": "int", "float": "float", "bool": "bool", "NoneType": "null", "date": "timestamp", "datetime": "timestamp"}
    return _SCALARS.get(names.get(type(value).__name__, ""))


def text_of(documents: Mapping[str, list[dict[str, Any]]], heading: str) -> str:
    """Documents by kind as YAML that `read` reads back; each line of ``heading`` becomes a comment."""
    comment = "".join(f"# {line}\n" for line in heading.splitlines())
    whole = [{"kind": kind, **one} for kind in KINDS for one in documents.get(f"{kind}s", [])]
    parts = [yaml.safe_dump(one, sort_keys=False, allow_unicode=True, width=120) for one in whole]
    return "".join(itertools.chain([comment], ["---\n" + part for part in parts]))
