"""The fonts of the papers: those that Odoo's web client brings along, for it needs no download."""

from odoo.tools.misc import file_path

from ..services.pdf import Fonts

_FOLDER = "web/static/fonts/google"


def fonts():
    """Return where the fonts are."""
    return Fonts(
        regular=file_path(f"{_FOLDER}/Roboto/Roboto-Regular.ttf"),
        bold=file_path(f"{_FOLDER}/Roboto/Roboto-Medium.ttf"),
        mono=file_path(f"{_FOLDER}/Fira_Mono/Fira_Mono-Regular.ttf"),
        arabic=file_path(f"{_FOLDER}/Tajawal/Tajawal-Regular.ttf"),
        arabic_bold=file_path(f"{_FOLDER}/Tajawal/Tajawal-Bold.ttf"),
    )
