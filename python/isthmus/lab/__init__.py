"""Two sites, two gateways and an internet on this one machine, in namespaces, without root.

Start at `api.py` (`up`, `find`, `down` and the class `Lab`). `namespaces.py` holds the namespaces,
`topology.py` the addresses, `daemon.py` and `strongswan.py` the gateways, `capture.py` and
`measure.py` the witnesses. The interop tests and the benches stand on the same rooms.
"""
