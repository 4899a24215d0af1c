"""The simulator for the authors of services: their service on a whole cluster, in virtual time, against faults.

`cluster.py` is what a test uses; `determinism.py` and `witness.py` judge the author's service, the checkers of
`primacy.sim` everything else. Users import the names of `primacy.sim`.
"""
