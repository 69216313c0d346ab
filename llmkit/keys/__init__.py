"""The keys of a KeyRing: where they come from, which is next, which are parked."""
