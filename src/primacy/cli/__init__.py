"""The command `primacy`: one module per group of commands, imported only when one of its commands runs.

main        the table of commands, and exit codes
common      options, errors and output that all commands share
render      a status, an event, a figure as plain lines and as rich tables
live        the live view of `up`, `status --watch` and the demo
agents      a request to one node's agent in particular
cluster     up, down, start, kill
view        status, events
functions   switchover, shutdown, link
services    call
names       names ...
node        node
table       config ...
bench       bench ...
demo        demo
"""
