"""Folders and files behind URLs: object stores and web servers, by fsspec.

The one room in which URLs become local files. Everything else reads folders: `snapshot` makes one
of a URL, with names, sizes and times of all objects and the contents of lists alone, and `copies`
fetches a video to the local disk while it is worked on.
"""

from fbridge.data.stores.faults import MissingError, ObjectError, StoreError
from fbridge.data.stores.store import Store
from fbridge.data.stores.url import StoreUrl, parse_url

__all__ = ["MissingError", "ObjectError", "Store", "StoreError", "StoreUrl", "parse_url"]
