"""Sphinx extension: the library's reference, from what the files of lexviz say of themselves (`names` reads them).

    ```{library} theory        every public name of a module: signature, docstring, example
    ```{files} figures         the modules of a folder, a line each
    ```{commands} train runs   what the commands say with --help

Docstrings are plain text, as a terminal shows them. The little that is more is told by how it looks (`blocks`): code in
backticks, examples with >>>, what is indented, a list. Elsewhere in the book, code that is a name of lexviz leads here.
"""

import os
import pathlib
import re
import subprocess
import sys
import zlib

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.domains.python import PyClasslike, PyFunction, PyMethod, PyModule, PyProperty, PyVariable
from sphinx.util.docutils import SphinxDirective

import names

DIRECTIVES = {"function": PyFunction, "class": PyClasslike, "method": PyMethod, "property": PyProperty,
              "data": PyVariable}  # fmt: skip
SHORT = 60  # characters of a constant's value, up to which it stands beside the name


# ---- where a name leads -----------------------------------------------------------------------------------------


def address(code: str, here: str = "") -> str:
    """The address of what a piece of code names; nothing, if it is no public name of lexviz, or could be several.

    In the text of a module, `here`, its own names count as they are; elsewhere plain words do not, for they may be
    anyone's: a name needs its module, a capital or an underscore.

    >>> address("theory.angles"), address("block_causal(4)"), address("Xpos"), address("LanguageModel.look")
    ('lexviz.theory.angles', 'lexviz.masks.block_causal', 'lexviz.positions.Xpos', 'lexviz.model.LanguageModel.look')
    >>> address("angles"), address("angles", here="theory"), address("Settings.length")
    ('', 'lexviz.theory.angles', 'lexviz.train.Settings')
    """
    known = names.every()
    called = re.fullmatch(r"(?:lexviz\.)?([A-Za-z_][\w.]*)(\(.*\))?", code)
    if not called:
        return ""
    path = called[1]
    if path in names.MODULES:
        return f"lexviz.{path}" if code.startswith("lexviz.") else ""
    for found in (f"lexviz.{here}.{path}", f"lexviz.{path}"):
        if found in known:
            return found
    ends = []
    if re.search(r"[A-Z]|\w_\w|\.", path):  # a method needs its class
        ends = [full for full in known if full.endswith(f".{path}") and known[full].path.count(".") <= path.count(".")]
    if len(ends) == 1:
        return ends[0]
    before, _, last = path.rpartition(".")  # a field or an attribute leads to its class
    return address(before, here) if before and last[0] != "_" and re.search(r"[A-Z]", before) else ""


def link(code: str, text: nodes.Node, docname: str, here: str = "") -> nodes.Node:
    """A piece of code, as a link if it leads anywhere."""
    if not (target := address(code, here)):
        return text
    found = addnodes.pending_xref("", text, refdomain="py", reftype="obj", reftarget=target, refdoc=docname)
    found["refexplicit"] = found["refwarn"] = True
    return found


def link_names(app, document):
    """Run on each page that was read: code within text that names something of lexviz leads to the reference."""
    apart = nodes.title | nodes.reference | addnodes.pending_xref | addnodes.desc_signature | nodes.caption
    for code in list(document.findall(nodes.literal)):
        around = code.parent
        while around is not None and not isinstance(around, apart):
            around = around.parent
        if around is None and address(code.astext()):
            code.replace_self(link(code.astext(), code.deepcopy(), app.env.docname))


# ---- docstrings -------------------------------------------------------------------------------------------------


def blocks(text: str, parameters=()) -> list[tuple[str, list]]:
    r"""A docstring's parts: ("text", lines), ("example", lines), ("code", lines), ("items", [(term, text), ...]).

    An item begins where a line is not indented and others are; its term is an argument's name before a colon, or, in
    an indented table, what stands before two spaces or more.

    >>> blocks("n tokens.\n\nn: how many,\n    at least one\n\n>>> 1 + 1\n2", parameters=["n"])
    [('text', ['n tokens.']), ('items', [('n', 'how many, at least one')]), ('example', ['>>> 1 + 1', '2'])]
    >>> blocks("Two:\n\n    scores, attend   dense,\n                     all\n    path             which")[1]
    ('items', [('scores, attend', 'dense, all'), ('path', 'which')])
    """
    found = []
    for part in re.split(r"\n\s*\n", text.strip("\n")):
        lines = part.split("\n")
        indented = min(len(line) - len(line.lstrip()) for line in lines)
        lines = [line[indented:] for line in lines]
        argument = rf"({'|'.join(parameters)}): (.*)" if parameters else r"(?!)()"
        row = r"([\w., ()\"-]*\S)  +(\S.*)"
        if lines[0].startswith(">>>"):
            found.append(("example", lines))
        elif indented and re.fullmatch(row, lines[0]):
            found.append(("items", _items(lines, row)))
        elif indented:
            found.append(("code", lines))
        elif re.match(argument, lines[0]) or any(line.startswith(" ") for line in lines):
            found.append(("items", _items(lines, argument)))
        else:
            found.append(("text", lines))
    return found


def _items(lines: list[str], pattern: str) -> list[tuple[str, str]]:
    items = []
    for line in lines:
        if line.startswith(" "):
            items[-1] = items[-1][0], f"{items[-1][1]} {line.strip()}"
        else:
            begins = re.fullmatch(pattern, line)
            items.append((begins[1], begins[2]) if begins else ("", line))
    return items


def inline(text: str, docname: str, here: str) -> list[nodes.Node]:
    """A text's words, and its code in backticks."""
    found = []
    for number, piece in enumerate(re.split(r"`([^`]+)`", text)):
        if number % 2:
            found.append(link(piece, nodes.literal(piece, piece), docname, here))
        elif piece:
            found.append(nodes.Text(piece))
    return found


def paragraph(text: str, docname: str, here: str) -> nodes.Node:
    """A paragraph as it is written: no dash is made of --checkpoint, no ellipsis of (..., length)."""
    return nodes.paragraph("", "", *inline(text, docname, here), support_smartquotes=False)


def body(text: str, docname: str, here: str, parameters=()) -> list[nodes.Node]:
    """A docstring as a page shows it."""
    found = []
    for kind, lines in blocks(text, parameters):
        if kind == "text":
            found.append(paragraph(" ".join(lines), docname, here))
        elif kind == "items":
            found.append(listed(lines, docname, here))
        else:
            code = "\n".join(lines)
            found.append(nodes.literal_block(code, code, language="pycon" if kind == "example" else "text"))
    return found


def listed(items: list[tuple[str, str]], docname: str, here: str) -> nodes.Node:
    """Terms, each of them code, and what is said of them; or mere items."""
    if not any(term for term, _ in items):
        rows = [nodes.list_item("", paragraph(text, docname, here)) for _, text in items]
        return nodes.bullet_list("", *rows, bullet="-")
    found = nodes.definition_list(classes=["library"])
    for term, text in items:
        codes = []
        for one in re.split(r", (?![^(]*\))", term):
            codes += [nodes.Text(", ")] if codes else []
            codes.append(link(one, nodes.literal(one, one), docname, here))
        said = nodes.definition("", paragraph(text, docname, here))
        found += nodes.definition_list_item("", nodes.term("", "", *codes), said)
    return found


# ---- directives -------------------------------------------------------------------------------------------------


class Library(SphinxDirective):
    """Every public name of a module, after what the module says of itself."""

    required_arguments = 1

    def run(self):
        module = self.arguments[0]
        if module not in names.MODULES:
            raise self.error(f"{module!r} is no module of the reference; tools/names.py has {', '.join(names.MODULES)}")
        for file in (module, *names.parts_of(module)):
            self.env.note_dependency(str(names.path_of(file)))
        found = self.described(PyModule, "module", f"lexviz.{module}")
        found += body(names.says(module), self.env.docname, module)
        parts = {}  # each class's own text, where its methods go
        for name in names.of(module):
            index, entry = self.entry(name)
            parts[name.path] = entry[-1]
            owner, _, _ = name.path.rpartition(".")
            if owner:
                parts[owner] += [index, entry]
            else:
                found += [index, entry]
        return found

    def entry(self, name: names.Name) -> list[nodes.Node]:
        """A name: what Sphinx makes of its signature, and below it its text."""
        options = {"module": f"lexviz.{name.module}"}
        signature = name.path + (name.signature if name.kind in ("function", "class", "method") else "")
        long = name.kind == "data" and (len(name.signature) > SHORT or "\n" in name.signature)
        if name.kind == "property" and name.signature:
            options["type"] = name.signature.removeprefix(" -> ")
        if name.kind == "data" and not long:
            options["value"] = " ".join(name.signature.split())
        index, entry = self.described(DIRECTIVES[name.kind], name.kind, signature, **options)
        for before in list(entry.findall(addnodes.desc_addname)):
            short = before.astext().removeprefix("lexviz.")
            before.replace_self(addnodes.desc_addname(short, short))
        for reference in list(entry.findall(addnodes.pending_xref)):  # a type: of lexviz, or not to be found here
            kept = reference.children
            reference.replace_self(link(reference["reftarget"], kept[0], self.env.docname) if len(kept) == 1 else kept)
        text, docname, here = entry[-1], self.env.docname, name.module
        said = body(name.text, docname, here, name.parameters)
        more = [paragraph(f"A kind of `{name.base}`.", docname, here)] if name.base else []
        if name.fields:
            more.append(listed(list(name.fields), docname, here))
        if long and len(name.signature.split("\n")) < 25:
            code = f"{name.path} = {name.signature}"
            more.append(nodes.literal_block(code, code, language="python"))
        examples = [part for part in said if isinstance(part, nodes.literal_block) and part["language"] == "pycon"]
        first = said.index(examples[0]) if examples else len(said)
        text += said[:first] + more + said[first:]
        return [index, entry]

    def described(self, kind: type, word: str, signature: str, **options) -> list[nodes.Node]:
        """What one of Sphinx's own directives makes of a signature."""
        made = kind(f"py:{word}", [signature], options, StringList(), self.lineno, self.content_offset, "",
                    self.state, self.state_machine)  # fmt: skip
        return made.run()


class Files(SphinxDirective):
    """The modules of a folder, each with the first line of what it says of itself."""

    required_arguments = 1

    def run(self):
        folder, items = self.arguments[0], []
        for path in sorted((names.ROOT / "lexviz" / folder).glob("[!_]*.py")):
            self.env.note_dependency(str(path))
            says = names.says(f"{folder}.{path.stem}")
            items.append((f"{folder}.{path.stem}", says.split("\n\n")[0].replace("\n", " ")))
        return [listed(items, self.env.docname, "")]


class Commands(SphinxDirective):
    """What commands of lexviz say with --help."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        for path in (names.ROOT / "lexviz").rglob("*.py"):
            self.env.note_dependency(str(path))
        found = []
        for name in self.arguments[0].split():
            line = paragraph(f"`python -m lexviz {name} --help`", self.env.docname, "")
            command = [sys.executable, "-m", "lexviz", name, "--help"]
            told = subprocess.run(command, cwd=names.ROOT, env={**os.environ, "COLUMNS": "80"}, capture_output=True,
                                  text=True, check=True).stdout  # fmt: skip
            found += [line, nodes.literal_block(told, told, language="text")]
        return found


def setup(app):
    """Called by Sphinx."""
    app.add_directive("library", Library)
    app.add_directive("files", Files)
    app.add_directive("commands", Commands)
    app.connect("doctree-read", link_names)
    here = pathlib.Path(__file__)
    version = zlib.crc32(here.read_bytes() + here.with_name("names.py").read_bytes())  # a new one: all pages anew
    return {"env_version": version, "parallel_read_safe": True, "parallel_write_safe": True}
