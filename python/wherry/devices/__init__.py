"""What devices can do, and what a pack will need on them: profiles, their calibration, and predictions.

Runs packs' metadata through the runtime's own planner, so it stands above `pack` and `runtime`, beside `bench`.
"""
