"""Stand-in servers for card gateways: they speak the wire protocols and keep books of their own.

Written from the gateways' documentation alone and sharing nothing with Defray's own client code, so that the
two cannot agree on a mistake. `python -m sandbox --help` starts one; `sandbox.client` steers it from Python.
"""
