"""What docs/envoy-xds.md tells users to write works: its spec is one, and its bootstrap runs in a real Envoy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import trustme
from ruamel.yaml import YAML

from activities.routers.envoy_xds import EnvoyXdsRouter
from activities.routers.options import options_of
from activities.routers.xds_answers import Wanted
from coalmine.cli._parser import Parser
from coalmine.cli.xds import options
from coalmine.spec.canary import Route
from coalmine.spec.xds_routes import EnvoyXdsRoute
from coalmine.testing.router_contract import CANARY, STABLE
from coalmine.xds.listening import Security
from tests.routers.envoy_world import CLUSTERS
from tests.routers.test_envoy_docs import running
from tests.routers.xds_world import until, xds_plane, xds_route

PAGE = (Path(__file__).parents[2] / "docs" / "envoy-xds.md").read_text()


def block(number: int) -> dict[str, Any]:
    text = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[number]
    content: dict[str, Any] = YAML(typ="safe").load(text)
    return content


def test_its_route_is_one() -> None:
    found = options_of(Route.model_validate(block(0)["route"]), EnvoyXdsRoute)
    assert [proxy.node for proxy in found.proxies] == ["edge-1", "edge-2"]
    assert found.token == "${COALMINE_SECRET_XDS}"


def test_its_table_has_every_option() -> None:
    parser = Parser("xds", "serve")
    options(parser, "xds")
    known = {word for word in parser._option_string_actions if word.startswith("--")} - {"--help", "--output"}
    table = PAGE.partition("| option |")[2].partition("\n\n")[0]
    assert known == set(re.findall(r"`(--[a-z-]+)`", table))


@pytest.mark.parametrize("secured", [False, True])
async def test_its_bootstrap_runs(tmp_path: Path, secured: bool) -> None:
    bootstrap = block(1)
    bootstrap["admin"]["address"]["socket_address"]["port_value"] = 0
    static = bootstrap["static_resources"]
    static["listeners"][0]["address"]["socket_address"].update(address="127.0.0.1", port_value=0)
    security = certificates(tmp_path) if secured else Security()
    if secured:
        static["clusters"][0] |= {"transport_socket": transport_socket(tmp_path)}
    async with xds_plane(tmp_path / "routes", security=security) as plane:
        host, _, port = plane.address.rpartition(":")
        endpoint = static["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        endpoint["address"]["socket_address"].update(address=host, port_value=int(port))
        static["clusters"] += [{"name": name, "type": "STATIC"} for name in CLUSTERS]
        async with running(tmp_path, bootstrap) as admin:
            await until(lambda: any(one["has"] for one in plane.connections()))
            if secured:
                # The test's process does not trust the authority of this test; a worker does by SSL_CERT_FILE.
                await plane.write("shop", Wanted(weights={STABLE: 100.0}, generation=1))
                assert plane.connections()[0]["has"]["shop"].startswith("1:")
                return
            route = xds_route(plane.admin_url, proxies=[{"node": "edge-1", "admin": admin}])
            router = EnvoyXdsRouter()
            # No endpoint of these clusters is there, so all that can be written is what is there.
            await router.apply(route, {STABLE: 100.0}, 1)
            answer = await router.confirm(route, 1, [STABLE, CANARY])
            assert answer.answer == "yes", answer.reason


def certificates(folder: Path) -> Security:
    """Those of the control plane and of the proxy, of one authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "xds-ca.crt")
    for name, host in (("xds", "xds.example.org"), ("tls", "edge-1")):
        leaf = authority.issue_cert(host)
        leaf.private_key_pem.write_to_path(folder / f"{name}.key")
        leaf.cert_chain_pems[0].write_to_path(folder / f"{name}.crt")
    return Security(folder / "xds.crt", folder / "xds.key", folder / "xds-ca.crt")


def transport_socket(folder: Path) -> dict[str, Any]:
    """The page's, with the files where the test has them."""
    text = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[2]
    content: dict[str, Any] = YAML(typ="safe").load(text.replace("/etc/envoy", str(folder)))["transport_socket"]
    return content
