"""Sweeps on Ray, several seeds, training in several processes: what one laptop outgrows."""
