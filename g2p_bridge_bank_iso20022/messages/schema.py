"""Is a message what it claims to be? By the schemas of ISO 20022, which sepaxml carries."""

import importlib.util
from pathlib import Path

from lxml import etree

from .errors import MessageError

VERSIONS = ("pain.001.001.03", "pain.001.001.09")
_PARSER_OPTIONS = {"resolve_entities": False, "no_network": True, "load_dtd": False}


def validate(content, version):
    """Refuse a message that is not valid by its schema.

    :param bytes content: an own message; one of others is read by :mod:`.xml`
    :param str version: one of VERSIONS
    :raise MessageError: FF01: which element of which payment is wrong, without its value
    """
    schema = _schema(version)  # made in 2 ms, and not shared: its error log belongs to one thread
    try:
        document = etree.fromstring(content, etree.XMLParser(**_PARSER_OPTIONS))
    except etree.XMLSyntaxError as error:
        raise MessageError("The message is no well-formed XML.", code="FF01") from error
    if schema.validate(document):
        return
    raise MessageError(
        f"The message is not valid by {version}: {_place(document, schema.error_log[0])}.",
        code="FF01",
    )


def _place(document, error):
    """Return which element is wrong, of which payment, and by which rule of the schema."""
    [element] = document.xpath(error.path)
    tag = etree.QName(element).localname
    payment = element.xpath("ancestor::*/*[local-name() = 'PmtId']/*[local-name() = 'EndToEndId']")
    of_payment = f" of payment {payment[0].text!r:.40}" if payment else ""
    return f"{tag}{of_payment} ({error.type_name})"


def _schema(version):
    if version not in VERSIONS:
        raise MessageError(f"There is no schema of {version!r:.40} here.", code="FF01")
    # only its files are of use here: finding it does not import it
    [folder] = importlib.util.find_spec("sepaxml").submodule_search_locations
    path = Path(folder) / "schemas" / f"{version}.xsd"
    return etree.XMLSchema(etree.parse(path, etree.XMLParser(**_PARSER_OPTIONS)))
