"""The agent: the high-availability level of a node (CGTP, CMM, SSC). No user code runs here.

It drives the pure machines: it feeds them what happens, in order, and obeys their effects, in order. Nothing on the
path of beats waits for disk, ledger, host or name service.
"""
