"""Every screen of the guides: nothing in the console, and nothing that keeps somebody out."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from bridge_stack.screenshots import take_all, takeable
from bridge_stack.shots import SHOTS

pytestmark = [pytest.mark.stack, pytest.mark.browser]

#: what keeps a person from reading or using a page (WCAG 2.1 A and AA), as axe-core has it
_OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
    "resultTypes": ["violations"],
}
_OURS = "[class*=o_g2p]"
#: what stands in ours and is Odoo's: its fields, lists, tabs, chatter, and bars
_ODOOS = (
    *(".o_field_widget", ".o_form_label", ".o_clipboard_button", ".o_list_renderer", ".nav"),
    *(".o-mail-Chatter", ".o_control_panel"),
)
_GRAVE = ("serious", "critical")


def barriers(page):
    """Return what axe-core finds grave on a page, a line for each rule and element."""
    if not page.query_selector(_OURS):
        return []
    context = {"include": [[_OURS]], "exclude": [[selector] for selector in _ODOOS]}
    found = Axe().run(page, context=context, options=_OPTIONS)
    return [
        f"{rule['id']}: {node['html'][:160]}"
        for rule in found.response["violations"]
        if rule["impact"] in _GRAVE
        for node in rule["nodes"]
    ]


def out_of_reach(page):
    """Return what of an open dialog the Tab key does not come to, a line each.

    Not of the progress of a bulk action: it is drawn anew while it is looked at, which takes the
    focus out of the dialog. Escape closes it all the same.
    """
    if not page.query_selector(".modal .modal-footer"):
        return []
    if page.query_selector(".modal .o_g2p_live_progress"):
        return []
    controls = page.eval_on_selector_all(
        ".modal :is(button, input, select, textarea, a[href])",
        """found => found
            .filter((each) => each.checkVisibility() && !each.disabled && each.tabIndex >= 0
                    && !(each.type === 'radio' && !each.checked))  // arrows go to the others
            .map((each, place) => { each.dataset.place = place; return each.outerHTML; })""",
    )
    reached = set()
    for _each in range(len(controls) + 3):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.place"))
    # a button that becomes a field when it is come to (a date), or was drawn anew, is gone
    there = page.eval_on_selector_all("[data-place]", "found => found.map(f => f.dataset.place)")
    return [
        f"not reached by Tab: {controls[int(place)][:160]}"
        for place in there
        if place not in reached
    ]


def inspect(page):
    return barriers(page) + out_of_reach(page)


@pytest.mark.usefixtures("room")
def test_no_screen_complains_or_keeps_anybody_out(tmp_path):
    shots, _left_out = takeable(SHOTS)
    complaints = take_all(shots, tmp_path, inspect)
    assert not complaints, "\n".join(complaints)
    assert {path.stem for path in tmp_path.iterdir()} >= {shot.name for shot in shots}
