"""The measurements behind `primacy bench`: what an outage costs a client, and how many writes a second
there are.

    service     the service that is written to: it counts how often each id was applied
    writer      closed-loop clients, each write an id of its own, with the instants of their acknowledgements
    client      one such client as a process of its own
    figures     order statistics, outages, the forms of the results
    place       a directory on a disk, and how long it takes to sync
    cluster     a cluster for the time of a measurement
    outages     failover, loss of the vice, switchover
    throughput  acknowledged writes a second
    idle        what a node costs that has nothing to do
    functions   how long each function takes with empty callbacks
    reconnect   how far apart the nodes reconnect to a new primary

*Outage*: the longest time between two acknowledged writes of a closed-loop client around the fault. The
client and the hosts are processes of their own and talk over TCP and TLS; one call and one reply for each
write.
"""
