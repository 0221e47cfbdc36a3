"""Envoy's messages, made of descriptors in a pool of their own: no other package's generated code is touched.

``envoy_api.bin.gz`` is made by ``python -m infra.envoy_api`` from a wheel of xds-protos 1.85 (Apache 2.0), the Python
form of Envoy's own API: https://github.com/envoyproxy/data-plane-api.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

from coalmine.errors import MissingExtra, RouteRejected

try:
    from google.protobuf import json_format
    from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass
except ModuleNotFoundError as error:
    raise MissingExtra("xds", "a control plane") from error

DESCRIPTORS = Path(__file__).with_name("envoy_api.bin.gz")
ROUTE = "envoy.config.route.v3.RouteConfiguration"
TYPE_URL = "type.googleapis.com/"
_WELL_KNOWN = ("any", "duration", "empty", "struct", "timestamp", "wrappers", "descriptor")


@cache
def pool() -> DescriptorPool:
    """All of Envoy's messages."""
    found = DescriptorPool()
    for name in _WELL_KNOWN:
        found.AddSerializedFile(_well_known(name).SerializeToString())
    for file in FileDescriptorSet.FromString(gzip.decompress(DESCRIPTORS.read_bytes())).file:
        found.AddSerializedFile(file.SerializeToString())
    return found


@cache
def message_type(name: str) -> Any:
    """The class of a message by its full name."""
    return GetMessageClass(pool().FindMessageTypeByName(name))


def request_type() -> Any:
    """What an Envoy sends: what it asks for, and what it says of the last answer."""
    return message_type("envoy.service.discovery.v3.DiscoveryRequest")


def response_type() -> Any:
    """What it is answered."""
    return message_type("envoy.service.discovery.v3.DiscoveryResponse")


def encoded_route(configuration: Any, where: str) -> bytes:
    """A RouteConfiguration, as it stands in a route file, in protobuf's own form.

    Raises:
        RouteRejected: Envoy has no such field, or it has another type; says which.
    """
    # Through JSON: what YAML was read into remembers how it was written.
    content = json.loads(json.dumps(configuration, default=str))
    content.pop("@type", None)
    route = message_type(ROUTE)()
    try:
        json_format.ParseDict(content, route, descriptor_pool=pool())
        return bytes(route.SerializeToString(deterministic=True))
    except (json_format.ParseError, TypeError, ValueError, AttributeError) as error:
        raise RouteRejected(
            f"{where}: is no RouteConfiguration Envoy would take: {' '.join(str(error).split())}"
        ) from error


def _well_known(name: str) -> FileDescriptorProto:
    from importlib import import_module

    found = FileDescriptorProto()
    import_module(f"google.protobuf.{name}_pb2").DESCRIPTOR.CopyToProto(found)
    return found
