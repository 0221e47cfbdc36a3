"""A control plane for Envoys on several hosts: routes by ADS, weights by an HTTP interface (docs/envoy-xds.md)."""
