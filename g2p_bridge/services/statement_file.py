"""Files of statements, in whichever format the bank sends them: told apart by their bytes."""

from . import camt, mt940


def parse(content):
    """Read every statement of a file: ISO 20022 where it is XML, else MT940.

    :param bytes content: the file
    :return: list of Statement, at least one
    :raise StatementInvalid: see :func:`.camt.parse` and :func:`.mt940.parse`
    """
    return camt.parse(content) if camt.is_xml(content) else mt940.parse(content)


def to_bytes(text):
    """Return the file that a text was read from.

    :raise StatementInvalid: it is XML of an encoding that is not read here
    """
    content = text.encode("utf-8", "surrogatepass")
    return camt.encoded(text) if camt.is_xml(content) else content


def default_name(content):
    """Return a name for a file that came without one."""
    return "statement.xml" if camt.is_xml(content) else "statement.mt940"
