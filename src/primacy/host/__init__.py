"""The host: one process per service, with the service's state, journal, mirror and clients."""
