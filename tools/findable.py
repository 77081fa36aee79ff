r"""Sphinx extension: the search finds figures, terms, Greek letters, the paper's equations and lexviz's names.

Words and headings Sphinx indexes by itself. What readers look for besides becomes an object, which is what Sphinx
calls a thing that has a name and a place: each figure; each term of the glossary (whose entry in the index Sphinx
loses when another page is built anew); each Greek letter, by name and by sign, since formulas spell it (\zeta) where
readers see it (ζ); each equation of the paper; each function and class of lexviz. On each page the place is the
section that speaks of it most, before the summary and the exercises; the page that does so most comes first.
"""

import collections
import pathlib
import re
import unicodedata
import zlib

import bs4
from docutils import nodes
from sphinx import addnodes
from sphinx.domains import Domain, ObjType

import names

INNER = {"proof-content", "exercise-content", "solution-content"}
AFTER = {"summary", "exercises", "read-next"}  # sections that speak of everything once more


def greek(command: str) -> str:
    """The sign that a TeX command stands for, nothing if it is not a Greek letter.

    >>> greek("zeta"), greek("Delta"), greek("lambda"), greek("frac")
    ('ζ', 'Δ', 'λ', '')
    """
    size = "SMALL" if command.islower() else "CAPITAL"
    name = command.removeprefix("var").upper().replace("LAMBDA", "LAMDA")  # as Unicode spells it
    try:
        return unicodedata.lookup(f"GREEK {size} LETTER {name}")
    except KeyError:
        return ""


def letters(formula: str) -> list[str]:
    r"""The Greek letters of a formula, each by sign and name.

    >>> letters(r"\zeta_i^{m/B} e^{\theta}")
    ['ζ (zeta)', 'θ (theta)']
    """
    return [f"{greek(word)} ({word})" for word in re.findall(r"\\([A-Za-z]+)", formula) if greek(word)]


def equations(text: str) -> dict[str, int]:
    """The paper's equations that a text names, and how much that counts: "This is Eq. 4" says where it stands.

    No space in the name: Sphinx takes what follows a dot for the name proper, and so tells Eq.3 from Eq.13.

    >>> equations("Eq. 5 and 6 should solve it."), equations("This is Eq. 4 of the paper.")
    ({'Eq.5': 1, 'Eq.6': 1}, {'Eq.4': 100})
    """
    found = re.findall(r"(This is )?Eq\. (\d+)(?: (?:and|to) (\d+))?", text)
    return {f"Eq.{number}": 100 if stated else 1 for stated, *pair in found for number in pair if number}


def own_names() -> set[str]:
    """The functions and classes of lexviz whose names are nobody else's: with a capital or an underscore.

    >>> {"ModelConfig", "passkey_accuracy", "angles"} - own_names()
    {'angles'}
    """
    found = {name.path for name in names.every().values() if name.kind in ("function", "class")}
    return {name for name in found if re.search(r"[A-Z]|\w_", name)}


def title(figure: bs4.Tag) -> str:
    """What a figure is called, its id in words, and the first sentence of its caption."""
    words = figure["id"].removeprefix("lex-").replace("-", " ")
    caption = " ".join(next(figure.figcaption.stripped_strings).split())
    return f"{words}: {caption.split('. ')[0].rstrip('.')}"


def section(node: nodes.Node) -> str:
    """The id of the section around a node; the text of a theorem or exercise is one for its extension only."""
    while not isinstance(node, nodes.section) or node["ids"][0] in INNER:
        node = node.parent
    return node["ids"][0]


class Findable(Domain):
    """Keeps for each page a list of (kind, name, anchor, how much the page speaks of it)."""

    name = "findable"
    label = "findable"
    object_types = {  # noqa: RUF012 (as Sphinx declares it)
        "figure": ObjType("figure"),
        "term": ObjType("glossary"),
        "letter": ObjType("symbol"),
        "equation": ObjType("equation of the paper"),
        "code": ObjType("in lexviz"),
    }
    initial_data = {"places": {}}  # noqa: RUF012
    data_version = 1

    def clear_doc(self, docname):
        self.data["places"].pop(docname, None)

    def merge_domaindata(self, docnames, otherdata):
        for docname in docnames:
            self.data["places"][docname] = otherdata["places"][docname]

    def process_doc(self, env, docname, document):
        if next(document.findall(addnodes.desc), None):
            self.data["places"][docname] = []  # the library's reference, whose names Sphinx finds by itself
            return
        known = own_names()
        places, counts = [], collections.defaultdict(collections.Counter)  # {(kind, name): {anchor: how much}}
        for node in document.findall():
            if isinstance(node, nodes.raw) and '<figure class="lex"' in node.astext():
                figure = bs4.BeautifulSoup(node.astext(), "html.parser").figure
                places.append(("figure", title(figure), figure["id"], 1))
            elif isinstance(node, nodes.term):
                places.append(("term", node.astext(), node["ids"][0], 1))
            elif isinstance(node, nodes.math | nodes.math_block):
                for letter in letters(node.astext()):
                    defined = section(node) == "symbols"  # the table of Appendix B
                    counts["letter", letter][section(node)] += 100 if defined else 1
            elif isinstance(node, nodes.literal | nodes.literal_block):
                for name in known.intersection(re.findall(r"\w+", node.astext())):
                    counts["code", name][section(node)] += 1
            elif isinstance(node, nodes.paragraph | nodes.title):
                for equation, much in equations(node.astext()).items():
                    counts["equation", equation][section(node)] += much
        for (kind, name), anchors in counts.items():
            before = collections.Counter({anchor: much for anchor, much in anchors.items() if anchor not in AFTER})
            anchor, _ = (before or anchors).most_common(1)[0]
            places.append((kind, name, anchor, before.total()))
        self.data["places"][docname] = places

    def get_objects(self):
        all_much = collections.defaultdict(list)
        for places in self.data["places"].values():
            for kind, name, _, much in places:
                all_much[kind, name].append(much)
        for docname, places in self.data["places"].items():
            for kind, name, anchor, much in places:
                rank = sum(other > much for other in all_much[kind, name])
                rank += kind == "code"  # after the chapters that have the name in their titles
                yield name, name, kind, docname, anchor, min(rank, 2)  # Sphinx has three ranks

    def get_type_name(self, type, primary=False):
        return type.lname


def setup(app):
    """Called by Sphinx."""
    app.add_domain(Findable)
    here = pathlib.Path(__file__)
    version = zlib.crc32(here.read_bytes() + here.with_name("names.py").read_bytes())  # a new one: all pages anew
    return {"env_version": version, "parallel_read_safe": True, "parallel_write_safe": True}
