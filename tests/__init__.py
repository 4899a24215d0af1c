"""The tests, from many to few: rules, unit, contract, sim, cluster."""
