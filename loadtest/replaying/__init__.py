"""The parts of the replay of real chat."""
