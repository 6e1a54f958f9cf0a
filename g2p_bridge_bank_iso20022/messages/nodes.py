"""XML elements from plain values.

A node is ``(tag, text)``, ``(tag, [nodes])`` or ``(tag, text, attributes)``; None is left out.
"""

from lxml import etree


def element(node):
    """Return the lxml element of a node.

    Tags have no namespace: the elements are written into an open element whose default namespace
    they then are in. With one, lxml would declare it again on every element written.
    """
    root = etree.Element(node[0], *node[2:])
    _fill(root, node[1])
    return root


def _fill(parent, content):
    if isinstance(content, str):
        parent.text = content
        return
    for node in content:
        if node is not None:
            _fill(etree.SubElement(parent, node[0], *node[2:]), node[1])
