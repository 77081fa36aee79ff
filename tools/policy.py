"""A Content-Security-Policy for every page of the site: nothing runs, and nothing loads, that we did not put there.

A script inside a page is let run by its hash, one in a file by being the site's own. A page that was smuggled a script,
by a token of a text that is shown for instance, does not run it.
"""

import base64
import hashlib
import pathlib
import re

ALLOWED = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",  # plotly and the theme write style as they draw
    "img-src": "'self' data: blob:",  # blob: a plot that is saved as a picture
    "font-src": "'self'",
    "connect-src": "'self'",  # the search shows where its words stand
    "frame-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",
}
INLINE = re.compile(r"<script\b(?![^>]*\ssrc=)([^>]*)>(.*?)</script>", re.DOTALL)
# a tag and the first handler in it, such as onclick="..."; what handlers did, book/_static/access.js does
HANDLER = re.compile(r"""(<[a-z][^<>]*?)\s+on[a-z]+=(?:"[^"]*"|'[^']*')""")
META = re.compile(r'\s*<meta http-equiv="Content-Security-Policy"[^>]*>')


def hashes(page: str) -> list[str]:
    """Of each script that stands in the page, what the policy calls it; data that a script reads is none.

    >>> hashes('<script>let x</script><script src="x.js"></script><script type="application/json">{}</script>')
    ["'sha256-dXKOHtfmzrnYeAHYBCbUmBpIqmNFRVEF6ulA+ucuqt0='"]
    """
    scripts = {text for kind, text in INLINE.findall(page) if "type=" not in kind or "javascript" in kind}
    digests = {hashlib.sha256(script.encode()).digest() for script in scripts}
    return sorted(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def guarded(page: str) -> str:
    """The page with its policy, and without handlers in its tags, which no hash lets run.

    >>> page = guarded('<meta charset="utf-8" /><button onclick="print()" class="x"><script>let x</script>')
    >>> page.replace(META.search(page)[0], "...")
    '<meta charset="utf-8" />...<button class="x"><script>let x</script>'
    >>> guarded(page) == page
    True
    """
    kept = [match[0] for match in INLINE.finditer(page)]  # scripts' text stays as it is
    page = INLINE.sub("\0", META.sub("", page))
    while HANDLER.search(page):
        page = HANDLER.sub(r"\1", page)
    page = re.sub("\0", lambda _: kept.pop(0), page)
    rules = {**ALLOWED, "script-src": " ".join([ALLOWED["script-src"], *hashes(page)])}
    policy = "; ".join(f"{name} {value}" for name, value in rules.items())
    first = re.search(r"<meta charset=[^>]*>|<head>", page)
    if not first:
        return page
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}" />'
    return f"{page[: first.end()]}\n{meta}{page[first.end() :]}"


def apply(site: pathlib.Path) -> None:
    """Guard every page of a site; what has its policy already gets it anew."""
    for path in site.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        if (now := guarded(page)) != page:
            path.write_text(now, encoding="utf-8", newline="")
