"""Decides, before anything runs: the order of steps, their partitions, and every tensor's address."""
