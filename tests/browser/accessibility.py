"""Checks that a page can be used without seeing it and without a mouse: names, structure, contrast."""

from __future__ import annotations

import re

from playwright.sync_api import Page

CONTROLS = ("button", "link", "textbox", "checkbox", "radio", "combobox", "spinbutton", "progressbar", "img", "dialog", "region")
LANDMARKS = ("banner", "main", "contentinfo")
# Text nodes whose contrast to the first ground behind them is below WCAG's AA.
_CONTRAST = """() => {
  const rgba = (text) => { const n = (text.match(/[\\d.]+/g) ?? []).map(Number); return n.length === 3 ? [...n, 1] : n; };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 1) return color;
    }
    return [255, 255, 255, 1];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const poor = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.textContent.trim() || !parent.checkVisibility()) continue;
    if (parent.closest(".visually-hidden, .skip, :disabled, option")) continue;
    const style = getComputedStyle(parent);
    const color = parent.closest("svg") ? rgba(style.fill) : rgba(style.color);
    const [a, b] = [light(color), light(ground(parent))].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${ratio.toFixed(2)} ${node.textContent.trim().slice(0, 40)}`);
  }
  return poor;
}"""
_NAMELESS = re.compile(rf"^\s*- ({'|'.join(CONTROLS)})(?: \[[^\]]*\])*(?::.*)?$", re.MULTILINE)


def faults(page: Page) -> list[str]:
    """What is wrong with what is on the screen; empty where nothing is."""
    tree = page.locator("body").aria_snapshot()
    found = [f"a {kind} has no name" for kind in _NAMELESS.findall(tree)]
    first = len(re.findall(r"heading .*\[level=1\]", tree))
    found += [f"{first} headings of the first level"] if first != 1 else []
    found += [f"no {landmark}" for landmark in LANDMARKS if not re.search(rf"^\s*- {landmark}\b", tree, re.MULTILINE)]
    found += [f"contrast {text}" for text in page.evaluate(_CONTRAST)]
    found += [] if page.locator("[role=status][aria-live=polite]").count() == 1 else ["not exactly one live region"]
    ids: list[str] = page.locator("[id]").evaluate_all("nodes => nodes.map(n => n.id)")
    found += [f"id {one} twice" for one in sorted({i for i in ids if ids.count(i) > 1})]
    if page.evaluate("document.documentElement.lang") != "en" or not page.title():
        found.append("no language or title")
    wide: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [*found, f"{wide} pixels wider than the window"] if wide > 0 else found


def focused(page: Page) -> tuple[str, bool]:
    """The name of what has the focus, and whether that shows."""
    found: list[object] = page.evaluate(
        """() => {
          const node = document.activeElement;
          const name = node.getAttribute("aria-label") ?? node.labels?.[0]?.textContent ?? node.textContent;
          const ring = (one) => {
            const style = one && getComputedStyle(one);
            return style && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
          };
          return [(name ?? "").trim().slice(0, 60), Boolean(ring(node) || ring(node.labels?.[0]))];
        }"""
    )
    return str(found[0]), bool(found[1])


def tab_to(page: Page, name: str, most: int = 120) -> list[str]:
    """Press Tab until what is called ``name`` has the focus; returns what had it on the way. Each must show its focus."""
    way: list[str] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        found, shows = focused(page)
        way.append(found)
        assert shows, f"nothing shows that {found!r} has the focus"
        if found.startswith(name):
            return way
    raise AssertionError(f"{name!r} is not reached with Tab: {way}")
