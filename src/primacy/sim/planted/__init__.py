"""The planted bugs, by the part of the product that is spoilt; `primacy.sim.mutants` has them all."""
