"""Ways to know who asks: nobody is known, a proxy's header, an OIDC provider, or a bearer token."""
