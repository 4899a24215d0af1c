"""Clusters on this machine: their directory, their processes, and the faults that an operator may try on
them.

    layout      where each file of a cluster's directory is
    table       the configuration table: generated, changed by options, written as TOML
    ports       which ports are taken
    create      a new directory, whole or not at all
    nodes       nodes started and stopped
    processes   which processes belong to a node
    faults      crash, power, freeze, thaw
    successor   waiting for what the rest of the cluster makes of a fault
    late_kill   the end of a node whose power is off, by a process of its own
    report      why a cluster is not in service, from its nodes' logs
    bring_up    a cluster brought into service, and stopped
    status      what is known when no agent answers
    event_files the events of all nodes, merged
    import_check  can the services' code be imported?

Never in here: a signal to a process that is not proven to belong to the directory (its guardian by pid and
start time, the others by descent from it).
"""
