"""Untrusted XML: no DTD, no entity, no network, bounded in bytes and depth."""

from io import BytesIO

from lxml import etree

from .errors import MessageError

MAX_BYTES = 64 * 1024 * 1024


def iterate(content, root, *tags, max_bytes=MAX_BYTES):
    """Yield the root element when it begins and each element with one of the tags when it ends.

    Tags are without namespace. An element may be read until the next one is asked for; the
    caller empties (``element.clear()``) what may be large. libxml2 refuses more than 256 levels,
    texts above 10 MB, and entities that would grow.

    :param bytes content: as received
    :param str root: tag of the outermost element that matters, ``Document``
    :raise MessageError: FF01: empty, too large, no XML, with a DTD, or without that root
    """
    if len(content) > max_bytes:
        raise MessageError(f"The file is larger than {max_bytes} bytes.", code="FF01")
    names = [f"{{*}}{tag}" for tag in (root, *tags)]
    events = etree.iterparse(
        BytesIO(content),
        events=("start", "end"),
        tag=names,
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    yield from _from_root(_well_formed(events), root)


def text_of(parent, path):
    """Return the stripped text at a path below an element, empty where there is none.

    :param str path: tags without namespace: ``StsRsnInf/Rsn/Cd``
    """
    found = parent.find("/".join(f"{{*}}{tag}" for tag in path.split("/")))
    return "" if found is None else (found.text or "").strip()


def local_name(element):
    """Return the tag of an element without its namespace."""
    return etree.QName(element).localname


def _well_formed(events):
    try:
        yield from events
    except etree.XMLSyntaxError as error:
        line = getattr(error, "lineno", None)
        raise MessageError(f"The file is no well-formed XML (line {line}).", code="FF01") from None


def _from_root(events, root):
    depth = None
    for event, found in events:
        if depth is None:
            _check_begin(found, root)
            depth = found
            yield found
        elif event == "end" and found is not depth:
            yield found
    if depth is None:
        raise MessageError(f"The file has no {root} element.", code="FF01")


def _check_begin(first, root):
    document = first.getroottree().docinfo
    if document.doctype or document.internalDTD is not None:
        raise MessageError("The file has a document type (DTD), which is refused.", code="FF01")
    if local_name(first) != root:
        raise MessageError(f"The file has no {root} element.", code="FF01")
