"""Untrusted XML, read as a stream: no DTD, no entity, no network, bounded in every direction.

expat is told to stop at the first sign of a DTD; so nothing is declared, expanded or fetched. Only
the parts that a caller names become elements, each small and on its own.
"""

from xml.etree.ElementTree import TreeBuilder
from xml.parsers import expat

from .errors import MessageError

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 64
#: characters and elements of one part
MAX_PART = 250_000
_CHUNK = 64 * 1024


def read(content, root, tags, *, max_bytes=MAX_BYTES):
    """Yield (root, its namespace), then (tag, element) for each part when it ends.

    Tags are without namespace. A part inside another is not in the other one's element; what
    stands in another namespace than the root is left out.

    :param bytes content: as received
    :param str root: the element that is the message; what is around it does not matter
    :param tags: of the parts
    :raise MessageError: FF01: empty, too large, too deep, no well-formed XML, with a DTD, with no
        such root or two; possibly after parts have been yielded
    """
    if len(content) > max_bytes:
        raise MessageError(f"The file is larger than {max_bytes} bytes.", code="FF01")
    parts = _Parts(root, frozenset(tags))
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_dtd
    parser.StartElementHandler = parts.start
    parser.EndElementHandler = parts.end
    parser.CharacterDataHandler = parts.data
    view = memoryview(content)
    for begin in range(0, len(view), _CHUNK):
        _feed(parser, view[begin : begin + _CHUNK], is_final=False)
        yield from parts.take()
    _feed(parser, b"", is_final=True)
    if parts.namespace is None:
        raise MessageError(f"The file has no {root} element.", code="FF01")


def text_of(element, path):
    """Return the stripped text at a path of tags, empty where there is none."""
    return (element.findtext(path) or "").strip()


class _Parts:
    """What the parser has found and nobody has taken."""

    def __init__(self, root, tags):
        self.root, self.tags = root, tags
        self.namespace = None
        self._depth = 0
        self._foreign_depth = None  # of the element of another namespace that is open
        self._open = []  # [builder, depth of its element, size]
        self._ready = []

    def take(self):
        ready, self._ready = self._ready, []
        return ready

    def start(self, name, attributes):
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise MessageError(f"The file has more than {MAX_DEPTH} levels.", code="FF01")
        namespace, _space, tag = name.rpartition(" ")
        if tag == self.root:
            self._begin(namespace)
        elif self.namespace is None or self._foreign_depth is not None:
            pass
        elif namespace != self.namespace:
            self._foreign_depth = self._depth
        elif tag in self.tags:
            self._open.append([TreeBuilder(), self._depth, 0])
            self._build(tag, attributes)
        elif self._open:
            self._build(tag, attributes)

    def end(self, name):
        depth, self._depth = self._depth, self._depth - 1
        if self._foreign_depth is not None:
            if depth == self._foreign_depth:
                self._foreign_depth = None
        elif self._open:
            builder, part_depth, _size = self._open[-1]
            tag = name.rpartition(" ")[2]
            builder.end(tag)
            if depth == part_depth:
                self._open.pop()
                self._ready.append((tag, builder.close()))

    def data(self, text):
        if self._open and self._foreign_depth is None:
            self._grow(len(text))
            self._open[-1][0].data(text)

    def _begin(self, namespace):
        if self.namespace is not None:
            raise MessageError(f"The file has more than one {self.root}.", code="FF01")
        self.namespace = namespace
        self._ready.append((self.root, namespace))

    def _build(self, tag, attributes):
        self._grow(1 + sum(map(len, attributes.values())))
        self._open[-1][0].start(tag, attributes)

    def _grow(self, size):
        part = self._open[-1]
        part[2] += size
        if part[2] > MAX_PART:
            raise MessageError("A part of the file is larger than any bank's.", code="FF01")


def _feed(parser, data, *, is_final):
    try:
        parser.Parse(data, is_final)
    except expat.ExpatError as error:
        raise MessageError(
            f"The file is no well-formed XML (line {error.lineno}).", code="FF01"
        ) from None
    except MessageError:
        raise
    except (LookupError, ValueError) as error:  # as expat asks for the tables of Python's codecs
        raise MessageError("The file's encoding is unknown.", code="FF01") from error


def _refuse_dtd(*_names):
    raise MessageError("The file has a document type (DTD), which is refused.", code="FF01")
