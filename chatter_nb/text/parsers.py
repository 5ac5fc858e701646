"""Parsers of XML that somebody made.

No entities but XML's own, no DTD, no network, nothing repaired in silence.
"""

from lxml import etree

SAFE: dict[str, bool] = {"no_network": True, "remove_pis": True, "remove_comments": True}
STRICT = etree.XMLParser(resolve_entities=False, load_dtd=False, **SAFE)
EDITING = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True)  # keeps all
