"""bin/screenshots: take the pictures of the documents, in Chromium, from the demo data.

A page that logs an error or a warning in the browser's console is a failure.
"""

import argparse
import contextlib
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import sync_playwright

from bridge_stack import browser
from bridge_stack.common import BridgeError, complain, project, say
from bridge_stack.shots import SHOTS, prepare
from bridge_stack.stack import Stack

_DEADLINE_MS = 30_000
#: what Odoo's own pages say, and nobody can mend here
_NOT_OURS = ("net::ERR_ABORTED", "favicon")


class Studio:
    """The browser with the pages of the users that look at something.

    :param chromium: a running browser of Playwright
    :param stack: a running :class:`~bridge_stack.stack.Stack` with demo data
    :param folder: for the pictures
    :param inspect: called with each page as it is pictured; returns complaints

    :ivar complaints: what went wrong, and what pages wrote into the console
    """

    def __init__(self, chromium, stack, folder, inspect=None):
        self.chromium = chromium
        self.stack = stack
        self.folder = folder
        self.inspect = inspect or (lambda _page: [])
        self.complaints = []
        self._contexts = {}

    def take(self, shot):
        """Open what the shot shows, do its steps, and write the picture."""
        page = self._context(shot).new_page()
        said, open_calls = [], set()
        _follow_calls(page, open_calls)
        page.on("console", lambda message: said.append(_line(message)))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.set_viewport_size({"width": shot.size[0], "height": shot.size[1]})
        try:
            page.goto(f"{self.stack.url}{self._path(shot)}")
            page.wait_for_selector(shot.wait, timeout=_DEADLINE_MS)
            _settle(page, open_calls)
            shot.steps(page)
            _settle(page, open_calls)
            target = self.folder / f"{shot.name}.png"
            page.screenshot(path=str(target), full_page=False, animations="disabled")
            _shrink(target)
            self.complaints += [f"{shot.name}: {line}" for line in self.inspect(page)]
            say(f"picture   {target.name}")
        except BrowserError as error:
            self.complaints.append(f"{shot.name}: {str(error)[:500]}")
            with contextlib.suppress(BrowserError):
                page.screenshot(path=str(self.stack.folder / f"{shot.name}-failed.png"))
        finally:
            page.close()
        self.complaints += [f"{shot.name}: {line}" for line in said if line]

    def _context(self, shot):
        """Return the browser context of the shot's user, logged in."""
        if shot.user not in self._contexts:
            context = self.chromium.new_context(reduced_motion="reduce", locale="en-US")
            page = context.new_page()
            page.goto(f"{self.stack.url}/web/login")
            page.fill("#login", shot.user)
            page.fill("#password", shot.user)
            page.press("#password", "Enter")
            page.wait_for_selector(".o_web_client, .o_action_manager", timeout=_DEADLINE_MS)
            page.close()
            self._contexts[shot.user] = context
        return self._contexts[shot.user]

    def _path(self, shot):
        if not shot.model:
            return f"/odoo/action-{shot.action}"
        [record_id] = self.stack.admin.execute(
            shot.model, "search", shot.domain, limit=1, order=shot.order
        )
        return f"/odoo/action-{shot.action}/{record_id}"


def _line(message):
    """Return what a console message complains of; empty for what is no complaint."""
    text = f"{message.text[:300]} {message.location.get('url', '')}".strip()
    if message.type not in ("error", "warning") or any(part in text for part in _NOT_OURS):
        return ""
    return f"console {message.type}: {text}"


def _options(arguments):
    parser = argparse.ArgumentParser(prog="bin/screenshots", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these pictures")
    parser.add_argument("--list", action="store_true", help="say which there are, and end")
    parser.add_argument(
        "--to",
        type=Path,
        default=project() / "docs" / "images",
        metavar="FOLDER",
        help="instead of docs/images",
    )
    return parser.parse_args(arguments)


def _chosen(names):
    known = {shot.name: shot for shot in SHOTS}
    if unknown := set(names) - set(known):
        raise BridgeError(f"No picture is called {', '.join(sorted(unknown))}: see --list.")
    return [known[name] for name in names] or SHOTS


def takeable(shots):
    """Return (shots, complaints): without rtlcss Odoo shows Arabic, too, from left to right."""
    if shutil.which("rtlcss"):
        return shots, []
    return [shot for shot in shots if not shot.is_rtl], [
        f"{shot.name}: not taken, needs rtlcss on the PATH (npm install -g rtlcss)"
        for shot in shots
        if shot.is_rtl
    ]


def take_all(shots, folder, inspect=None):
    """Take the pictures; return what was complained of.

    :param list shots: :class:`~bridge_stack.shots.Shot`
    :param inspect: as of :class:`Studio`
    """
    folder.mkdir(parents=True, exist_ok=True)
    program = browser.ensure_chromium()
    if not program:
        raise BridgeError("Pictures need Chromium.")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    # one process: it serves /websocket, which a page would miss in the console
    with Stack(workers=0, bank=False, with_demo=True) as stack, sync_playwright() as playwright:
        prepare(stack)
        chromium = playwright.chromium.launch(executable_path=program, args=sandbox)
        studio = Studio(chromium, stack, folder, inspect)
        for shot in shots:
            studio.take(shot)
        chromium.close()
        stack.keep_logs = bool(studio.complaints)
        return studio.complaints


def main(arguments):
    """Take pictures; return 0, 1 when a page complained, 3 for what a person has to mend."""
    options = _options(arguments)
    try:
        shots = _chosen(options.names)
        if options.list:
            for shot in shots:
                say(shot.name)
            return 0
        shots, complaints = takeable(shots)
        complaints += take_all(shots, options.to)
    except BridgeError as error:
        complain(f"screenshots: {error}")
        return 3
    for line in complaints:
        complain(f"screenshots: {line}")
    return 1 if complaints else 0


def _shrink(target):
    """Keep the picture with 256 colours: a third of the size.

    The most frequent colours stay exactly as they are (areas), the others are near their own.
    """
    with Image.open(target) as file:
        picture = file.convert("RGB")
    found = picture.getcolors(picture.width * picture.height)
    colours = [colour for _count, colour in sorted(found, reverse=True)]
    palette = colours[:160]
    if rest := colours[160:]:
        strip = Image.new("RGB", (len(rest), 1))
        strip.putdata(rest)
        few = strip.quantize(96, method=Image.Quantize.MAXCOVERAGE).convert("RGB")
        palette += [colour for _count, colour in few.getcolors()]
    book = Image.new("P", (1, 1))
    book.putpalette([part for colour in palette for part in colour])
    picture.quantize(palette=book, dither=Image.Dither.NONE).save(target, optimize=True)


def _follow_calls(page, open_calls):
    """Keep the page's calls to the server that are under way in a set.

    Playwright's own "networkidle" never comes: the worker of Odoo's bus holds a request open.
    """

    def begin(request):
        if request.resource_type in ("fetch", "xhr"):
            open_calls.add(request)

    def end(request):
        open_calls.discard(request)

    page.on("request", begin)
    page.on("requestfinished", end)
    page.on("requestfailed", end)


def _settle(page, open_calls):
    """Wait until nothing moves: fonts, images, and what is still being loaded."""
    page.evaluate("document.fonts.ready")
    quiet = 0
    for _each in range(_DEADLINE_MS // 100):
        quiet = 0 if open_calls else quiet + 1
        if quiet == 5:
            break
        page.wait_for_timeout(100)
    else:
        raise BrowserError("the page never stopped asking the server")
    page.wait_for_function("!document.querySelector('.o_blockUI, .o_loading_indicator')")
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.matches('button, a') && document.activeElement.blur()")
    page.wait_for_timeout(300)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
