"""What a browser finds wrong with a page, as lists of short texts; empty when all is well."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

BROKEN_PICTURES = """() => [...document.images]
  .filter(image => !(image.complete && image.naturalWidth > 0)).map(image => image.alt || "no alt")"""
WIDER = """() => [...document.querySelectorAll("body *")]
  .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1
               && !e.closest(".scroll, .hidden-text, thead"))
  .map(e => `${e.tagName.toLowerCase()} ${e.className} ${e.textContent.trim().slice(0, 30)}`)"""
UNFOLD = "() => document.querySelectorAll('details').forEach(part => { part.open = true; })"
FOCUSED = """() => { const e = document.activeElement, style = getComputedStyle(e);
  return {tag: e.tagName.toLowerCase(), id: e.id, text: e.textContent.trim().slice(0, 40),
          visible: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2}; }"""


@dataclass
class Visit:
    """A page that is open: `page` of playwright, what the console said, and what was fetched beside it."""

    page: object
    console: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, context, path):
        """Open the file `path` in a context of the browser that has no network."""
        context.set_offline(True)
        address = Path(path).resolve().as_uri()
        visit = cls(context.new_page())
        visit.page.on("console", lambda message: visit.console.append(message.text))
        visit.page.on("pageerror", lambda error: visit.console.append(str(error)))
        visit.page.on("request", lambda request: visit._note(request.url, address))
        visit.page.goto(address)
        return visit

    def _note(self, url, address):
        if url.partition("#")[0] != address and not url.startswith("data:"):
            self.fetched.append(url)

    def broken_pictures(self):
        return self.page.evaluate(BROKEN_PICTURES)

    def wider_than_the_window(self):
        """Elements that reach beyond the right edge, but for those in a region that scrolls by itself."""
        return self.page.evaluate(WIDER)

    def unfold(self):
        """Open every part that is folded."""
        self.page.evaluate(UNFOLD)

    def accessibility_violations(self):
        """What axe-core finds: rule, elements and what is wrong with the first of them."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page, options={"resultTypes": ["violations"]}).response["violations"]
        return [
            f"{rule['id']}: {len(rule['nodes'])} x {rule['nodes'][0]['html'][:120]} "
            f"{rule['nodes'][0].get('failureSummary', '')[:200]}"
            for rule in found
        ]

    def tab(self):
        """Press the tabulator; {tag, id, text, visible} of what has the focus then."""
        self.page.keyboard.press("Tab")
        return self.page.evaluate(FOCUSED)
