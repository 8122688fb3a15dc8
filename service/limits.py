"""How large a request or a listing may be."""

from models.images import Limits

MAX_REQUEST_BYTES = 4 * Limits().max_bytes
"""64 MiB: four pictures of the largest size, or twenty usual ones. A message is in memory
before anything in it can be refused, so twenty of the largest (320 MiB) would let a few
callers fill a server."""

MAX_IMAGES = 20
"""Pictures in one listing, and in one request for labels."""
