"""How the conversations go: pure steps from a state and an event to the next state and what to do."""
